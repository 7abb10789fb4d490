//! An owner's own rows, asked by statements of this program's.

use std::path::Path;

use arrow::array::{Array as _, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use cleanroom_policy::{ColumnName, ColumnRule, Policy, Subject};
use cleanroom_vault::{OwnFile, OwnFileError};

use crate::config::DEFAULT_MEMORY;
use crate::fault::{Fault, Result};

/// The rows of a file that its owner holds in plain.
pub(super) struct OwnRows {
    file: OwnFile,
}

impl OwnRows {
    /// Opens a file as ingestion would under the policy.
    pub(super) async fn open(path: &Path, policy: Option<&Policy>) -> Result<Self> {
        let file = OwnFile::open(path, &path.display().to_string(), policy, DEFAULT_MEMORY).await?;
        Ok(Self { file })
    }

    /// The columns as ingestion would store them.
    pub(super) fn columns(&self) -> Vec<(String, DataType)> {
        self.file.columns().map(|(name, data_type)| (name.to_owned(), data_type.clone())).collect()
    }

    /// The type of a column.
    pub(super) fn column_type(&self, name: &ColumnName) -> Option<DataType> {
        self.file
            .columns()
            .find(|(column, _type)| *column == name.as_str())
            .map(|(_column, data_type)| data_type.clone())
    }

    /// Sentences for the owner.
    pub(super) fn notes(&self) -> &[String] {
        self.file.notes()
    }

    /// The identity that a number of the unit's column stands for.
    pub(super) fn identity(&self, number: f64) -> Option<&str> {
        self.file.identity(number as u32)
    }

    /// All cells of a result as text; `None` is NULL.
    pub(super) async fn texts(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let batch = self.file.query(sql).await?;
        let unreadable = |what: &dyn std::fmt::Display| Fault::failure(format!("cannot look at the rows: {what}"), "");
        let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
        for column in batch.columns() {
            let texts = cast(column, &DataType::Utf8).map_err(|error| unreadable(&error))?;
            let texts =
                texts.as_any().downcast_ref::<StringArray>().ok_or_else(|| unreadable(&"a column is no text"))?;
            for (row, text) in rows.iter_mut().zip(texts.iter()) {
                row.push(text.map(str::to_owned));
            }
        }
        Ok(rows)
    }

    /// All cells of a result as numbers; NULL is zero, as what is counted or summed over nothing.
    pub(super) async fn numbers(&self, sql: &str) -> Result<Vec<Vec<f64>>> {
        let rows = self.texts(sql).await?;
        let number = |cell: Option<String>| cell.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Ok(rows.into_iter().map(|row| row.into_iter().map(number).collect()).collect())
    }

    /// The only row of a result, of exactly `N` numbers.
    pub(super) async fn row<const N: usize>(&self, sql: &str) -> Result<[f64; N]> {
        let row = self.numbers(sql).await?.into_iter().next().unwrap_or_default();
        row.try_into().map_err(|_| Fault::failure("a statement over the rows gave another shape than it asked for", ""))
    }
}

impl From<OwnFileError> for Fault {
    fn from(error: OwnFileError) -> Self {
        match error {
            OwnFileError::File(error) => error.into(),
            error @ OwnFileError::Rows(_) => Self::usage(error, "correct `rows` in the policy"),
            error @ (OwnFileError::Temporary(_) | OwnFileError::Engine(_)) => Self::failure(error, ""),
        }
    }
}

/// A name in SQL, whatever it holds.
pub(super) fn quoted(name: impl std::fmt::Display) -> String {
    format!("\"{}\"", name.to_string().replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value of a column of that type, told as text, in SQL.
pub(super) fn literal(text: &str, data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) | DataType::Boolean | DataType::UInt32 => {
            text.to_owned()
        }
        DataType::Date32 => format!("DATE {}", text_literal(text.get(..10).unwrap_or(text))),
        DataType::Timestamp(..) => format!("TIMESTAMP {}", text_literal(text)),
        _ => text_literal(text),
    }
}

/// A column as queries see it: no finer than its grain.
pub(super) fn seen(name: &ColumnName, rule: &ColumnRule) -> String {
    match rule.grain {
        Some(grain) => format!("date_trunc('{grain}', {})", quoted(name)),
        None => quoted(name),
    }
}

/// The unit's column; `None` of a reference table.
pub(super) fn unit(policy: &Policy) -> Option<&ColumnName> {
    match &policy.subject {
        Subject::Unit { column, .. } => Some(column),
        Subject::Public => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_what_they_are() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("O'Hara", &DataType::Utf8), "'O''Hara'");
        assert_eq!(literal("5", &DataType::Int64), "5");
        assert_eq!(literal("2024-01-01T00:00:00", &DataType::Date32), "DATE '2024-01-01'");
    }
}
