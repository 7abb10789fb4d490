//! Arrow arrays of any kept type, as arrays of the few types of a snapshot. Values are checked, never trusted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow::error::ArrowError;

use super::layout::{Layout, SourceColumn, TIMESTAMP, Want};

/// Longest text of one value that a source may hold, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// Longest text of one value that a snapshot holds, in bytes; a longer one becomes NULL. The engine works on thousands of
/// rows at once, and holds at most 2 GiB of one column's texts.
pub(crate) const LONGEST_TEXT: usize = 4096;

/// Texts that became NULL because they were longer than [`LONGEST_TEXT`].
#[derive(Default)]
pub(crate) struct LongTexts {
    /// By the column's name.
    found: BTreeMap<String, u64>,
}

impl LongTexts {
    /// The batch of a layout without its long texts. The units' are left as they are: they are to become numbers.
    pub(crate) fn taken_out(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns = batch.columns().to_vec();
        let texts = columns
            .iter_mut()
            .zip(&layout.columns)
            .filter(|(array, column)| column.want != Want::Identity && array.data_type() == &DataType::Utf8);
        for (array, column) in texts {
            let texts = array.as_string::<i32>();
            let long = texts.iter().flatten().filter(|text| text.len() > LONGEST_TEXT).count();
            if long > 0 {
                *self.found.entry(column.name.clone()).or_default() += long as u64;
                let kept: StringArray =
                    texts.iter().map(|text| text.filter(|text| text.len() <= LONGEST_TEXT)).collect();
                *array = Arc::new(kept);
            }
        }
        RecordBatch::try_new(batch.schema(), columns)
    }

    /// What the owner is to know.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|(column, count)| {
            let texts = if *count == 1 { "1 text of column".to_owned() } else { format!("{count} texts of column") };
            format!("{texts} `{column}` became NULL: longer than {LONGEST_TEXT} bytes")
        })
    }
}

/// 0001-01-01 to 9999-12-31, in days of the Unix era.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// The same years in microseconds.
const MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Integers up to this size have one floating point number each.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What is wrong with the value of one row, from 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadValue {
    pub(crate) row: usize,
    pub(crate) what: &'static str,
}

/// What a column of an Arrow schema can become.
pub(crate) fn source_column(name: &str, data_type: &DataType) -> SourceColumn {
    let target = target(data_type);
    let identity =
        matches!(target, Some(DataType::Utf8 | DataType::Int64 | DataType::Float64 | DataType::Decimal128(_, _)));
    let type_name = match data_type {
        DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) | DataType::Map(_, _) => {
            "nested data".to_owned()
        }
        other => other.to_string(),
    };
    SourceColumn { name: name.to_owned(), target, identity, type_name }
}

fn target(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    match data_type {
        D::Boolean => Some(D::Boolean),
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => Some(D::Int64),
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Some(D::Int64),
        D::Float16 | D::Float32 | D::Float64 => Some(D::Float64),
        D::Decimal32(precision, scale) | D::Decimal64(precision, scale) | D::Decimal128(precision, scale) => {
            u8::try_from(*scale).is_ok_and(|scale| scale <= *precision).then_some(D::Decimal128(*precision, *scale))
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null => Some(D::Utf8),
        D::Dictionary(_, values) if matches!(**values, D::Utf8 | D::LargeUtf8 | D::Utf8View) => Some(D::Utf8),
        D::Date32 | D::Date64 => Some(D::Date32),
        D::Timestamp(_, _) => Some(TIMESTAMP),
        D::Time32(_)
        | D::Time64(_)
        | D::Duration(_)
        | D::Interval(_)
        | D::Binary
        | D::FixedSizeBinary(_)
        | D::LargeBinary
        | D::BinaryView
        | D::List(_)
        | D::ListView(_)
        | D::FixedSizeList(_, _)
        | D::LargeList(_)
        | D::LargeListView(_)
        | D::Struct(_)
        | D::Union(_, _)
        | D::Dictionary(_, _)
        | D::Decimal256(_, _)
        | D::Map(_, _)
        | D::RunEndEncoded(_, _) => None,
    }
}

/// Identities as text, such that one identity has one text whatever its column's type: integers in plain decimal.
pub(crate) fn identities(array: &ArrayRef) -> Result<StringArray, BadValue> {
    match array.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = cast_to(array, &DataType::Float64)?;
            texts(values.as_primitive::<Float64Type>(), |value| integral(value).ok_or("the unit is not a whole number"))
        }
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let one = 10_i128.checked_pow(u32::from(scale.unsigned_abs())).unwrap_or(i128::MAX);
            let values = cast_to(array, &DataType::Decimal128(38, *scale))?;
            texts(values.as_primitive::<Decimal128Type>(), |value| match value % one {
                0 => Ok((value / one).to_string()),
                _ => Err("the unit is not a whole number"),
            })
        }
        _ => text(array),
    }
}

