//! The normal form of identifiers: what two owners wrote differently and mean alike becomes one text.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

use crate::phone::{self, Region};

/// Longest identifier, in bytes.
const MAX_BYTES: usize = 1024;

/// Brings the identifiers of one identity space into their normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normaliser {
    kind: Kind,
    region: Option<Region>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Email,
    Phone,
    Other,
}

/// Why an identifier has no normal form. The identifier itself is never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NormaliseError {
    /// Not one `@` with text on both sides, or white space inside.
    #[error("not an e-mail address")]
    Email,
    /// Not a phone number in international form.
    #[error("not a phone number in international form (`+` and the country code)")]
    Phone,
    /// A control character.
    #[error("the identifier holds a control character")]
    Control,
    /// Longer than any identifier.
    #[error("the identifier is longer than 1024 bytes")]
    TooLong,
}

/// The normal form of an identity space: `email` and `phone` have their own, every other space is taken as text.
pub fn normaliser(space: &str) -> Normaliser {
    let kind = match space {
        "email" => Kind::Email,
        "phone" => Kind::Phone,
        _ => Kind::Other,
    };
    Normaliser { kind, region: None }
}

impl Normaliser {
    /// Reads phone numbers without a country code as numbers of this country.
    #[must_use]
    pub fn with_region(self, region: Option<Region>) -> Self {
        Self { region, ..self }
    }

    /// The normal form of `raw`; `None` where nothing is left of it, which is NULL. A normal form is its own normal form.
    ///
    /// Everywhere: white space around it is cut off, NFKC. E-mail: lower case. Phone: E.164. In every space a text of 64
    /// hexadecimal digits is taken for an identifier that its owner hashed, and folded to lower case without `0x`; it
    /// matches only the identifiers that others hashed likewise. Numbers are text: `7` and `007` are two identifiers.
    ///
    /// # Errors
    /// Where the text cannot be an identifier of the space, holds a control character or is longer than 1024 bytes.
    pub fn normalise<'a>(&self, raw: &'a str) -> Result<Option<Cow<'a, str>>, NormaliseError> {
        if self.is_plainly_normal(raw) { Ok(Some(Cow::Borrowed(raw))) } else { self.normalise_any(raw) }
    }

    fn normalise_any<'a>(&self, raw: &'a str) -> Result<Option<Cow<'a, str>>, NormaliseError> {
        let trimmed = raw.trim();
        if trimmed.len() > MAX_BYTES {
            return Err(NormaliseError::TooLong);
        }
        let plain = if trimmed.is_ascii() {
            Cow::Borrowed(trimmed)
        } else {
            let composed: String = trimmed.nfkc().collect();
            // Some signs decompose into a space and an accent.
            Cow::Owned(composed.trim().to_owned())
        };
        if plain.is_empty() {
            return Ok(None);
        }
        let controls = match plain.is_ascii() {
            true => plain.bytes().any(|byte| byte.is_ascii_control()),
            false => plain.chars().any(char::is_control),
        };
        if controls {
            return Err(NormaliseError::Control);
        }
        let normal = match (hashed(&plain), self.kind) {
            (Some(hash), _) => Cow::Owned(hash),
            (None, Kind::Other) => plain,
            (None, Kind::Email) => email(plain)?,
            (None, Kind::Phone) => Cow::Owned(phone::e164(&plain, self.region)?),
        };
        // One character can become eighteen.
        if normal.len() > MAX_BYTES { Err(NormaliseError::TooLong) } else { Ok(Some(normal)) }
    }

    /// Whether a glance tells that the text is its own normal form, as it does of most. Too short for a hash, nothing but
    /// visible ASCII, no capital in an e-mail address.
    fn is_plainly_normal(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        // Every byte is looked at, without a branch, so that many are looked at once.
        let all = |fits: fn(u8) -> bool| bytes.iter().fold(true, |all, byte| all & fits(*byte));
        (1..64).contains(&bytes.len())
            && match self.kind {
                Kind::Other => all(|byte| byte.is_ascii_graphic()),
                Kind::Email => {
                    let signs = bytes.iter().fold(0_u8, |signs, byte| signs + u8::from(*byte == b'@'));
                    all(|byte| byte.is_ascii_graphic() & !byte.is_ascii_uppercase())
                        && signs == 1
                        && !text.starts_with('@')
                        && !text.ends_with('@')
                }
                Kind::Phone => false,
            }
    }
}

/// A SHA-256 as owners write it.
fn hashed(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}

