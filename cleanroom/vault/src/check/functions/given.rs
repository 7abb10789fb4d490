//! What an argument must be so that no row decides what it is: a constant of some kind, looked at before anything runs.

use std::fmt;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use super::constant;
use super::table::Function;
use crate::refusal::{Code, Refusal};

/// Longest constant text, in bytes.
const MAX_TEXT: usize = 256;

/// Longest interval of a `date_bin`: a hundred years, as for intervals that are added.
const MAX_MONTHS: i32 = 1_200;
const MAX_DAYS: i32 = 36_600;
const MAX_NANOSECONDS: i64 = 36_600 * 86_400 * 1_000_000_000;

/// Parts of a format that no time fails on.
const FORMATS: &str = "YmdHMSjyBbhaAuweIpFTRVGC%";

/// A constant argument of a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Given {
    /// A whole number in this range, ends included.
    Integer(i64, i64),
    /// A number of at most this size.
    Number(f64),
    /// A short text.
    Text,
    /// A short text that is not empty.
    NotEmpty,
    /// A short text of ASCII characters: what upper and lower case cannot make longer.
    Ascii,
    /// As `Ascii`, and no longer than the argument at this position.
    NoLongerThan(usize),
    /// One of these words.
    Unit(&'static [&'static str]),
    /// An interval above zero.
    Stride,
    /// A date or time.
    Moment,
    /// A format of a time.
    Format,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Integer(low, high) => write!(f, "a constant whole number from {low} to {high}"),
            Given::Number(most) => write!(f, "a constant number from -{most} to {most}"),
            Given::Text => write!(f, "a constant text of at most {MAX_TEXT} bytes"),
            Given::NotEmpty => write!(f, "a constant text of 1 to {MAX_TEXT} bytes"),
            Given::Ascii => write!(f, "a constant ASCII text of at most {MAX_TEXT} bytes"),
            Given::NoLongerThan(position) => {
                write!(f, "a constant ASCII text no longer than argument {}", position.saturating_add(1))
            }
            Given::Unit(words) => write!(f, "one of {}", words.join(", ")),
            Given::Stride => write!(f, "a constant interval of at most 100 years, in months or in days and less"),
            Given::Moment => write!(f, "a constant date or time"),
            Given::Format => {
                write!(
                    f,
                    "a constant format of at most 64 bytes with any of %{}",
                    FORMATS.split("").filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" %")
                )
            }
        }
    }
}

impl Given {
    fn holds(self, value: &ScalarValue, args: &[Expr]) -> bool {
        let text = text_of(value);
        match self {
            Given::Integer(low, high) => integer_of(value).is_some_and(|value| (low..=high).contains(&value)),
            Given::Number(most) => match value.cast_to(&arrow::datatypes::DataType::Float64) {
                Ok(ScalarValue::Float64(Some(number))) => number.abs() <= most && text.is_none(),
                _ => false,
            },
            Given::Text => text.is_some_and(|text| text.len() <= MAX_TEXT),
            Given::NotEmpty => text.is_some_and(|text| (1..=MAX_TEXT).contains(&text.len())),
            Given::Ascii => text.is_some_and(|text| text.len() <= MAX_TEXT && text.is_ascii()),
            Given::NoLongerThan(position) => {
                let from = args.get(position).and_then(constant);
                let most = from.as_ref().and_then(text_of).map_or(0, str::len);
                text.is_some_and(|text| text.len() <= most && text.is_ascii())
            }
            Given::Unit(words) => text.is_some_and(|text| words.contains(&text.to_ascii_lowercase().as_str())),
            Given::Stride => stride(value),
            Given::Moment => match value {
                ScalarValue::TimestampNanosecond(moment, None)
                | ScalarValue::TimestampMicrosecond(moment, None)
                | ScalarValue::TimestampMillisecond(moment, None)
                | ScalarValue::TimestampSecond(moment, None) => moment.is_some(),
                _ => false,
            },
            Given::Format => text.is_some_and(format),
        }
    }
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        _ => None,
    }
}

fn integer_of(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(Some(value)) => Some(*value),
        ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
        _ => None,
    }
}

fn stride(value: &ScalarValue) -> bool {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let (months, days, nanoseconds) = (interval.months, interval.days, interval.nanoseconds);
            let in_months = days == 0 && nanoseconds == 0 && (1..=MAX_MONTHS).contains(&months);
            let in_days = months == 0
                && (0..=MAX_DAYS).contains(&days)
                && (0..=MAX_NANOSECONDS).contains(&nanoseconds)
                && (days > 0 || nanoseconds > 0);
            in_months || in_days
        }
        _ => false,
    }
}

fn format(text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '%' && !characters.next().is_some_and(|part| FORMATS.contains(part)) {
            return false;
        }
    }
    text.len() <= 64
}

/// The arguments with constants written out where the function takes one; refused where something else stands there.
pub(crate) fn folded(function: &Function, args: &[Expr]) -> Result<Vec<Expr>, Refusal> {
    let mut folded = args.to_vec();
    for (position, given) in function.given {
        let Some(arg) = args.get(*position) else { continue };
        match constant(arg) {
            // A text may look like a number that was not looked at.
            Some(value) if given.holds(&value, args) && !from_text(arg, &value) => {
                if let Some(place) = folded.get_mut(*position) {
                    *place = Expr::Literal(value, None);
                }
            }
            _ => {
                return Err(Refusal::new(
                    Code::Function,
                    format!(
                        "argument {} of `{}` is {given}: {}",
                        position.saturating_add(1),
                        function.name,
                        function.usage
                    ),
                )
                .about(function.name));
            }
        }
    }
    Ok(folded)
}

/// Whether a number was written as a text.
fn from_text(arg: &Expr, value: &ScalarValue) -> bool {
    value.data_type().is_numeric() && super::literal(arg).is_some_and(|said| text_of(said).is_some())
}
