//! The key of a room.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::secret_file::{self, KeyError};

const HEADER: &str = "cleanroom room key v1";
const WANTED: &str = "room key";

/// The secret under which a room's identifiers become tokens. Wiped from memory when dropped; never printed.
///
/// Its file is text: a header line, the 32 bytes in Base64, a checksum.
pub struct RoomKey {
    bytes: Zeroizing<[u8; 32]>,
    token_key: Zeroizing<[u8; 32]>,
}

impl RoomKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_unspecified| KeyError::Randomness)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Where it cannot be read, can be read by others, is damaged, or is no room key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = secret_file::load(path, WANTED)?;
        let format = || KeyError::Format { path: path.to_owned(), wanted: WANTED };
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(format());
        }
        let line = lines.next().ok_or_else(format)?;
        let secret = Zeroizing::new(STANDARD.decode(line).map_err(|_not_base64| format())?);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(secret.as_slice().try_into().map_err(|_length| format())?);
        if lines.next() != Some(checksum(&bytes).as_str()) || lines.next().is_some() {
            return Err(format());
        }
        Ok(Self::from_bytes(*bytes))
    }

    /// Writes a new key file, readable by its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written or exists.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let encoded = Zeroizing::new(STANDARD.encode(self.bytes.as_slice()));
        let text = Zeroizing::new(format!("{HEADER}\n{}\n{}\n", encoded.as_str(), checksum(&self.bytes)));
        secret_file::save(path, &text)
    }

    /// A short public name of the key, 16 hexadecimal digits, from which nothing of it follows.
    pub fn key_id(&self) -> String {
        short("cleanroom 2026-11 room key id v1", &self.bytes)
    }

    /// The key under which the vault numbers rows; no token follows from it.
    pub fn row_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("cleanroom 2026-11 row number v1", self.bytes.as_slice()))
    }

    /// The key under which the vault draws how much two released numbers have to differ.
    pub fn difference_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("cleanroom 2026-11 least difference v1", self.bytes.as_slice()))
    }

    /// The key under which the vault names questions whose answers are shown again.
    pub fn replay_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("cleanroom 2026-11 canonical question v1", self.bytes.as_slice()))
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let token_key = Zeroizing::new(blake3::derive_key("cleanroom 2026-11 identifier token v1", &bytes));
        Self { bytes: Zeroizing::new(bytes), token_key }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(crate) fn token_key(&self) -> &[u8; 32] {
        &self.token_key
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKey")
    }
}

/// Tells a damaged file from a whole one; it gives nothing away of 32 random bytes.
fn checksum(bytes: &[u8; 32]) -> String {
    short("cleanroom 2026-11 key file checksum v1", bytes)
}

fn short(context: &str, bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(blake3::derive_key(context, bytes)).to_hex().chars().take(16).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room.key");
        let key = RoomKey::generate().unwrap();
        key.save(&path).unwrap();
        let read = RoomKey::load(&path).unwrap();
        assert_eq!(read.key_id(), key.key_id());
        assert_eq!(read.token("id", "1"), key.token("id", "1"));
        assert_ne!(RoomKey::generate().unwrap().key_id(), key.key_id());
        assert_eq!(format!("{key:?}"), "RoomKey");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("room.key");
        RoomKey::generate().unwrap().save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        let first = if line.starts_with('A') { "B" } else { "A" };
        let flipped = text.replace(line, &format!("{first}{}", &line[1..]));
        for broken in
            ["", HEADER, &text[..60], &flipped, &text.replace("v1", "v2"), &format!("{text}more"), "\u{0}\u{1}"]
        {
            fs::write(&path, broken).unwrap();
            assert!(matches!(RoomKey::load(&path), Err(KeyError::Format { .. })), "{broken}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(RoomKey::load(&path), Err(KeyError::Format { .. })));
        assert!(matches!(RoomKey::load(&folder.path().join("none")), Err(KeyError::Io { .. })));
    }
}
