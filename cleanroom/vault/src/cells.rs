//! The values of a released table, as text and as JSON.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value};

/// The rows as JSON arrays, in order.
///
/// Integers and decimals are numbers with all their digits, floats the shortest number that reads back as the same
/// float, not-a-number and infinities `null`, dates and times ISO 8601 text.
///
/// # Errors
/// Where a column's type has no text: no released table has such a one.
pub fn json_rows(batch: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let columns = batch.columns().iter().map(CellColumn::new).collect::<Result<Vec<_>, _>>()?;
    Ok((0..batch.num_rows()).map(|row| Value::Array(columns.iter().map(|column| column.json(row)).collect())).collect())
}

/// One column, ready to be read value by value.
pub struct CellColumn<'a> {
    array: &'a ArrayRef,
    text: ArrayFormatter<'a>,
}

impl<'a> CellColumn<'a> {
    /// A column of any type that a released table has.
    ///
    /// # Errors
    /// As [`json_rows`].
    pub fn new(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true);
        Ok(Self { array, text: ArrayFormatter::try_new(array.as_ref(), &OPTIONS)? })
    }

    /// Whether its values are numbers.
    pub fn is_number(&self) -> bool {
        self.array.data_type().is_numeric()
    }

    /// The value as text; `None` for NULL.
    pub fn text(&self, row: usize) -> Option<String> {
        // A dictionary's NULL may stand in its values, which only the logical nulls tell.
        let null = self.array.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
        if null || self.array.data_type().is_null() {
            return None;
        }
        if let Some(float) = self.float(row) {
            return Some(float_text(float));
        }
        Some(self.text.value(row).to_string())
    }

    fn json(&self, row: usize) -> Value {
        let Some(text) = self.text(row) else {
            return Value::Null;
        };
        if let Some(float) = self.float(row) {
            return Number::from_f64(float).map_or(Value::Null, Value::Number);
        }
        match self.array.data_type() {
            DataType::Boolean => Value::Bool(self.array.as_boolean().value(row)),
            kind if kind.is_numeric() => text.parse::<Number>().map_or(Value::String(text), Value::Number),
            _ => Value::String(text),
        }
    }

    fn float(&self, row: usize) -> Option<f64> {
        match self.array.data_type() {
            DataType::Float64 => Some(self.array.as_primitive::<Float64Type>().value(row)),
            // By way of its own shortest text: 0.1_f32 is to read 0.1.
            DataType::Float32 => self.array.as_primitive::<Float32Type>().value(row).to_string().parse().ok(),
            DataType::Float16 => Some(self.array.as_primitive::<Float16Type>().value(row).to_f64()),
            _ => None,
        }
    }
}

fn float_text(value: f64) -> String {
    Number::from_f64(value).map_or_else(|| value.to_string(), |number| number.to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int64Array,
        StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    fn batch() -> RecordBatch {
        let decimals =
            Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123_456_789_012_345_678), None, Some(-5)])
                .with_precision_and_scale(38, 2)
                .unwrap();
        let words: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b")].into_iter().collect();
        RecordBatch::try_from_iter([
            ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(812)])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![0.1 + 0.2, f64::NAN, f64::INFINITY]))),
            ("g", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(2.0)]))),
            ("d", Arc::new(decimals)),
            ("s", Arc::new(StringArray::from(vec![Some("a\"b"), None, Some("\u{1b}[2J")]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("day", Arc::new(Date32Array::from(vec![Some(0), None, Some(19_000)]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0)]))),
            ("w", Arc::new(words)),
        ])
        .unwrap()
    }

    #[test]
    fn json_keeps_every_digit() {
        let rows = json_rows(&batch()).unwrap();
        assert_eq!(
            rows.iter().map(Value::to_string).collect::<Vec<_>>(),
            [
                r#"[-9223372036854775808,0.30000000000000004,0.1,123456789012345678901234567890123456.78,"a\"b",true,"1970-01-01","1970-01-01T00:00:01.500","a"]"#,
                "[null,null,null,null,null,null,null,null,null]",
                r#"[812,null,2.0,-0.05,"\u001b[2J",false,"2022-01-08","1970-01-01T00:00:00","b"]"#,
            ]
        );
    }
}
