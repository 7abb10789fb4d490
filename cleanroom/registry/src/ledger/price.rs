//! What a question costs, and what is left.

use std::fmt;

use cleanroom_budget::Loss;
use cleanroom_policy::TableName;

/// What a question costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Price {
    /// Nothing: no table of it has noise.
    Nothing,
    /// The same loss to each table and, once, to each of their owners.
    Charge {
        /// What the answer can tell of one unit.
        loss: Loss,
        /// The tables with units that it reads, in the order of the document. The policy of each, as the intent names it,
        /// says what may be spent.
        tables: Vec<TableName>,
    },
    /// Nothing: it is a release that the analyst has paid for, shown again.
    Replay(ReplayKey),
}

/// The canonical question over the very data and policies, as 64 lower-case hexadecimal digits. It is not put into the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplayKey(String);

impl ReplayKey {
    /// Reads a key; `None` for anything but 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The key as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is left for the analyst of one table's budgets.
#[derive(Debug, Clone, PartialEq)]
pub struct Remaining {
    /// The table.
    pub table: TableName,
    /// The least epsilon that is left in any budget that counts: of the period, in all, of the owner, of the analyst.
    pub epsilon: f64,
}

/// A budget that a question is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The table's share of the period.
    Period,
    /// The table's share over all periods.
    Lifetime,
    /// The owner's account of the identity space.
    Account,
    /// What one analyst may spend of the table in a period.
    Analyst,
}

impl Limit {
    /// The word that answers and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::Lifetime => "lifetime",
            Self::Account => "account",
            Self::Analyst => "analyst",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Period => "the privacy budget of the period",
            Self::Lifetime => "the privacy budget of all periods",
            Self::Account => "its owner's privacy budget",
            Self::Analyst => "the analyst's share of the privacy budget",
        })
    }
}
