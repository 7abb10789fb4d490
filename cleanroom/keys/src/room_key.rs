//! The key of a room.

use std::fmt;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret_file::{self, KeyError};

const HEADER: &str = "cleanroom room key v1";

/// The secret under which a room's identifiers become tokens. Wiped from memory when dropped; never printed.
pub struct RoomKey {
    bytes: [u8; 32],
}

impl RoomKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| KeyError::Randomness)?;
        Ok(Self { bytes })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Where it cannot be read, can be read by others, or is no room key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let secret: Zeroizing<Vec<u8>> = secret_file::load(path, HEADER, "room key")?;
        let bytes = secret
            .as_slice()
            .try_into()
            .map_err(|_length| KeyError::Format { path: path.to_owned(), wanted: "room key" })?;
        Ok(Self { bytes })
    }

    /// Writes a key file, readable by its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written or exists.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        secret_file::save(path, HEADER, &self.bytes)
    }

    /// A short public name of the key, 16 hexadecimal digits, from which nothing of it follows.
    pub fn key_id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("cleanroom 2026-11 room key id v1");
        hasher.update(&self.bytes);
        hasher.finalize().to_hex().chars().take(16).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl Drop for RoomKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKey")
    }
}
