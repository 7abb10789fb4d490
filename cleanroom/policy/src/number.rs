//! Numbers as documents write them: decimal, with an optional exponent. No hexadecimal, no `.inf`, no digit groups.

use crate::model::Step;

/// Every whole number up to here is exact in JSON.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;
/// So many decimal digits survive a 64-bit float, and with it canonical JSON.
const MAX_DIGITS: usize = 15;
const MAX_PLACES: i64 = 9;

/// The finite number a text writes.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    Parts::of(text)?;
    let number: f64 = text.parse().ok()?;
    // Adding zero makes `-0` the same number as `0`, in canonical JSON too.
    number.is_finite().then_some(number + 0.0)
}

/// The whole number a text writes, up to [`MAX_INTEGER`].
pub(crate) fn integer(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = if digits {
        text.parse().ok()?
    } else {
        return None;
    };
    (number <= MAX_INTEGER).then_some(number)
}

/// The exact step a text writes. The error is the rule it breaks.
pub(crate) fn step(text: &str) -> Result<Step, &'static str> {
    let parts = Parts::of(text).ok_or("a step is a decimal number, such as 0.01")?;
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let digits = digits.trim_start_matches('0');
    if parts.negative || digits.is_empty() {
        return Err("a step is greater than zero");
    }
    let significant = digits.trim_end_matches('0');
    let dropped = (digits.len() - significant.len()) as i64;
    let places = parts.fraction.len() as i64 - parts.exponent - dropped;
    // A whole number of tens carries its zeros in the mantissa.
    let zeros = usize::try_from(-places).unwrap_or(0);
    if significant.len() + zeros > MAX_DIGITS {
        return Err("a step has at most 15 digits");
    }
    let mantissa = format!("{significant}{}", "0".repeat(zeros));
    match (mantissa.parse(), u8::try_from(places.max(0))) {
        (Ok(mantissa), Ok(scale)) if i64::from(scale) <= MAX_PLACES => Ok(Step { mantissa, scale }),
        _ => Err("a step has at most 9 decimal places"),
    }
}

impl Step {
    /// The nearest 64-bit float; exact as a decimal text of at most 15 digits.
    pub fn as_f64(self) -> f64 {
        self.mantissa as f64 / 10f64.powi(i32::from(self.scale))
    }
}

/// `[-+]?digits[.digits][e[-+]digits]`, with a digit on at least one side of the point.
struct Parts<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i64,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.is_empty() || digits.len() > 4 || !all_digits(digits) {
                    return None;
                }
                (number, exponent.parse().ok()?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let some_digit = !(whole.is_empty() && fraction.is_empty());
        (some_digit && all_digits(whole) && all_digits(fraction)).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn steps_are_exact_and_have_one_form() {
        let cases = [
            ("0.01", 1, 2),
            ("0.010", 1, 2),
            (".5", 5, 1),
            ("1", 1, 0),
            ("1.", 1, 0),
            ("100", 100, 0),
            ("1e2", 100, 0),
            ("1e-9", 1, 9),
            ("2.50", 25, 1),
            ("0.123456789", 123_456_789, 9),
        ];
        for (text, mantissa, scale) in cases {
            assert_eq!(step(text), Ok(Step { mantissa, scale }), "{text}");
            assert_eq!(step(&step(text).unwrap().as_f64().to_string()), step(text), "{text}");
        }
    }

    #[test]
    fn steps_that_are_not() {
        let cases = [
            "0",
            "0.00",
            "-1",
            "",
            ".",
            "1e",
            "e1",
            "0x1",
            "1_000",
            ".inf",
            "0.0000000001",
            "1e-10",
            "1e20",
            "1e9999",
            "1e-9999",
            "1e99999",
            "1234567890123456",
        ];
        for text in cases {
            assert!(step(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_finite_and_zero_has_no_sign() {
        assert!(decimal("-0").is_some_and(|zero| zero.is_sign_positive()));
        assert_eq!(decimal("-12.5e-1"), Some(-1.25));
        for text in ["1e999", "nan", "inf", "1 0", "", "-", "0x10"] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(integer("9007199254740991"), Some(MAX_INTEGER));
        assert_eq!(integer("9007199254740992"), None);
        assert_eq!(integer("+1"), None);
    }
}
