//! Tokens.

use crate::room_key::RoomKey;

/// What a tokenised column's texts start with.
pub(crate) const PREFIX: &str = "crt1_";

/// The length of a token's text, in bytes.
pub(crate) const TEXT_LENGTH: usize = PREFIX.len() + 64;

/// The token of an identifier: 32 bytes that only the holder of the room's key can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; 32]);

impl Token {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text a tokenised column holds: `crt1_` and 64 lower-case hexadecimal digits.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", hex::encode(self.0))
    }
}

impl RoomKey {
    /// The token of an identifier in its normal form (see [`crate::normaliser`]).
    ///
    /// BLAKE3 in keyed mode (BLAKE3 specification, `keyed_hash`), under a key derived from the room's (`derive_key`), over the
    /// length of the space's name in 8 bytes (little-endian), the name, and the identifier: no two pairs of space and
    /// identifier give the same input.
    pub fn token(&self, space: &str, normalised: &str) -> Token {
        self.hasher(space).token(normalised)
    }

    /// The token as the text a tokenised column holds.
    pub fn token_text(&self, space: &str, normalised: &str) -> String {
        self.token(space, normalised).to_text()
    }

    /// For many identifiers of a space.
    pub(crate) fn hasher(&self, space: &str) -> TokenHasher<'_> {
        let mut input = Vec::with_capacity(128);
        input.extend_from_slice(&(space.len() as u64).to_le_bytes());
        input.extend_from_slice(space.as_bytes());
        TokenHasher { key: self, prefix: input.len(), input }
    }
}

/// Hashes the identifiers of a space, in memory that it keeps.
pub(crate) struct TokenHasher<'a> {
    key: &'a RoomKey,
    /// The length of what precedes an identifier.
    prefix: usize,
    input: Vec<u8>,
}

impl TokenHasher<'_> {
    pub(crate) fn token(&mut self, normalised: &str) -> Token {
        self.input.truncate(self.prefix);
        self.input.extend_from_slice(normalised.as_bytes());
        Token(*blake3::keyed_hash(self.key.token_key(), &self.input).as_bytes())
    }

    /// Appends the token's text to `texts`: [`TEXT_LENGTH`] bytes of ASCII.
    pub(crate) fn append_text(&mut self, normalised: &str, texts: &mut Vec<u8>) {
        let mut text = [0; TEXT_LENGTH];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.token(normalised).0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        texts.extend_from_slice(&text);
    }
}

/// The lower-case hexadecimal digit of a number below 16. Computed, since sixteen of them are then computed at once.
const fn digit(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

/// Reads the text of a tokenised column; `None` where it is not a token.
pub fn parse_token_text(text: &str) -> Option<Token> {
    let digits = text.trim().strip_prefix(PREFIX)?;
    if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Token(bytes))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> RoomKey {
        RoomKey::from_bytes([7; 32])
    }

    /// Computed by another implementation of BLAKE3. Should it change, no partner's tokens match any more.
    #[test]
    fn tokens_stay_as_they_are() {
        assert_eq!(
            key().token_text("email", "ada@example.org"),
            "crt1_bfe5daef92a4f903d33544b32826de265ed79951391454d1fd5e2421c27c69f6"
        );
    }

    #[test]
    fn space_and_identifier_are_kept_apart() {
        assert_ne!(key().token("ab", "c"), key().token("a", "bc"));
        assert_ne!(key().token("ab", ""), key().token("", "ab"));
        let long = "s".repeat(255);
        assert_ne!(key().token(&long, "sb"), key().token(&format!("{long}s"), "b"));
        assert_ne!(key().token("id", "1"), RoomKey::from_bytes([8; 32]).token("id", "1"));
    }

    #[test]
    fn a_hasher_forgets_what_it_hashed_before() {
        let key = key();
        let mut hasher = key.hasher("id");
        for identifier in ["a long identifier", "short", "", "a long identifier"] {
            assert_eq!(hasher.token(identifier), key.token("id", identifier));
            let mut texts = b"before".to_vec();
            hasher.append_text(identifier, &mut texts);
            assert_eq!(texts, format!("before{}", key.token_text("id", identifier)).into_bytes());
        }
    }

    #[test]
    fn what_is_no_token_is_told() {
        let text = key().token_text("id", "1");
        assert_eq!(parse_token_text(&text), Some(key().token("id", "1")));
        let upper = text.to_uppercase().replace("CRT1_", "crt1_");
        for other in ["", "crt1_", &text[..68], &format!("{text}0"), &upper, &text[5..], &text.replace("crt1", "crt2")]
        {
            assert_eq!(parse_token_text(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_token_comes_back_from_its_text(identifier in any::<String>()) {
            let token = key().token("id", &identifier);
            prop_assert_eq!(parse_token_text(&token.to_text()).unwrap(), token);
        }
    }
}
