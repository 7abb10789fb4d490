//! Tokens.

use crate::room_key::RoomKey;

/// What a tokenised column's texts start with.
const PREFIX: &str = "crt1_";

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
    /// BLAKE3 in keyed mode (BLAKE3 specification, 2.1: `keyed_hash`) over the length of the space's name in one byte, the
    /// name, and the identifier: no two pairs of space and identifier give the same input.
    pub fn token(&self, space: &str, normalised: &str) -> Token {
        let mut hasher = blake3::Hasher::new_keyed(self.bytes());
        let length = u8::try_from(space.len()).unwrap_or(u8::MAX);
        hasher.update(&[length]);
        hasher.update(space.as_bytes());
        hasher.update(normalised.as_bytes());
        Token(*hasher.finalize().as_bytes())
    }

    /// The token as the text a tokenised column holds.
    pub fn token_text(&self, space: &str, normalised: &str) -> String {
        self.token(space, normalised).to_text()
    }
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
