//! Room keys sealed for one partner: HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! The recipient's X25519 key is the one that its Ed25519 signing key stands for (RFC 7748 section 4.1 gives the map between
//! the curves; that one pair may serve both is shown by Thormarker, "On using the same key pair for Ed25519 and an X25519
//! based KEM", 2021). So partners exchange one public key each. Who sealed it is not told by this: the sealer signs.

use curve25519_dalek::edwards::CompressedEdwardsY;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _, single_shot_open, single_shot_seal};
use rand_core::{OsRng, TryRngCore as _};
use ring::digest::{SHA512, digest};
use zeroize::Zeroizing;

use crate::room_key::RoomKey;
use crate::signing::SigningKey;

/// Bytes of an encapsulated key.
const ENCAPSULATED: usize = 32;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// A room key that is not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's public key is not one that can be sealed for.
    #[error("the recipient's key is no Ed25519 public key that can be sealed for")]
    Recipient,
    /// The system gives no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
    /// Sealed for another key or under other circumstances, or changed.
    #[error("it does not open: it is sealed for another key, or was changed")]
    Opening,
}

impl RoomKey {
    /// The key, readable by whoever has the signing key of `recipient` alone, and only under the same `context`: what is said
    /// beside it.
    ///
    /// # Errors
    /// [`SealError::Recipient`], [`SealError::Randomness`].
    pub fn seal(&self, recipient: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let point = CompressedEdwardsY(*recipient).decompress().ok_or(SealError::Recipient)?;
        if point.is_small_order() {
            return Err(SealError::Recipient);
        }
        let public = PublicKey::from_bytes(point.to_montgomery().as_bytes()).map_err(|_| SealError::Recipient)?;
        // What follows panics where there is no randomness.
        OsRng.try_fill_bytes(&mut [0; 1]).map_err(|_| SealError::Randomness)?;
        let (encapsulated, sealed) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256, _>(
            &OpModeS::Base,
            &public,
            context,
            self.bytes(),
            &[],
            &mut OsRng.unwrap_err(),
        )
        .map_err(|_| SealError::Recipient)?;
        Ok([encapsulated.to_bytes().to_vec(), sealed].concat())
    }

    /// Opens what [`RoomKey::seal`] made for the holder of `key`.
    ///
    /// # Errors
    /// [`SealError::Opening`].
    pub fn open(sealed: &[u8], key: &SigningKey, context: &[u8]) -> Result<Self, SealError> {
        let (encapsulated, sealed) = sealed.split_at_checked(ENCAPSULATED).ok_or(SealError::Opening)?;
        let hashed = digest(&SHA512, key.seed().as_slice());
        let scalar = Zeroizing::new(hashed.as_ref().iter().take(32).copied().collect::<Vec<u8>>());
        let private = PrivateKey::from_bytes(&scalar).map_err(|_| SealError::Opening)?;
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Opening)?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &encapsulated,
            context,
            sealed,
            &[],
        );
        let opened = Zeroizing::new(opened.map_err(|_| SealError::Opening)?);
        let bytes: Zeroizing<[u8; 32]> =
            Zeroizing::new(opened.as_slice().try_into().map_err(|_length| SealError::Opening)?);
        Ok(Self::from_bytes(*bytes))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_for_its_recipient_alone() {
        let (room, recipient, other) =
            (RoomKey::generate().unwrap(), SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let sealed = room.seal(&recipient.public(), b"room spring").unwrap();
        assert_eq!(RoomKey::open(&sealed, &recipient, b"room spring").unwrap().key_id(), room.key_id());
        assert_eq!(RoomKey::open(&sealed, &other, b"room spring").err(), Some(SealError::Opening));
        assert_eq!(RoomKey::open(&sealed, &recipient, b"room autumn").err(), Some(SealError::Opening));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(RoomKey::open(&changed, &recipient, b"room spring").is_err(), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(RoomKey::open(&sealed[..length], &recipient, b"room spring").is_err());
        }
        assert_ne!(room.seal(&recipient.public(), b"room spring").unwrap(), sealed, "each time another");
    }

    #[test]
    fn what_is_no_key_is_not_sealed_for() {
        let room = RoomKey::generate().unwrap();
        // Neither a point of the curve, nor points of small order.
        let not_a_point = (0..=255).map(|byte| [byte; 32]).find(|key| CompressedEdwardsY(*key).decompress().is_none());
        let mut identity = [0; 32];
        identity[0] = 1;
        for key in [not_a_point.unwrap(), [0; 32], identity] {
            assert_eq!(room.seal(&key, b""), Err(SealError::Recipient));
        }
    }
}
