//! A witness of logs (C2SP tlog-witness): remembers how far each log has come, and cosigns what continues it.
//!
//! Trust: none in the log. What is decided is decided by the verifier's own code (`cleanroom_verify`), which shares nothing with
//! what writes logs. What a witness must not do is forget: a checkpoint is on disk before it is signed.

mod asker;
mod client;
mod service;
mod store;

pub(crate) use asker::Asker;
pub(crate) use client::{ask, attach};
pub(crate) use service::router;
pub(crate) use store::{Store, StoreError};

use cleanroom_keys::SigningKey;
use cleanroom_verify::{Acceptable, Cosigner, NotAccepted, Submission};
use time::OffsetDateTime;

/// A witness: its key, and what it remembers.
pub(crate) struct Witness {
    key: SigningKey,
    public: Cosigner,
    store: Store,
}

/// Why nothing is cosigned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Declined {
    /// The submission does not deserve it.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// The witness itself cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The clock stands before 1970.
    #[error("the clock of this machine is wrong")]
    Clock,
}

impl Witness {
    /// A witness with this key, which goes by the name of `public`.
    pub(crate) fn new(key: SigningKey, public: Cosigner, store: Store) -> Self {
        Self { key, public, store }
    }

    /// The signature line for a submission.
    pub(crate) fn cosign(&self, body: &str) -> Result<String, Declined> {
        let submission = Submission::read(body)?;
        let time = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).map_err(|_| Declined::Clock)?;
        let accepted: Acceptable<'_> = self.store.advance(&submission)?;
        // From here on the witness remembers it, whatever happens to the signature.
        let message = Cosigner::message(time, accepted.text);
        Ok(self.public.line(time, &self.key.sign(message.as_bytes())))
    }
}
