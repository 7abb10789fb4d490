//! A partner's signing key.

use std::fmt;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::secret_file::{self, KeyError};

const HEADER: &str = "cleanroom signing key v1";

/// An Ed25519 key pair (RFC 8032), kept as PKCS#8.
pub struct SigningKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Draws a new key pair.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_unspecified| KeyError::Randomness)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_rejected| KeyError::Randomness)?;
        Ok(Self { pkcs8, pair })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Where it cannot be read, can be read by others, or is no signing key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let pkcs8 = secret_file::load(path, HEADER, "signing key")?;
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map_err(|_rejected| KeyError::Format { path: path.to_owned(), wanted: "signing key" })?;
        Ok(Self { pkcs8, pair })
    }

    /// Writes a key file, readable by its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written or exists.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        secret_file::save(path, HEADER, &self.pkcs8)
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        let mut bytes = [0_u8; 32];
        for (to, from) in bytes.iter_mut().zip(self.pair.public_key().as_ref()) {
            *to = *from;
        }
        bytes
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0_u8; 64];
        for (to, from) in bytes.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
