//! Checkpoints (C2SP tlog-checkpoint): which tree the log signed.

use crate::hash::EntryHash;
use crate::key::LogKey;
use crate::note::{self, NoteError, Origin, VerifierKey};

/// What a log says of itself: its name, how many entries it has, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// How many entries.
    pub size: u64,
    /// The root of the RFC 6962 tree over them.
    pub root: EntryHash,
}

impl Checkpoint {
    /// The signed note.
    pub fn sign(&self, key: &LogKey) -> String {
        key.sign(&self.origin, &format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64()))
    }

    /// Reads a signed note that `key` must have signed, for the log that carries the key's name.
    ///
    /// # Errors
    /// Where the note is not one, is not signed by `key`, or is not a checkpoint of that log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(note::open(note, &[key])?)?;
        if checkpoint.origin == *key.origin() { Ok(checkpoint) } else { Err(CheckpointError::Origin) }
    }

    /// Reads a signed note without looking at its signature: for finding the key to open it with, never for belief.
    ///
    /// # Errors
    /// Where the note is not one, or is not a checkpoint.
    pub fn unverified(note: &str) -> Result<Self, CheckpointError> {
        Self::parse(note::split(note)?.0)
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Shape)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Shape);
        };
        // Extension lines may follow and mean nothing to us, but an empty one would make the note ambiguous.
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Shape);
        }
        Ok(Self {
            origin: Origin::new(origin).map_err(|_| CheckpointError::Shape)?,
            size: decimal(size).ok_or(CheckpointError::Shape)?,
            root: EntryHash::from_base64(root).ok_or(CheckpointError::Shape)?,
        })
    }
}

/// Digits without sign and leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The signed note is broken or not signed by the key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not that of a checkpoint.
    #[error("not a checkpoint: origin, size and root, one a line")]
    Shape,
    /// A checkpoint of another log.
    #[error("the checkpoint is of another log than the key")]
    Origin,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let origin = Origin::new("logs.example/room/retail").unwrap();
        Checkpoint { origin, size: 20_852_163, root: EntryHash::of_entry(b"x") }
    }

    #[test]
    fn a_signed_checkpoint_opens_and_another_implementation_reads_it() {
        let key = LogKey::generate().unwrap();
        let checkpoint = checkpoint();
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(&note, &key.vkey(&checkpoint.origin)), Ok(checkpoint.clone()));
        let text = note::split(&note).unwrap().0;
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size()), (checkpoint.origin.as_str(), checkpoint.size));
        assert_eq!(theirs.hash().0, *checkpoint.root.as_bytes());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key = LogKey::generate().unwrap();
        let checkpoint = checkpoint();
        let note = checkpoint.sign(&key);
        let vkey = key.vkey(&checkpoint.origin);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            *bytes.get_mut(at).unwrap() ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&changed, &vkey).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn only_the_exact_text_is_read() {
        let root = EntryHash::of_nothing().to_base64();
        let parse = |text: String| Checkpoint::parse(&text);
        assert!(parse(format!("o/room/r\n0\n{root}\n")).is_ok());
        assert!(parse(format!("o/room/r\n10\n{root}\nextension\n")).is_ok());
        for text in [
            format!("o/room/r\n01\n{root}\n"),
            format!("o/room/r\n+1\n{root}\n"),
            format!("o/room/r\n-1\n{root}\n"),
            format!("o/room/r\n\n{root}\n"),
            format!("o/room/r\n18446744073709551616\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("o/room/r\n1\n{root}"),
            format!("o/room/r\n1\n{root}\n\n"),
            "o/room/r\n1\n".to_owned(),
            "o/room/r\n1\nAAAA\n".to_owned(),
        ] {
            assert_eq!(parse(text.clone()), Err(CheckpointError::Shape), "{text}");
        }
    }

    #[test]
    fn a_key_of_another_room_does_not_open_it() {
        let key = LogKey::generate().unwrap();
        let note = checkpoint().sign(&key);
        let other = Origin::new("logs.example/room/health").unwrap();
        assert_eq!(Checkpoint::open(&note, &key.vkey(&other)), Err(CheckpointError::Note(NoteError::Unsigned)));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_not_opened_whoever_signed_it() {
        let key = LogKey::generate().unwrap();
        let text = note::split(&checkpoint().sign(&key)).unwrap().0.to_owned();
        let other = Origin::new("logs.example/room/health").unwrap();
        let opened = Checkpoint::open(&key.sign(&other, &text), &key.vkey(&other));
        assert_eq!(opened, Err(CheckpointError::Origin));
    }
}
