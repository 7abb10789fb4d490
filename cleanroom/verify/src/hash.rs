//! SHA-256 hashes of RFC 6962.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_format::{HASH_BYTES, LEAF_PREFIX, NODE_PREFIX};
use ring::digest::{Context, SHA256};

/// The hash of an entry, or of a subtree of entries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; HASH_BYTES]);

impl Hash {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|part| context.update(part));
        let mut bytes = [0; HASH_BYTES];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    pub(crate) fn leaf(entry: &[u8]) -> Self {
        Self::of(&[&[LEAF_PREFIX], entry])
    }

    pub(crate) fn node(left: Self, right: Self) -> Self {
        Self::of(&[&[NODE_PREFIX], &left.0, &right.0])
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Standard base64 with padding, as checkpoints and proofs write it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    pub(crate) fn read(base64: &str) -> Option<Self> {
        STANDARD.decode(base64).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}
