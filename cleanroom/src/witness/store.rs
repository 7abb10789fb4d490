//! What a witness remembers: for each log, the last checkpoint that it cosigned, as a file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cleanroom_verify::{Acceptable, Checkpoint, Key, Submission};
use ring::digest::{SHA256, digest};
use tempfile::NamedTempFile;

use super::Declined;

/// Held as long as a witness works in the folder.
const LOCK: &str = "lock";
/// The folder of checkpoints.
const SEEN: &str = "seen";

/// The folder of a witness.
///
/// A checkpoint is replaced by rename, once the new one is on disk. A crash before that leaves the old one, for which nothing
/// newer was signed; a crash after it leaves the new one, whether or not its signature was sent.
pub(crate) struct Store {
    folder: PathBuf,
    logs: Vec<Key>,
    /// One submission at a time: what is looked up stays true until it is replaced.
    turn: Mutex<()>,
    _lock: File,
}

/// Why a witness cannot remember.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another witness works in the folder.
    #[error("another witness is at work in `{}`", .0.display())]
    Taken(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot read or write `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold a checkpoint of a log that is witnessed.
    #[error("`{}` does not hold a checkpoint that the log signed, which was kept there", .0.display())]
    Damaged(PathBuf),
}

impl Store {
    /// Opens the folder, or makes it, and looks at what is remembered of `logs`.
    pub(crate) fn open(folder: &Path, logs: Vec<Key>) -> Result<Self, StoreError> {
        let seen = folder.join(SEEN);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&seen).map_err(|error| at(&seen, error))?;
        let path = folder.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|error| at(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Taken(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(&path, error)),
        }
        let store = Self { folder: folder.to_owned(), logs, turn: Mutex::new(()), _lock: lock };
        for log in &store.logs {
            store.seen(log.name())?;
        }
        Ok(store)
    }

    /// Decides about a submission, and remembers its checkpoint if it continues what was seen.
    pub(super) fn advance<'b>(&self, submission: &Submission<'b>) -> Result<Acceptable<'b>, Declined> {
        // A panic elsewhere spoils nothing: the files are whole at every moment.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a log that is not witnessed there is no file, and no name is looked for that a stranger made up.
        let origin = submission.origin().filter(|origin| self.logs.iter().any(|log| log.name() == origin));
        let seen = origin.as_deref().map(|origin| self.seen(origin)).transpose()?.flatten();
        let accepted = submission.examine(&self.logs, seen.as_ref())?;
        if seen.as_ref() != Some(&accepted.checkpoint) {
            self.remember(&accepted)?;
        }
        Ok(accepted)
    }

    fn seen(&self, origin: &str) -> Result<Option<Checkpoint>, StoreError> {
        let path = self.path(origin);
        let note = match fs::read_to_string(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(StoreError::Damaged(path)),
            Err(error) => return Err(at(&path, error)),
        };
        let keys = self.logs.iter().filter(|log| log.name() == origin);
        let opened = keys.filter_map(|key| Checkpoint::open(&note, key).ok()).next();
        opened.map(Some).ok_or(StoreError::Damaged(path))
    }

    fn remember(&self, accepted: &Acceptable<'_>) -> Result<(), StoreError> {
        let path = self.path(&accepted.checkpoint.origin);
        let folder = self.folder.join(SEEN);
        let write = || {
            let mut file = NamedTempFile::new_in(&folder)?;
            file.write_all(accepted.note.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&folder)?.sync_all()
        };
        write().map_err(|error| at(&path, error))
    }

    /// By hash: an origin can hold slashes, and be longer than a file's name.
    fn path(&self, origin: &str) -> PathBuf {
        self.folder.join(SEEN).join(hex::encode(digest(&SHA256, origin.as_bytes())))
    }
}

fn at(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), source }
}
