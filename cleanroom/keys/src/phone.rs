//! Telephone numbers in E.164.

use std::str::FromStr;

use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, country};

use crate::normalise::NormaliseError;

/// Digits of an E.164 number, the country code among them. Shorter ones are numbers of a service, not of a person.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Whose numbers those without a country code are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(country::Id);

/// Not the two letters of a country.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a country; name it by its two letters, such as `DE`")]
pub struct UnknownRegion(String);

impl FromStr for Region {
    type Err = UnknownRegion;

    /// Reads a country's two letters (ISO 3166-1), in either case.
    fn from_str(text: &str) -> Result<Self, UnknownRegion> {
        country::Id::from_str(&text.to_ascii_uppercase()).map(Self).map_err(|_unlisted| UnknownRegion(text.to_owned()))
    }
}

/// A number's normal form.
pub(crate) fn e164(text: &str, region: Option<Region>) -> Result<String, NormaliseError> {
    let compact: String = text.chars().filter(|c| !separates(*c)).collect();
    let digits = compact.strip_prefix('+').unwrap_or(&compact);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NormaliseError::Phone);
    }
    match (compact.strip_prefix('+').or_else(|| compact.strip_prefix("00")), region) {
        (Some(digits), _) => international(digits),
        (None, Some(Region(country))) => {
            let number = phonenumber::parse(Some(country), &compact).map_err(|_detail| NormaliseError::Phone)?;
            let written = number.format().mode(Mode::E164).to_string();
            international(written.strip_prefix('+').ok_or(NormaliseError::Phone)?)
        }
        (None, None) => Err(NormaliseError::Phone),
    }
}

/// A number that starts with its country code. Its digits are kept, but for the trunk zero of countries that do not dial it
/// from abroad, as in `+44 (0)20`. No further repair: a guess that differs between two releases of the numbering plan, or
/// makes one of two persons' numbers, is worse than a number that does not match.
fn international(digits: &str) -> Result<String, NormaliseError> {
    // No country code starts with a zero, which would get lost in a number.
    if digits.starts_with('0') {
        return Err(NormaliseError::Phone);
    }
    let (code, plan) = (1..=3)
        .find_map(|length| {
            let code = digits.get(..length)?;
            Some((code, DATABASE.by_code(&code.parse::<u16>().ok()?)?))
        })
        .ok_or(NormaliseError::Phone)?;
    let national = digits.get(code.len()..).unwrap_or_default();
    let trunk_zero = plan.iter().any(|country| country.national_prefix() == Some("0"));
    let national = if trunk_zero { national.trim_start_matches('0') } else { national };
    if !DIGITS.contains(&(code.len() + national.len())) {
        return Err(NormaliseError::Phone);
    }
    Ok(format!("+{code}{national}"))
}

/// What people put between digits.
fn separates(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn numbers_written_in_many_ways_are_one() {
        for text in [
            "+442079460958",
            "+44 20 7946 0958",
            "0044 (0)20 7946-0958",
            "+44/020.7946.0958",
            "+44\u{2011}20\u{2011}79460958",
        ] {
            assert_eq!(e164(text, None).unwrap(), "+442079460958", "{text}");
        }
        let german = Some("de".parse().unwrap());
        assert_eq!(e164("030 123456", german).unwrap(), "+4930123456");
        assert_eq!(e164("+44 20 7946 0958", german).unwrap(), "+442079460958");
        assert_eq!(e164("(212) 555-0123", Some("US".parse().unwrap())).unwrap(), "+12125550123");
    }

    #[test]
    fn zeros_that_belong_to_the_number_stay() {
        assert_eq!(e164("+39 06 6982 1234", None).unwrap(), "+390669821234");
        assert_eq!(e164("+225 01 23 45 67 89", None).unwrap(), "+2250123456789");
    }

    #[test]
    fn what_is_no_international_number_is_refused() {
        for text in [
            "030 123456",
            "+",
            "00",
            "+0 123456789",
            "+44 20",
            "+44207946095812345",
            "+44 20 FLOWERS",
            "call me",
            "+44+20",
        ] {
            assert_eq!(e164(text, None), Err(NormaliseError::Phone), "{text}");
        }
        assert!("Germany".parse::<Region>().is_err());
    }
}
