//! One value of a text file, and what type it could have.

use std::borrow::Cow;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser as _, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type};

use super::super::arrays::{MAX_TEXT, day, finite, instant, integral};
use super::super::layout::{SourceColumn, TIMESTAMP, Want};

/// One value as the file spells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Empty, or JSON's null.
    Null,
    /// A field of a CSV file: only its text tells what it is.
    Bare(&'a str),
    /// A number of JSON, by its text.
    Number(&'a str),
    /// `true` or `false` of JSON.
    Boolean(&'a str),
    /// A string of JSON.
    Text(&'a str),
    /// An array or object of JSON.
    Nested,
}

/// What all values of a column so far have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Boolean,
    Integer,
    Float,
    Date,
    Timestamp,
    Text,
    Nested,
}

impl Seen {
    /// Takes one more value of a column of which the policy wants `want`.
    pub(crate) fn observe(self, want: Want, cell: Cell<'_>) -> Result<Self, &'static str> {
        let next = match (want, cell) {
            (_, Cell::Null) => return Ok(self),
            (_, Cell::Bare(text) | Cell::Text(text)) if text.len() > MAX_TEXT => {
                return Err("the text is longer than 1 MiB");
            }
            (Want::Identity, cell) => identity(cell).map(|_| Self::Text)?,
            (Want::Number, Cell::Bare(text) | Cell::Number(text) | Cell::Text(text)) => {
                number(text).ok_or("not a number")?
            }
            (Want::Number, Cell::Boolean(_) | Cell::Nested) => return Err("not a number"),
            (Want::Time, Cell::Bare(text) | Cell::Text(text)) => {
                time(text).ok_or("neither a date nor a timestamp (`2026-01-31`, `2026-01-31T12:00:00`)")?
            }
            (Want::Time, Cell::Number(_) | Cell::Boolean(_) | Cell::Nested) => {
                return Err("neither a date nor a timestamp (`2026-01-31`, `2026-01-31T12:00:00`)");
            }
            (Want::Any, Cell::Nested) => Self::Nested,
            // Nothing can change it any more.
            (Want::Any, _) if matches!(self, Self::Text | Self::Nested) => return Ok(self),
            (Want::Any, Cell::Boolean(_)) => Self::Boolean,
            (Want::Any, Cell::Text(text)) => time(text).unwrap_or(Self::Text),
            (Want::Any, Cell::Number(text)) => plain_number(text).unwrap_or(Self::Text),
            (Want::Any, Cell::Bare(text)) => {
                plain_number(text).or_else(|| boolean(text)).or_else(|| time(text)).unwrap_or(Self::Text)
            }
        };
        Ok(self.join(next))
    }

    fn join(self, next: Self) -> Self {
        match (self, next) {
            (Self::Nothing, next) => next,
            (seen, next) if seen == next => seen,
            (Self::Nested, _) | (_, Self::Nested) => Self::Nested,
            (Self::Integer, Self::Float) | (Self::Float, Self::Integer) => Self::Float,
            (Self::Date, Self::Timestamp) | (Self::Timestamp, Self::Date) => Self::Timestamp,
            _ => Self::Text,
        }
    }

    /// The type that holds all values; `None` where none does.
    pub(crate) fn data_type(self, want: Want) -> Option<DataType> {
        match (self, want) {
            (Self::Nothing, Want::Number) | (Self::Integer, _) => Some(DataType::Int64),
            (Self::Nothing, Want::Time) | (Self::Timestamp, _) => Some(TIMESTAMP),
            (Self::Nothing, Want::Any | Want::Identity) | (Self::Text, _) => Some(DataType::Utf8),
            (Self::Boolean, _) => Some(DataType::Boolean),
            (Self::Float, _) => Some(DataType::Float64),
            (Self::Date, _) => Some(DataType::Date32),
            (Self::Nested, _) => None,
        }
    }

    /// The column `name`, once all its values were seen.
    pub(crate) fn column(self, name: &str, want: Want) -> SourceColumn {
        let target = self.data_type(want);
        let type_name = target.as_ref().map_or_else(|| "nested data".to_owned(), DataType::to_string);
        SourceColumn { name: name.to_owned(), target, identity: self != Self::Nested, type_name }
    }
}

/// An identity's text. A JSON number is spelled as an integer; what stands in CSV or in quotes is taken as it is.
pub(crate) fn identity<'a>(cell: Cell<'a>) -> Result<Option<Cow<'a, str>>, &'static str> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Bare(text) | Cell::Text(text) => Ok(Some(Cow::Borrowed(text))),
        Cell::Number("-0") => Ok(Some(Cow::Borrowed("0"))),
        Cell::Number(text) if digits(text.strip_prefix('-').unwrap_or(text)) => Ok(Some(Cow::Borrowed(text))),
        Cell::Number(text) => {
            let whole = text.parse().ok().and_then(integral);
            whole.map(|text| Some(Cow::Owned(text))).ok_or("the unit is not a whole number")
        }
        Cell::Boolean(_) | Cell::Nested => Err("the unit is neither text nor a whole number"),
    }
}

/// The day of `YYYY-MM-DD`, counted from the Unix era.
pub(crate) fn date(text: &str) -> Option<i32> {
    let fits = text.len() == 10 && text.is_ascii();
    fits.then(|| Date32Type::parse(text)).flatten().and_then(|days| day(i64::from(days)).ok())
}

