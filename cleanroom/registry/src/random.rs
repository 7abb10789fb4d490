//! Random bytes and SHA-256.

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{RegistryError, Result};

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RegistryError::Random)?;
    Ok(bytes)
}

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    // SHA-256 is 32 bytes long, so nothing is cut.
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}
