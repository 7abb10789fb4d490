//! The two hashes of RFC 6962, and digests as entries write them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::format::{DIGEST_BLAKE3, DIGEST_SHA256, HASH_BYTES, LEAF_PREFIX, NODE_PREFIX};

/// The RFC 6962 hash of one entry, or of a subtree of entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryHash([u8; HASH_BYTES]);

impl EntryHash {
    /// Takes a hash that was computed elsewhere.
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The hash of one entry, as it stands in the tree: `SHA-256(0x00 || entry)`.
    pub fn of_entry(entry: &[u8]) -> Self {
        sha256(&[&[LEAF_PREFIX], entry])
    }

    /// The hash of two neighbouring subtrees: `SHA-256(0x01 || left || right)`.
    #[must_use]
    pub fn of_node(left: &Self, right: &Self) -> Self {
        sha256(&[&[NODE_PREFIX], &left.0, &right.0])
    }

    /// The root of the tree without entries: `SHA-256("")`.
    pub fn of_nothing() -> Self {
        sha256(&[])
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Standard base64 with padding, as checkpoints and proofs write it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`EntryHash::to_base64`]; `None` for anything that is not exactly that.
    pub fn from_base64(text: &str) -> Option<Self> {
        Some(Self(STANDARD.decode(text).ok()?.try_into().ok()?))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> EntryHash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; HASH_BYTES];
    bytes.copy_from_slice(context.finish().as_ref());
    EntryHash(bytes)
}

/// Which hash a [`Digest`] was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: blobs, policies, commitments.
    Sha256,
    /// BLAKE3: content addresses of snapshots.
    Blake3,
}

/// A digest in an entry: `sha256:` or `blake3:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; HASH_BYTES],
}

impl Digest {
    /// Takes a digest that was computed elsewhere.
    pub const fn new(algorithm: Algorithm, bytes: [u8; HASH_BYTES]) -> Self {
        Self { algorithm, bytes }
    }

    /// SHA-256 of `content`.
    pub fn sha256_of(content: &[u8]) -> Self {
        let mut bytes = [0; HASH_BYTES];
        bytes.copy_from_slice(digest(&SHA256, content).as_ref());
        Self::new(Algorithm::Sha256, bytes)
    }

    /// Takes 64 lower-case hexadecimal digits without a prefix.
    ///
    /// # Errors
    /// Where `text` is anything else.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(DigestError);
        }
        Ok(Self::new(algorithm, bytes))
    }

    /// Which hash made it.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The 64 hexadecimal digits, without the prefix.
    pub fn hex(&self) -> String {
        hex::encode(self.bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.algorithm {
            Algorithm::Sha256 => DIGEST_SHA256,
            Algorithm::Blake3 => DIGEST_BLAKE3,
        };
        write!(f, "{prefix}{}", self.hex())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(hex) = text.strip_prefix(DIGEST_SHA256) {
            Self::from_hex(Algorithm::Sha256, hex)
        } else if let Some(hex) = text.strip_prefix(DIGEST_BLAKE3) {
            Self::from_hex(Algorithm::Blake3, hex)
        } else {
            Err(DigestError)
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is `sha256:` or `blake3:` and 64 lower-case hexadecimal digits")]
pub struct DigestError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::sha256_of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse::<Digest>(), Err(DigestError));
        assert_eq!(text.replace("e3b0c", "E3B0C").parse::<Digest>(), Err(DigestError));
        assert_eq!(text.replace("sha256", "sha512").parse::<Digest>(), Err(DigestError));
        assert_eq!(text.get(..70).map(str::parse::<Digest>), Some(Err(DigestError)));
    }

    #[test]
    fn a_hash_in_base64_has_one_spelling() {
        let hash = EntryHash::of_nothing();
        assert_eq!(EntryHash::from_base64(&hash.to_base64()), Some(hash));
        assert_eq!(EntryHash::from_base64(hash.to_base64().trim_end_matches('=')), None);
        assert_eq!(EntryHash::from_base64("AAAA"), None);
    }
}
