//! Which columns of a source become columns of the snapshot, and of what type.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use cleanroom_policy::{ColumnName, Policy, Subject, Use};

use super::error::{IngestError, Place};

/// Most columns of a source.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// A snapshot's type for points in time.
pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Rows decoded from a source, in the types of the layout; the identities still as text.
pub(crate) struct Chunk {
    pub(crate) batch: RecordBatch,
    pub(crate) places: Places,
}

/// Where the rows of a chunk stand in the source.
pub(crate) enum Places {
    /// Rows that follow each other; the first one's number, from 1.
    Rows(u64),
    /// The line of each row.
    Lines(Vec<u64>),
}

impl Places {
    pub(crate) fn of(&self, row: usize) -> Place {
        match self {
            Places::Rows(first) => Place::Row(first + row as u64),
            Places::Lines(lines) => Place::Line(lines.get(row).copied().unwrap_or_default()),
        }
    }
}

/// A source that is being decoded.
pub(crate) trait Chunks: Send {
    /// The next rows; `None` once all were decoded and the source was found whole.
    fn next(&mut self) -> Result<Option<Chunk>, IngestError>;
}

/// What a policy wants of a column beyond its being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// The unit: text or integers.
    Identity,
    /// A measure: numbers.
    Number,
    /// A column with a grain: dates or timestamps.
    Time,
    /// Nothing.
    Any,
}

impl Want {
    pub(crate) fn of(policy: &Policy, column: &str) -> Self {
        if unit(policy).is_some_and(|unit| unit.as_str() == column) {
            return Self::Identity;
        }
        match policy.columns.iter().find(|(name, _rule)| name.as_str() == column) {
            Some((_name, rule)) if rule.uses.contains(&Use::Measure) => Self::Number,
            Some((_name, rule)) if rule.grain.is_some() => Self::Time,
            Some(_) | None => Self::Any,
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Identity => "give the unit column text or integers",
            Self::Number => "give the column numbers, or take `measure` from its uses in the policy",
            Self::Time => "give the column dates or timestamps, or take `grain` from it in the policy",
            Self::Any => "convert the column, or take it out of the policy",
        }
    }
}

/// The unit column of a policy.
pub(crate) fn unit(policy: &Policy) -> Option<&ColumnName> {
    match &policy.subject {
        Subject::Unit { column, .. } => Some(column),
        Subject::Public => None,
    }
}

/// A column as a source declares it.
pub(crate) struct SourceColumn {
    pub(crate) name: String,
    /// What it becomes; `None` where the type is not kept.
    pub(crate) target: Option<DataType>,
    /// Whether it can be the unit column.
    pub(crate) identity: bool,
    /// Its type in words, for messages.
    pub(crate) type_name: String,
}

/// A column of the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct LayoutColumn {
    pub(crate) name: String,
    /// Its position in the source.
    pub(crate) source: usize,
    /// Its type in the snapshot; for the unit column, [`DataType::UInt32`].
    pub(crate) data_type: DataType,
    pub(crate) want: Want,
}

/// The columns of the snapshot, in the source's order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<LayoutColumn>,
    pub(crate) notes: Vec<String>,
}

impl Layout {
    /// Fits the columns of the source `file` to the policy.
    pub(crate) fn choose(file: &str, policy: &Policy, source: Vec<SourceColumn>) -> Result<Self, IngestError> {
        if source.len() > MAX_COLUMNS {
            return Err(IngestError::source(
                file,
                format!("more than {MAX_COLUMNS} columns"),
                "leave out columns that no query needs",
            ));
        }
        let unit = unit(policy);
        let listed: BTreeSet<&str> = policy.columns.keys().chain(unit).map(ColumnName::as_str).collect();
        let mut seen = BTreeSet::new();
        let mut layout = Self { columns: Vec::new(), notes: Vec::new() };
        for (position, column) in source.into_iter().enumerate() {
            let SourceColumn { name, target, identity, type_name } = column;
            if let Err(rule) = ColumnName::new(&name) {
                layout.notes.push(format!("column {} is left out: {rule}", position + 1));
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(IngestError::Column {
                    file: file.to_owned(),
                    column: name,
                    what: "the name stands twice".to_owned(),
                    remedy: "rename or leave out one of the columns",
                });
            }
            let want = Want::of(policy, &name);
            let data_type = match (want, target) {
                (Want::Identity, _) if identity => Some(DataType::UInt32),
                (Want::Identity, _) => None,
                (Want::Number, Some(target)) => is_number(&target).then_some(target),
                (Want::Time, Some(target)) => is_time(&target).then_some(target),
                (Want::Any, Some(target)) => Some(target),
                (_, None) => None,
            };
            match data_type {
                Some(data_type) => {
                    layout.columns.push(LayoutColumn { name, source: position, data_type, want });
                }
                None if listed.contains(name.as_str()) => {
                    return Err(misfit(file, policy, &name, &type_name, want));
                }
                None => {
                    layout.notes.push(format!("column `{name}` is left out: {type_name} is not a type of a table"));
                }
            }
        }
        if let Some(missing) = listed.iter().find(|name| !seen.contains(**name)) {
            return Err(IngestError::Column {
                file: file.to_owned(),
                column: (*missing).to_owned(),
                what: format!("no such column, and the policy of `{}`{} names it", policy.table, line(policy, missing)),
                remedy: "add the column to the file, or take it out of the policy",
            });
        }
        if layout.columns.is_empty() {
            return Err(IngestError::source(file, "no column can be kept", "give the table at least one named column"));
        }
        Ok(layout)
    }

    /// The unit column's position in the snapshot.
    pub(crate) fn unit(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.want == Want::Identity)
    }

    /// The columns as a source's reader yields them: identities as text.
    pub(crate) fn decoded_schema(&self) -> SchemaRef {
        self.schema(&DataType::Utf8)
    }

    /// The columns as the snapshot holds them.
    pub(crate) fn stored_schema(&self) -> SchemaRef {
        self.schema(&DataType::UInt32)
    }

    fn schema(&self, identity: &DataType) -> SchemaRef {
        let field = |column: &LayoutColumn| {
            let data_type = if column.want == Want::Identity { identity } else { &column.data_type };
            Field::new(&column.name, data_type.clone(), true)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Float64 | DataType::Decimal128(_, _))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _))
}

fn misfit(file: &str, policy: &Policy, column: &str, type_name: &str, want: Want) -> IngestError {
    let needs = match want {
        Want::Identity => "as the unit column",
        Want::Number => "as a measure",
        Want::Time => "with a grain",
        Want::Any => "by name",
    };
    IngestError::Column {
        file: file.to_owned(),
        column: column.to_owned(),
        what: format!(
            "{type_name} does not fit the policy of `{}`{}, which has it {needs}",
            policy.table,
            line(policy, column)
        ),
        remedy: want.remedy(),
    }
}

fn line(policy: &Policy, column: &str) -> String {
    match policy.line(&format!("columns.{column}")).or_else(|| policy.line("unit")) {
        Some(line) => format!(" (line {line})"),
        None => String::new(),
    }
}
