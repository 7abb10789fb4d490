//! From the database to the files an auditor reads: tiles, bundles, blobs, and a checkpoint signed over them.
//!
//! Everything here is derived. One process at a time works on a room's directory, under the lock of a file in it, and
//! signs only what continues the checkpoint that was signed last.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use cleanroom_log::{Checkpoint, EntryHash, LogDirectory, Origin, Tree, VerifierKey};
use cleanroom_policy::RoomName;
use tokio::sync::Mutex;

use crate::error::{RegistryError, Result};
use crate::files::{Derived, STEP};
use crate::numbers::{stored, unsigned};
use crate::registry::{Registry, blocking, lock};

/// The public key beside each log.
const KEY_FILE: &str = "log.pub";

/// The entries of a room that this process knows to be under a signed checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Published {
    tree: Tree,
}

/// A room's log directory, held against other processes.
pub(crate) struct Held {
    pub(crate) log: LogDirectory,
    /// The checkpoint that was signed last.
    pub(crate) note: Option<String>,
    _locked: File,
}

impl Registry {
    /// Returns once entry `sequence` of the room is under a signed checkpoint.
    pub(crate) async fn publish(&self, room: &RoomName, sequence: u64) -> Result<()> {
        let published = self.published(room);
        let mut published = published.lock().await;
        if sequence < published.tree.size() {
            return Ok(()); // signed together with another's
        }
        self.must_serve(room)?;
        published.tree = self.integrate(room, &published.tree, false).await?;
        self.show_to_witnesses(room);
        if sequence < published.tree.size() {
            Ok(())
        } else {
            Err(RegistryError::NoSuchEntry { room: room.clone(), sequence })
        }
    }

    /// At the start: checks the whole database against the last checkpoint, and derives again what is missing on disk.
    pub(crate) async fn complete(&self, room: &RoomName) -> Result<()> {
        let published = self.published(room);
        let mut published = published.lock().await;
        published.tree = self.integrate(room, &Tree::new(), true).await?;
        Ok(())
    }

    /// The directory of a room's log: checkpoint, tiles, bundles and blobs, as an auditor reads them.
    pub fn log_directory(&self, room: &RoomName) -> PathBuf {
        self.inner.options.data_dir.join("log").join(room.as_str())
    }

    pub(crate) async fn origin(&self, room: &RoomName) -> Result<Origin> {
        let origin: Option<String> = sqlx::query_scalar("SELECT origin FROM rooms WHERE room = $1")
            .bind(room.as_str())
            .fetch_optional(&self.inner.pool)
            .await?;
        let origin = origin.ok_or_else(|| RegistryError::NoSuchRoom(room.clone()))?;
        Origin::new(&origin).map_err(|error| RegistryError::damaged("a log's origin", error))
    }

