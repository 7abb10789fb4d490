//! The name of one question.

use std::fmt;

use crate::error::Result;
use crate::random::random;

/// 128 random bits, written as 32 lower-case hexadecimal digits; unique in its room.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(String);

impl QueryId {
    /// A new id.
    ///
    /// # Errors
    /// [`crate::RegistryError::Random`], where the operating system has no random bytes.
    pub fn generate() -> Result<Self> {
        Ok(Self(hex::encode(random::<16>()?)))
    }

    /// Reads an id; `None` for anything but 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryId({})", self.0)
    }
}
