//! A partner's signing key.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::secret_file::{self, KeyError};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const WANTED: &str = "signing key";

/// Where the private key begins in the file: after the headers of PKCS#8 and of the octet string (RFC 8410 section 7).
const SEED_AT: usize = 16;

/// Characters of a line of PEM (RFC 7468).
const LINE: usize = 64;

/// An Ed25519 key pair (RFC 8032). Its file is PKCS#8 version 2 (RFC 5958) in PEM. Never printed.
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
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_unspecified| KeyError::Randomness)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_rejected| KeyError::Randomness)?;
        Ok(Self { pkcs8, pair })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Where it cannot be read, can be read by others, or is no signing key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = secret_file::load(path, WANTED)?;
        let format = || KeyError::Format { path: path.to_owned(), wanted: WANTED };
        let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or_else(format)?;
        let encoded: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let pkcs8 = Zeroizing::new(STANDARD.decode(encoded.as_str()).map_err(|_not_base64| format())?);
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_rejected| format())?;
        Ok(Self { pkcs8, pair })
    }

    /// Writes a new key file, readable by its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written or exists.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let encoded = Zeroizing::new(STANDARD.encode(self.pkcs8.as_slice()));
        let mut text = Zeroizing::new(String::with_capacity(BEGIN.len() + END.len() + 2 * encoded.len()));
        text.push_str(BEGIN);
        for (position, character) in encoded.chars().enumerate() {
            if position % LINE == 0 {
                text.push('\n');
            }
            text.push(character);
        }
        text.push('\n');
        text.push_str(END);
        text.push('\n');
        secret_file::save(path, &text)
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

impl SigningKey {
    /// The private key of RFC 8032, of which everything else follows: where ring and RFC 8410 put it in the file.
    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        for (to, from) in seed.iter_mut().zip(self.pkcs8.iter().skip(SEED_AT)) {
            *to = *from;
        }
        seed
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_and_signs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        let key = SigningKey::generate().unwrap();
        key.save(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().lines().all(|line| line.len() <= LINE));
        let read = SigningKey::load(&path).unwrap();
        assert_eq!(read.public(), key.public());
        let verifier = UnparsedPublicKey::new(&ED25519, key.public());
        verifier.verify(b"policy", &read.sign(b"policy")).unwrap();
        assert!(verifier.verify(b"Policy", &read.sign(b"policy")).is_err());
        assert_eq!(format!("{key:?}"), "SigningKey");
        let of_seed = Ed25519KeyPair::from_seed_unchecked(key.seed().as_slice()).unwrap();
        assert_eq!(of_seed.public_key().as_ref(), key.public());
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        SigningKey::generate().unwrap().save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for broken in ["", BEGIN, &text[..80], &text.replace("PRIVATE", "PUBLIC"), &text.replace("MF", "MG")] {
            fs::write(&path, broken).unwrap();
            assert!(matches!(SigningKey::load(&path), Err(KeyError::Format { .. })), "{broken}");
        }
    }
}