    /// How many entries the room's log has in the database.
    pub(crate) async fn stored_entries(&self, room: &RoomName) -> Result<u64> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM log_entries WHERE room = $1")
            .bind(room.as_str())
            .fetch_one(&self.inner.pool)
            .await?;
        last.map_or(Ok(0), |last| unsigned(last).map(|last| last + 1))
    }

    /// Signs the log up to the last entry of the database, and returns its tree. `known` is the tree of entries that are
    /// known to be signed; only what comes after them is read. With `mend`, files under the checkpoint are looked for too.
    async fn integrate(&self, room: &RoomName, known: &Tree, mend: bool) -> Result<Tree> {
        let origin = self.origin(room).await?;
        let vkey = self.inner.key.vkey(&origin);
        let (directory, key) = (self.log_directory(room), vkey.clone());
        let held = Arc::new(blocking(move || hold(&directory, &key)).await?);
        // Counted under the directory's lock, so that whatever is signed by now is among it. A commit that can be seen is
        // on the disk already (`synchronous = FULL`), so a power failure cannot leave a checkpoint ahead of its entries.
        let stored = self.stored_entries(room).await?;
        let signed = held.note.as_deref().map(|note| Checkpoint::open(note, &vkey)).transpose();
        let signed = signed.map_err(|error| RegistryError::Checkpoint { room: room.to_string(), source: error })?;
        let signed = signed.map_or((0, EntryHash::of_nothing()), |signed| (signed.size, signed.root));

        if mend {
            let newest = newest_kept(Arc::clone(&held), vkey.clone()).await?;
            if newest > stored {
                return Err(RegistryError::RolledBack { room: room.to_string(), signed: newest, stored });
            }
        }

        // The database must hold what was signed: the last checkpoint, and what this process knows should that be older.
        let mut marks = [(known.size(), known.root()), signed];
        marks.sort_by_key(|(size, _)| *size);
        let mut tree = if signed.0 < known.size() { Tree::new() } else { known.clone() };
        for (size, root) in marks {
            if stored >= size {
                self.grow(room, &mut tree, size).await?;
            }
            if tree.size() != size || tree.root() != root {
                return Err(RegistryError::RolledBack { room: room.to_string(), signed: size, stored });
            }
        }
        self.grow(room, &mut tree, stored).await?;

        let whole = !mend || self.is_whole(room, &held, signed.0).await?;
        let from = if whole { signed.0 } else { 0 };
        let written = match self.derive(room, &held, from, stored).await {
            Ok(written) if written == tree => Ok(written),
            // Files under the checkpoint are gone or not what they were: all of them are derived again.
            Ok(_) | Err(Derived::Broken(_)) if from > 0 => self.derive(room, &held, 0, stored).await,
            other => other,
        };
        if written.map_err(Derived::into_error)? != tree {
            return Err(RegistryError::Log(format!("tiles of room `{room}` do not read back as they were written")));
        }
        if stored > signed.0 {
            let note = Checkpoint { origin, size: stored, root: tree.root() }.sign(&self.inner.key);
            // A crash before this leaves files that no checkpoint covers, for the next to write again.
            blocking(move || held.log.write_checkpoint(&note).map_err(log_error)).await?;
        } else {
            // A crash, a version without a history, or a call that failed half way left it behind the checkpoint.
            blocking(move || held.log.keep_newest().map_err(log_error)).await?;
        }
        Ok(tree)
    }

    /// Appends the room's entries to `tree` until it has `size` of them.
    async fn grow(&self, room: &RoomName, tree: &mut Tree, size: u64) -> Result<()> {
        while tree.size() < size {
            let entries = self.entries(room, tree.size(), size.min(tree.size() + STEP)).await?;
            entries.iter().for_each(|entry| tree.append(EntryHash::of_entry(entry.as_bytes())));
        }
        Ok(())
    }

    /// Entries `from..to` as they stand in the tree.
    pub(crate) async fn entries(&self, room: &RoomName, from: u64, to: u64) -> Result<Vec<String>> {
        let entries: Vec<String> = sqlx::query_scalar(
            "SELECT entry FROM log_entries WHERE room = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence",
        )
        .bind(room.as_str())
        .bind(stored(from)?)
        .bind(stored(to)?)
        .fetch_all(&self.inner.pool)
        .await?;
        if entries.len() as u64 == to.saturating_sub(from) {
            Ok(entries)
        } else {
            Err(RegistryError::damaged("a log", format!("entries are missing between {from} and {to}")))
        }
    }

    fn published(&self, room: &RoomName) -> Arc<Mutex<Published>> {
        let mut all = self.inner.published.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(room.clone()).or_default())
    }

    pub(crate) fn origin_of_new(&self, room: &RoomName) -> Result<Origin> {
        Origin::for_room(&self.inner.options.log_host, room.as_str()).map_err(log_error)
    }
}

/// Takes the lock of a room's log directory, and reads what was signed last.
pub(crate) fn hold(directory: &Path, key: &VerifierKey) -> Result<Held> {
    let log = LogDirectory::open(directory).map_err(log_error)?;
    let locked = lock(&directory.join(".lock"))?;
    let note = log.checkpoint().map_err(log_error)?;
    if note.is_none() || !directory.join(KEY_FILE).exists() {
        log.write_key(key).map_err(log_error)?;
    }
    Ok(Held { log, note, _locked: locked })
}

/// The size of the largest checkpoint that was ever signed, as far as the log's directory still tells.
async fn newest_kept(held: Arc<Held>, key: VerifierKey) -> Result<u64> {
    blocking(move || {
        let kept = held.log.checkpoints().unwrap_or_else(|error| {
            // Nothing is derived from it; a verification finds what is wrong with it.
            tracing::warn!(%error, "the history of checkpoints cannot be read");
            Vec::new()
        });
        let size = |note: &str| Checkpoint::unverified(note).map_or(0, |checkpoint| checkpoint.size);
        let signed = held.note.as_deref().map_or(0, size);
        // Only what would be more than the checkpoint itself needs a look at its signature.
        let larger = kept.iter().filter(|note| size(note) > signed && Checkpoint::open(note, &key).is_ok());
        Ok(larger.map(|note| size(note)).max().unwrap_or(signed))
    })
    .await
}

pub(crate) fn log_error(error: impl std::error::Error) -> RegistryError {
    let text = error.to_string();
    match error.source().map(ToString::to_string) {
        Some(source) if !text.contains(&source) => RegistryError::Log(format!("{text}: {source}")),
        _ => RegistryError::Log(text),
    }
}