/// Microseconds of an ISO 8601 timestamp; without a zone, it is taken for UTC.
pub(crate) fn timestamp(text: &str, utc: &Tz) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = |position: usize, wanted: &[u8]| bytes.get(position).is_some_and(|byte| wanted.contains(byte));
    if !(16..=40).contains(&text.len()) || !text.is_ascii() || !shape(10, b"T ") || !shape(13, b":") {
        return None;
    }
    let full = if shape(16, b":") {
        Cow::Borrowed(text)
    } else {
        let (minutes, zone) = text.split_at_checked(16)?;
        Cow::Owned(format!("{minutes}:00{zone}"))
    };
    let micros = string_to_datetime(utc, &full).ok()?.timestamp_micros();
    date(text.get(..10)?)?;
    instant(micros).ok()
}

/// The zone of [`timestamp`].
pub(crate) fn utc() -> Option<Tz> {
    "+00:00".parse().ok()
}

/// Any spelling of a finite number, for columns that must hold numbers.
fn number(text: &str) -> Option<Seen> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned) {
        return Some(if text.parse::<i64>().is_ok() { Seen::Integer } else { Seen::Float });
    }
    decimal(unsigned).then(|| text.parse().ok()).flatten().and_then(|value| finite(value).ok()).map(|_| Seen::Float)
}

/// A number that loses nothing when read as one: neither `007` nor `+1`, nor more digits than fit.
fn plain_number(text: &str) -> Option<Seen> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mut bytes = unsigned.bytes();
    match (bytes.next(), bytes.next()) {
        (Some(b'0'), Some(second)) if second.is_ascii_digit() => None,
        (Some(b'0'..=b'9' | b'.'), _) => match number(text)? {
            Seen::Float if digits(unsigned) => None,
            seen => Some(seen),
        },
        _ => None,
    }
}

fn boolean(text: &str) -> Option<Seen> {
    (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")).then_some(Seen::Boolean)
}

fn time(text: &str) -> Option<Seen> {
    // Looked at first, since hardly any text gets beyond it.
    if text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    if date(text).is_some() {
        return Some(Seen::Date);
    }
    timestamp(text, &utc()?).map(|_| Seen::Timestamp)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits with a point among them or an exponent behind.
fn decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() || !fraction.is_empty())
        && only_digits(whole)
        && only_digits(fraction)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cells: &[&str]) -> Result<Seen, &'static str> {
        cells.iter().try_fold(Seen::Nothing, |seen, cell| seen.observe(Want::Any, Cell::Bare(cell)))
    }

    #[test]
    fn a_column_has_the_type_of_all_its_values() {
        assert_eq!(seen(&["1", "-20", "0"]), Ok(Seen::Integer));
        assert_eq!(seen(&["1", "2.5", "-1e3", ".5"]), Ok(Seen::Float));
        assert_eq!(seen(&["true", "False"]), Ok(Seen::Boolean));
        assert_eq!(seen(&["2026-01-31", "0001-01-01"]), Ok(Seen::Date));
        assert_eq!(seen(&["2026-01-31", "2026-01-31T10:00:00.123456Z", "2026-01-31 10:00"]), Ok(Seen::Timestamp));
        for text in [
            "007",
            "+1",
            "-",
            ".",
            "1e",
            "e5",
            "1e999",
            "NaN",
            "inf",
            "99999999999999999999",
            "1,5",
            " 1",
            "1_0",
            "2026-02-30",
            "0000-01-01",
            "2026-1-1",
            "2026-01-31T25:00:00",
            "x",
        ] {
            assert_eq!(seen(&["1", text]), Ok(Seen::Text), "{text}");
            assert_eq!(seen(&[text]), Ok(Seen::Text), "{text}");
        }
        assert_eq!(seen(&["1", "true"]), Ok(Seen::Text));
        assert_eq!(seen(&["1", "2026-01-31"]), Ok(Seen::Text));
    }

    #[test]
    fn a_column_that_must_hold_numbers_takes_any_spelling() {
        for text in ["007", "+1", "1.", ".5", "99999999999999999999", "-1E-3"] {
            assert!(Seen::Nothing.observe(Want::Number, Cell::Bare(text)).is_ok(), "{text}");
        }
        for text in ["", "NaN", "inf", "-infinity", "1e999", "0x10", "1 ", "one"] {
            assert!(Seen::Nothing.observe(Want::Number, Cell::Bare(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_are_microseconds_of_utc() {
        let micros = |text: &str| utc().and_then(|utc| timestamp(text, &utc));
        assert_eq!(micros("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(micros("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(micros("1970-01-01T01:00+01:00"), Some(0));
        assert_eq!(micros("1969-12-31T23:59:59.9999999Z"), Some(-1));
        assert_eq!(micros("9999-12-31T23:59:59-01:00"), None);
        assert_eq!(micros("1970-01-01T00:00:00 ♥"), None);
    }

    #[test]
    fn numbers_of_json_that_are_one_identity_have_one_text() {
        for text in ["105", "105.0", "1.05e2"] {
            assert_eq!(identity(Cell::Number(text)).ok().flatten().as_deref(), Some("105"), "{text}");
        }
        assert!(identity(Cell::Number("0.5")).is_err());
        assert!(identity(Cell::Nested).is_err());
    }
}