/// A whole number in plain decimal; `None` for others, and for those too large to be told from their neighbours.
pub(crate) fn integral(value: f64) -> Option<String> {
    #[expect(clippy::cast_possible_truncation, reason = "below 2^53 and whole")]
    (value.fract() == 0.0 && value.abs() <= EXACT).then(|| (value as i64).to_string())
}

/// The array in the type [`source_column`] told for it.
pub(crate) fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, BadValue> {
    match array.data_type() {
        DataType::UInt64 => mapped::<UInt64Type, Int64Type>(array, |value| {
            i64::try_from(value).map_err(|_| "the number is larger than 9223372036854775807")
        }),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = cast_to(array, &DataType::Float64)?;
            mapped::<Float64Type, Float64Type>(&values, finite)
        }
        DataType::Decimal32(_, _) | DataType::Decimal64(_, _) | DataType::Decimal128(_, _) => {
            decimal(cast_to(array, target)?.as_primitive::<Decimal128Type>())
        }
        DataType::Date32 => mapped::<Date32Type, Date32Type>(array, |days| day(i64::from(days))),
        DataType::Date64 => mapped::<Date64Type, Date32Type>(array, |millis| day(millis.div_euclid(86_400_000))),
        DataType::Timestamp(TimeUnit::Second, _) => {
            mapped::<TimestampSecondType, TimestampMicrosecondType>(array, |value| scaled(value, 1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            mapped::<TimestampMillisecondType, TimestampMicrosecondType>(array, |value| scaled(value, 1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            mapped::<TimestampMicrosecondType, TimestampMicrosecondType>(array, instant)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            mapped::<TimestampNanosecondType, TimestampMicrosecondType>(array, |value| instant(value.div_euclid(1_000)))
        }
        _ if *target == DataType::Utf8 => Ok(Arc::new(text(array)?)),
        _ => cast_to(array, target),
    }
}

/// A number that a snapshot may hold; negative zero becomes zero.
pub(crate) fn finite(value: f64) -> Result<f64, &'static str> {
    if value.is_finite() { Ok(value + 0.0) } else { Err("the number is infinite or not a number (NaN)") }
}

/// A day within the years 1 to 9999.
pub(crate) fn day(days: i64) -> Result<i32, &'static str> {
    let fits = DAYS.contains(&days).then(|| i32::try_from(days).ok()).flatten();
    fits.ok_or("the date is not in the years 0001 to 9999")
}

/// Microseconds within the years 1 to 9999.
pub(crate) fn instant(micros: i64) -> Result<i64, &'static str> {
    if MICROS.contains(&micros) { Ok(micros) } else { Err("the timestamp is not in the years 0001 to 9999") }
}

fn scaled(value: i64, micros: i64) -> Result<i64, &'static str> {
    instant(value.checked_mul(micros).unwrap_or(i64::MAX))
}

fn cast_to(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, BadValue> {
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(target, array.len()));
    }
    let cast =
        cast(array, target).map_err(|_| BadValue { row: 0, what: "the values from here on cannot be converted" })?;
    match (0..array.len()).find(|row| cast.is_null(*row) && !array.is_null(*row)) {
        // A dictionary's value can be NULL where its key is not.
        Some(row) if !matches!(array.data_type(), DataType::Dictionary(_, _)) => {
            Err(BadValue { row, what: "the value cannot be converted" })
        }
        _ => Ok(cast),
    }
}

