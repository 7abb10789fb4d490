//! The normal form of identifiers: what two owners wrote differently and mean alike becomes one text.

use std::borrow::Cow;

use phonenumber::{Mode, country};
use unicode_normalization::UnicodeNormalization as _;

/// Longest identifier, in bytes.
const MAX_BYTES: usize = 1024;

/// Brings the identifiers of one identity space into their normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normaliser {
    kind: Kind,
    region: Option<country::Id>,
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
    pub fn with_region(self, region: Option<country::Id>) -> Self {
        Self { region, ..self }
    }

    /// The normal form of `raw`; `None` where nothing is left of it, which is NULL.
    ///
    /// Everywhere: white space around it is cut off, NFKC. E-mail: lower case. Phone: E.164. In every space a text of 64
    /// hexadecimal digits is taken for an identifier that its owner hashed, and folded to lower case without `0x`.
    ///
    /// # Errors
    /// Where the text cannot be an identifier of the space.
    pub fn normalise<'a>(&self, raw: &'a str) -> Result<Option<Cow<'a, str>>, NormaliseError> {
        let trimmed = raw.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        if trimmed.len() > MAX_BYTES {
            return Err(NormaliseError::TooLong);
        }
        let plain = if trimmed.is_ascii() {
            Cow::Borrowed(trimmed)
        } else {
            let composed: String = trimmed.nfkc().collect();
            Cow::Owned(composed.trim().to_owned())
        };
        if plain.chars().any(char::is_control) {
            return Err(NormaliseError::Control);
        }
        if plain.is_empty() {
            return Ok(None);
        }
        if let Some(hash) = hashed(&plain) {
            return Ok(Some(Cow::Owned(hash)));
        }
        match self.kind {
            Kind::Other => Ok(Some(plain)),
            Kind::Email => email(plain).map(Some),
            Kind::Phone => phone(&plain, self.region).map(|number| Some(Cow::Owned(number))),
        }
    }
}

/// A SHA-256 as owners write it.
fn hashed(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}

fn email(text: Cow<'_, str>) -> Result<Cow<'_, str>, NormaliseError> {
    let lower = if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        let lower: String = text.to_lowercase().nfkc().collect();
        Cow::Owned(lower)
    } else {
        text
    };
    let mut parts = lower.split('@');
    let fits = match (parts.next(), parts.next(), parts.next()) {
        (Some(local), Some(domain), None) => !local.is_empty() && !domain.is_empty(),
        _ => false,
    };
    if fits && !lower.chars().any(char::is_whitespace) { Ok(lower) } else { Err(NormaliseError::Email) }
}

fn phone(text: &str, region: Option<country::Id>) -> Result<String, NormaliseError> {
    let international;
    let text = match text.strip_prefix("00") {
        Some(rest) => {
            international = format!("+{rest}");
            international.as_str()
        }
        None => text,
    };
    if !text.starts_with('+') && region.is_none() {
        return Err(NormaliseError::Phone);
    }
    let number = phonenumber::parse(region, text).map_err(|_detail| NormaliseError::Phone)?;
    Ok(number.format().mode(Mode::E164).to_string())
}