fn email(text: Cow<'_, str>) -> Result<Cow<'_, str>, NormaliseError> {
    let lower = if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text
    } else {
        // Lower case can undo the composition.
        Cow::Owned(text.to_lowercase().nfkc().collect())
    };
    let mut signs = lower.bytes().enumerate().filter(|(_, byte)| *byte == b'@').map(|(position, _)| position);
    let whole = match (signs.next(), signs.next()) {
        (Some(sign), None) => sign > 0 && sign + 1 < lower.len(),
        _ => false,
    };
    let spaced = match lower.is_ascii() {
        true => lower.bytes().any(|byte| byte.is_ascii_whitespace()),
        false => lower.chars().any(char::is_whitespace),
    };
    if whole && !spaced { Ok(lower) } else { Err(NormaliseError::Email) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(space: &str, raw: &str) -> Option<String> {
        normaliser(space).normalise(raw).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn email_is_trimmed_composed_and_lower_case() {
        for raw in ["Zoë@Example.org", "\u{a0} zoe\u{308}@EXAMPLE.ORG\r\n", "ＺＯＥ\u{308}@example.org"] {
            assert_eq!(normal("email", raw).unwrap(), "zoë@example.org", "{raw}");
        }
        assert_eq!(normal("email", "A.b+C@x.de").unwrap(), "a.b+c@x.de");
    }

    #[test]
    fn what_is_no_email_is_refused() {
        for raw in ["", "x", "@x.de", "a@", "a@b@c", "a b@x.de", "a@x .de"] {
            let result = normaliser("email").normalise(raw);
            assert_eq!(result, if raw.is_empty() { Ok(None) } else { Err(NormaliseError::Email) }, "{raw}");
        }
    }

    #[test]
    fn other_spaces_keep_their_case_and_zeros() {
        assert_eq!(normal("household", " 0042 ").unwrap(), "0042");
        assert_eq!(normal("household", "Ab-ﬁ²").unwrap(), "Ab-fi2");
        assert_eq!(normal("household", "cafe\u{301}"), normal("household", "caf\u{e9}"));
    }

    #[test]
    fn nothing_is_null() {
        for space in ["email", "phone", "household"] {
            for raw in ["", "  ", "\t\r\n", "\u{3000}"] {
                assert_eq!(normal(space, raw), None);
            }
        }
    }

    #[test]
    fn a_hash_is_an_identifier_of_every_space() {
        let hash = "ab01".repeat(16);
        for space in ["email", "phone", "household"] {
            assert_eq!(normal(space, &hash).unwrap(), hash);
            assert_eq!(normal(space, &format!(" 0x{} ", hash.to_uppercase())).unwrap(), hash);
        }
        assert!(normaliser("email").normalise(&hash[1..]).is_err());
    }

    #[test]
    fn control_characters_and_long_texts_are_refused() {
        assert_eq!(normaliser("id").normalise("a\0b"), Err(NormaliseError::Control));
        assert_eq!(normaliser("email").normalise("a\u{85}b@x.de"), Err(NormaliseError::Control));
        assert_eq!(normaliser("id").normalise(&"x".repeat(1025)), Err(NormaliseError::TooLong));
        assert_eq!(normaliser("id").normalise(&"\u{fdfa}".repeat(300)), Err(NormaliseError::TooLong));
        assert_eq!(normal("id", &"x".repeat(1024)).unwrap().len(), 1024);
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(space in "email|phone|id", raw in any::<String>()) {
            if let Ok(Some(once)) = normaliser(&space).normalise(&raw) {
                prop_assert_eq!(normaliser(&space).normalise(&once).unwrap().unwrap(), once.clone());
            }
        }

        #[test]
        fn a_glance_tells_no_other_than_a_close_look(space in "email|phone|id", raw in r"[ -~]{0,4}|[ -~é\t]{0,70}|[a-z@.A]{0,8}|[0-9a-f]{62,66}|0x[0-9a-f]{64}") {
            let normaliser = normaliser(&space);
            prop_assert_eq!(normaliser.normalise(&raw), normaliser.normalise_any(&raw));
        }

        #[test]
        fn an_email_normal_form_is_its_own(raw in r"[^@\s\p{Cc}]{1,8}@[^@\s\p{Cc}]{1,8}") {
            if let Ok(Some(once)) = normaliser("email").normalise(&raw) {
                prop_assert_eq!(normaliser("email").normalise(&once).unwrap().unwrap(), once.clone());
            }
        }

        #[test]
        fn a_phone_normal_form_is_its_own(raw in r"(\+|00)[1-9][0-9]{6,14}") {
            if let Ok(Some(once)) = normaliser("phone").normalise(&raw) {
                prop_assert_eq!(normaliser("phone").normalise(&once).unwrap().unwrap(), once.clone());
            }
        }

        #[test]
        fn composed_and_decomposed_are_one(raw in any::<String>()) {
            let (composed, decomposed): (String, String) = (raw.nfc().collect(), raw.nfd().collect());
            let of = |text: &str| normaliser("id").normalise(text).map(|normal| normal.map(Cow::into_owned));
            prop_assert_eq!(of(&composed), of(&decomposed));
        }
    }
}