fn text(array: &ArrayRef) -> Result<StringArray, BadValue> {
    let texts = cast_to(array, &DataType::Utf8)?.as_string::<i32>().clone();
    match texts.iter().position(|text| text.is_some_and(|text| text.len() > MAX_TEXT)) {
        Some(row) => Err(BadValue { row, what: "the text is longer than 1 MiB" }),
        None => Ok(texts),
    }
}

fn decimal(array: &Decimal128Array) -> Result<ArrayRef, BadValue> {
    let limit = 10_i128.checked_pow(u32::from(array.precision())).unwrap_or(i128::MAX);
    match array.iter().position(|value| value.is_some_and(|value| value.unsigned_abs() >= limit.unsigned_abs())) {
        Some(row) => Err(BadValue { row, what: "the number has more digits than its column declares" }),
        None => Ok(Arc::new(array.clone())),
    }
}

fn mapped<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &ArrayRef,
    change: impl Fn(From::Native) -> Result<To::Native, &'static str>,
) -> Result<ArrayRef, BadValue> {
    let values: PrimitiveArray<To> = array
        .as_primitive::<From>()
        .iter()
        .enumerate()
        .map(|(row, value)| value.map(&change).transpose().map_err(|what| BadValue { row, what }))
        .collect::<Result<_, _>>()?;
    Ok(Arc::new(values))
}

fn texts<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    change: impl Fn(T::Native) -> Result<String, &'static str>,
) -> Result<StringArray, BadValue> {
    let mut builder = StringBuilder::new();
    for (row, value) in values.iter().enumerate() {
        let text = value.map(&change).transpose().map_err(|what| BadValue { row, what })?;
        builder.append_option(text);
    }
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date64Array, Float32Array, Float64Array, Int32Array, TimestampNanosecondArray, UInt64Array};

    use super::*;

    fn refused(array: impl Array + 'static) -> BadValue {
        let array: ArrayRef = Arc::new(array);
        let target = target(array.data_type()).unwrap_or(DataType::Null);
        match convert(&array, &target) {
            Ok(_) => BadValue { row: usize::MAX, what: "nothing" },
            Err(bad) => bad,
        }
    }

    #[test]
    fn values_outside_their_range_are_named_by_row() {
        assert_eq!(refused(UInt64Array::from(vec![Some(1), None, Some(u64::MAX)])).row, 2);
        assert_eq!(refused(Float32Array::from(vec![1.0, f32::NAN])).row, 1);
        assert_eq!(refused(Float64Array::from(vec![f64::NEG_INFINITY])).row, 0);
        assert_eq!(refused(Date64Array::from(vec![0, i64::MAX])).row, 1);
        let wide = Decimal128Array::from(vec![99, 100]).with_data_type(DataType::Decimal128(2, 1));
        assert_eq!(refused(wide).row, 1);
    }

    #[test]
    fn time_before_the_unix_era_rounds_down() {
        let array: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1]));
        let micros = convert(&array, &TIMESTAMP).map(|array| array.as_primitive::<TimestampMicrosecondType>().value(0));
        assert_eq!(micros, Ok(-1));
        let array: ArrayRef = Arc::new(Date64Array::from(vec![-1]));
        let days = convert(&array, &DataType::Date32).map(|array| array.as_primitive::<Date32Type>().value(0));
        assert_eq!(days, Ok(-1));
    }

    #[test]
    fn one_identity_has_one_text_whatever_its_type() {
        let arrays: [ArrayRef; 5] = [
            Arc::new(Int32Array::from(vec![105])),
            Arc::new(UInt64Array::from(vec![105])),
            Arc::new(Float64Array::from(vec![105.0])),
            Arc::new(Decimal128Array::from(vec![10_500]).with_data_type(DataType::Decimal128(10, 2))),
            Arc::new(StringArray::from(vec!["105"])),
        ];
        for array in &arrays {
            assert_eq!(identities(array), Ok(StringArray::from(vec!["105"])), "{}", array.data_type());
        }
        let half: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 0.5]));
        assert_eq!(identities(&half).map_err(|bad| bad.row), Err(1));
        let huge: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert_eq!(identities(&huge), Ok(StringArray::from(vec!["18446744073709551615"])));
    }
}
