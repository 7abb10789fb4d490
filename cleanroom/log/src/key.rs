//! The log's signing key.
//!
//! Trust: whoever holds this file can sign another history. It never leaves the host, and nothing but checkpoints is
//! signed with it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::files;
use crate::format::HASH_BYTES;
use crate::note::{Origin, VerifierKey};

/// An Ed25519 key pair that signs checkpoints. One key can serve the logs of many rooms, each under its own origin.
pub struct LogKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl LogKey {
    /// A new random key.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn generate() -> Result<Self, LogKeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| LogKeyError::NoRandomness)?;
        Self::from_pkcs8(Zeroizing::new(pkcs8.as_ref().to_vec())).ok_or(LogKeyError::NoRandomness)
    }

    /// Reads the file that [`LogKey::save`] wrote.
    ///
    /// # Errors
    /// Where the file cannot be read or does not hold a key.
    pub fn load(path: &Path) -> Result<Self, LogKeyError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(source) => {
                return Err(LogKeyError::Read { path: path.to_owned(), source });
            }
        };
        let pkcs8 = STANDARD.decode(text.trim_end()).ok().map(Zeroizing::new);
        pkcs8.and_then(Self::from_pkcs8).ok_or_else(|| LogKeyError::NotAKey { path: path.to_owned() })
    }

    /// Writes the key as one line of base64 PKCS#8, readable by its owner only.
    ///
    /// # Errors
    /// Where the file exists already (a key is never overwritten) or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), LogKeyError> {
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(self.pkcs8.as_slice())));
        // A crash here leaves either no key or the whole key, never a part of one.
        files::create(path, text.as_bytes()).map_err(|source| LogKeyError::Write { path: path.to_owned(), source })
    }

    /// The public half under a log's name.
    pub fn vkey(&self, origin: &Origin) -> VerifierKey {
        let mut public = [0; HASH_BYTES];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifierKey::new(origin.clone(), public)
    }

    /// The signed note over `text`, which must end in a newline.
    pub(crate) fn sign(&self, origin: &Origin, text: &str) -> String {
        let mut signature = self.vkey(origin).id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n— {origin} {}\n", STANDARD.encode(signature))
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        Some(Self { pair, pkcs8 })
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey")
    }
}

/// Why there is no log key.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The system's random number generator failed.
    #[error("the system gives no random numbers, so no log key can be made")]
    NoRandomness,
    /// The file cannot be read.
    #[error("cannot read the log key `{}`; restore it from its backup: a log continues under its own key only", path.display())]
    Read {
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("`{}` does not hold a log key; restore it from its backup: a log continues under its own key only", path.display())]
    NotAKey {
        /// The key's file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the log key `{}`; a key is never overwritten, and its folder must be writable", path.display())]
    Write {
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_saved_key_is_the_same_key_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let origin = Origin::new("logs.example/room/retail").unwrap();
        let key = LogKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(LogKey::load(&path).unwrap().vkey(&origin), key.vkey(&origin));
        assert!(matches!(LogKey::generate().unwrap().save(&path), Err(LogKeyError::Write { .. })));
        assert_eq!(LogKey::load(&path).unwrap().vkey(&origin), key.vkey(&origin));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_broken_key_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        assert!(matches!(LogKey::load(&path), Err(LogKeyError::Read { .. })));
        fs::write(&path, "bm90IGEga2V5\n").unwrap();
        assert!(LogKey::load(&path).unwrap_err().to_string().contains("log.key"));
    }

    #[test]
    fn a_key_never_shows_itself() {
        assert_eq!(format!("{:?}", LogKey::generate().unwrap()), "LogKey");
    }
}
