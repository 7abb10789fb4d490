//! What a witness decides (C2SP tlog-witness): whether a log's next checkpoint continues the last one that it saw.
//!
//! A witness is on the side of those who verify: it recomputes with the code of this crate, none of which writes logs, so that
//! no mistake of a log vouches for itself. It keeps what it saw, and answers over HTTP, elsewhere.

use cleanroom_format::{CONSISTENCY_LIMIT, NOTE_LIMIT};

use crate::hash::Hash;
use crate::merkle::{is_consistent, nothing};
use crate::note::{Checkpoint, Key, Note, NoteError, number};

/// The longest submission, in bytes: a checkpoint, 63 hashes in base64 and a size.
pub const SUBMISSION_LIMIT: usize = NOTE_LIMIT + CONSISTENCY_LIMIT * 45 + 32;

/// A checkpoint that a log asks a witness to cosign, with the proof that it continues an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission<'b> {
    old: u64,
    proof: Vec<Hash>,
    note: &'b str,
}

/// A checkpoint that the log signed and the witness may cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptable<'b> {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its text, which is what is cosigned.
    pub text: &'b str,
    /// The whole signed note.
    pub note: &'b str,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// Not a submission.
    #[error("not a line `old SIZE`, hashes, an empty line and a checkpoint; or the old size is above the checkpoint's")]
    Malformed,
    /// A log that the witness does not follow.
    #[error("no log of this name is witnessed here")]
    UnknownLog,
    /// Not signed by the log's key.
    #[error("not signed by the key that the log is known by")]
    Unsigned,
    /// The witness saw another size, or another root at this size.
    #[error("the log was last seen with {size} entries")]
    Conflict {
        /// Entries of the last checkpoint that was cosigned.
        size: u64,
    },
    /// The proof does not lead from what was seen to the checkpoint.
    #[error("the checkpoint does not continue what was seen")]
    Inconsistent,
}

impl NotAccepted {
    /// The status of the HTTP response.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl<'b> Submission<'b> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`NotAccepted::Malformed`].
    pub fn read(body: &'b str) -> Result<Self, NotAccepted> {
        let (head, note) = body.split_once("\n\n").ok_or(NotAccepted::Malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(number);
        let proof: Option<Vec<Hash>> = lines.map(Hash::read).collect();
        match (old, proof) {
            (Some(old), Some(proof)) if proof.len() <= CONSISTENCY_LIMIT => Ok(Self { old, proof, note }),
            _ => Err(NotAccepted::Malformed),
        }
    }

    /// The log that it says to be of, before anything is believed.
    pub fn origin(&self) -> Option<String> {
        Checkpoint::claimed(self.note).map(|checkpoint| checkpoint.origin)
    }

    /// Decides whether to cosign: `logs` are the keys of the logs that are witnessed, `seen` the last checkpoint of this one that
    /// was cosigned. The caller looks `seen` up and keeps what is accepted without letting another submission in between.
    ///
    /// # Errors
    /// Why not.
    pub fn examine(&self, logs: &[Key], seen: Option<&Checkpoint>) -> Result<Acceptable<'b>, NotAccepted> {
        let claimed = Checkpoint::claimed(self.note).ok_or(NotAccepted::Malformed)?;
        let text = Note::read(self.note).map_err(|_| NotAccepted::Malformed)?.text;
        let mut keys = logs.iter().filter(|key| key.name() == claimed.origin).peekable();
        if keys.peek().is_none() {
            return Err(NotAccepted::UnknownLog);
        }
        let opened: Result<Checkpoint, NoteError> =
            keys.map(|key| Checkpoint::open(self.note, key)).find(Result::is_ok).unwrap_or(Err(NoteError::Unsigned));
        let checkpoint = opened.map_err(|_| NotAccepted::Unsigned)?;
        if self.old > checkpoint.size {
            return Err(NotAccepted::Malformed);
        }
        let (size, root) = seen.map_or((0, nothing()), |seen| (seen.size, seen.root));
        if self.old != size || size == checkpoint.size && root != checkpoint.root {
            return Err(NotAccepted::Conflict { size });
        }
        if !is_consistent(size, checkpoint.size, root, checkpoint.root, &self.proof) {
            return Err(NotAccepted::Inconsistent);
        }
        Ok(Acceptable { checkpoint, text, note: self.note })
    }
}
