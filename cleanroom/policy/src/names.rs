//! Names that have been checked once and need no second look.

use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:path, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            #[doc = concat!("Takes a name. Rule: ", $rule)]
            ///
            /// # Errors
            /// The rule, in one sentence, where `text` breaks it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.to_owned())) } else { Err(NameError { rule: $rule }) }
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A name that breaks its rule. The name itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct NameError {
    rule: &'static str,
}

fn slug(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 63
        && chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

fn column(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.chars().any(char::is_control)
        && !text.to_ascii_lowercase().starts_with("__")
}

name!(
    /// A room's name.
    RoomName, slug, "a room name is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter"
);
name!(
    /// A partner's name; the SQL schema of its tables.
    PartnerName, slug, "a partner name is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter"
);
name!(
    /// An identity space: `email`, `phone`, `household`, ...
    SpaceName, slug, "an identity space is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter"
);
name!(
    /// A template's name.
    TemplateName, slug, "a template name is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter"
);
name!(
    /// A column's name, exactly as in the data.
    ColumnName, column, "a column name is 1 to 128 bytes without control characters and does not start with `__`"
);

/// `owner.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    owner: PartnerName,
    table: String,
}

impl TableName {
    /// Takes both parts; the table's own name follows the same rule as a partner's.
    ///
    /// # Errors
    /// Where the table's own name breaks the rule.
    pub fn new(owner: PartnerName, table: &str) -> Result<Self, NameError> {
        if slug(table) {
            Ok(Self { owner, table: table.to_owned() })
        } else {
            Err(NameError { rule: "a table name is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter" })
        }
    }

    /// Reads `owner.table`.
    ///
    /// # Errors
    /// Where there is no dot, or a part breaks its rule.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.split_once('.') {
            Some((owner, table)) => Self::new(PartnerName::new(owner)?, table),
            None => Err(NameError { rule: "a table is written `owner.table`" }),
        }
    }

    /// The partner that owns it.
    pub fn owner(&self) -> &PartnerName {
        &self.owner
    }

    /// The name without its owner.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.owner, self.table)
    }
}
