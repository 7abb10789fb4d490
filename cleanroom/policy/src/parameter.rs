//! Values of parameters: text to what it stands for, by type, with one form for one value.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime};

use crate::model::{Parameter, ParameterType};

/// Longest text, in bytes.
const MAX_TEXT: usize = 4096;
/// So many decimal digits survive a 64-bit float.
const MAX_DIGITS: usize = 15;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond digits:1+]]]");
const SHOWN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// The value of a parameter. It stands for a constant and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    /// Any text of at most 4096 bytes without NUL.
    Text(String),
    /// A 64-bit integer.
    Integer(i64),
    /// A decimal number of at most 15 digits, written with a point and no exponent, and no zeros that say nothing.
    Decimal(String),
    /// `YYYY-MM-DD`, in the years 1 to 9999.
    Date(String),
    /// `YYYY-MM-DD HH:MM:SS.ffffff`, in the years 1678 to 2261, which nanoseconds since 1970 can hold.
    Timestamp(String),
    /// `true` or `false`.
    Boolean(bool),
}

impl ParameterValue {
    /// Reads the text of a value of the type `kind`.
    ///
    /// # Errors
    /// What such a value looks like, in a few words, where `text` is none. The text itself is not repeated.
    pub fn parse(kind: ParameterType, text: &str) -> Result<Self, &'static str> {
        match kind {
            ParameterType::Text => match text.len() <= MAX_TEXT && !text.contains('\0') {
                true => Ok(Self::Text(text.to_owned())),
                false => Err("a text of at most 4096 bytes"),
            },
            ParameterType::Integer => integer(text).map(Self::Integer).ok_or("an integer of 64 bits"),
            ParameterType::Decimal => {
                decimal(text).map(Self::Decimal).ok_or("a decimal number of at most 15 digits, without an exponent")
            }
            ParameterType::Date => date(text).map(Self::Date).ok_or("a date, written YYYY-MM-DD"),
            ParameterType::Timestamp => {
                moment(text).map(Self::Timestamp).ok_or("a time in the years 1678 to 2261, written YYYY-MM-DDTHH:MM:SS")
            }
            ParameterType::Boolean => match text {
                "true" => Ok(Self::Boolean(true)),
                "false" => Ok(Self::Boolean(false)),
                _ => Err("`true` or `false`"),
            },
        }
    }
}

impl Parameter {
    /// Whether the template's author allows `value`.
    pub fn allows(&self, value: &ParameterValue) -> bool {
        self.values
            .as_ref()
            .is_none_or(|values| values.iter().any(|text| ParameterValue::parse(self.kind, text).as_ref() == Ok(value)))
    }
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn decimal(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() + fraction.len() > MAX_DIGITS {
        return None;
    }
    let filled = |part: &str| if part.is_empty() { "0".to_owned() } else { part.to_owned() };
    let sign = if whole.is_empty() && fraction.is_empty() { "" } else { sign };
    Some(format!("{sign}{}.{}", filled(whole), filled(fraction)))
}

fn date(text: &str) -> Option<String> {
    let date = Date::parse(text, DATE).ok()?;
    // The length leaves no room for a sign or a longer year.
    (text.len() == 10 && (1..=9999).contains(&date.year())).then(|| text.to_owned())
}

fn moment(text: &str) -> Option<String> {
    let plain = text.is_ascii() && (19..=26).contains(&text.len());
    let joined = text.replacen(' ', "T", 1);
    let moment = plain.then(|| PrimitiveDateTime::parse(&joined, MOMENT).ok()).flatten()?;
    (1678..=2261).contains(&moment.year()).then(|| moment.format(SHOWN).ok()).flatten()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_form() {
        let cases = [
            (ParameterType::Decimal, "-012.50", ParameterValue::Decimal("-12.5".to_owned())),
            (ParameterType::Decimal, "-0", ParameterValue::Decimal("0.0".to_owned())),
            (ParameterType::Decimal, "8", ParameterValue::Decimal("8.0".to_owned())),
            (ParameterType::Integer, "-9223372036854775808", ParameterValue::Integer(i64::MIN)),
            (ParameterType::Date, "2024-02-29", ParameterValue::Date("2024-02-29".to_owned())),
            (
                ParameterType::Timestamp,
                "2024-02-29T01:02:03.5",
                ParameterValue::Timestamp("2024-02-29 01:02:03.500000".to_owned()),
            ),
            (
                ParameterType::Timestamp,
                "2024-02-29 01:02:03",
                ParameterValue::Timestamp("2024-02-29 01:02:03.000000".to_owned()),
            ),
            (ParameterType::Boolean, "true", ParameterValue::Boolean(true)),
            (ParameterType::Text, "' OR 1=1 --", ParameterValue::Text("' OR 1=1 --".to_owned())),
        ];
        for (kind, text, value) in cases {
            assert_eq!(ParameterValue::parse(kind, text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_refused() {
        let long = "x".repeat(MAX_TEXT + 1);
        #[rustfmt::skip]
        let cases = [
            (ParameterType::Integer, vec!["", "-", "+1", "1.0", "1e3", "0x10", "9223372036854775808", "१", "1 OR 1=1", "NaN"]),
            (ParameterType::Decimal, vec!["", ".", "1.", ".5", "1e3", "NaN", "inf", "-Infinity", "1234567890.1234567", "1,5", "--1"]),
            (ParameterType::Date, vec!["", "2023-02-29", "2024-1-1", "0000-01-01", "+2024-01-01", "10000-01-01", "2024-01-01'", "now"]),
            (ParameterType::Timestamp, vec!["2024-01-01", "1600-01-01T00:00:00", "2024-01-01T24:00:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.1234567"]),
            (ParameterType::Boolean, vec!["", "TRUE", "1", "yes"]),
            (ParameterType::Text, vec!["a\0b", long.as_str()]),
        ];
        for (kind, texts) in cases {
            for text in texts {
                assert!(ParameterValue::parse(kind, text).is_err(), "{kind}: {text}");
            }
        }
    }
}
