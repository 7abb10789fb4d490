//! The log as members and auditors read it over a door.

use cleanroom_log::{Checkpoint, InclusionProof, LogDirectory, inclusion_proof};
use cleanroom_policy::RoomName;

use crate::error::{RegistryError, Result};
use crate::publish::log_error;
use crate::registry::{Registry, blocking};

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number, from 0; the index of its leaf.
    pub sequence: u64,
    /// Its canonical JSON, byte for byte what the leaf is the hash of.
    pub json: String,
}

impl Registry {
    /// Entries from `from` on, at most `limit`. All of them are under the checkpoint that can be read after this.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; where the database or the log fails.
    pub async fn log_entries(&self, room: &RoomName, from: u64, limit: u64) -> Result<Vec<LogEntry>> {
        let size = self.publish_all(room).await?;
        let to = size.min(from.saturating_add(limit));
        let entries = self.entries(room, from.min(to), to).await?;
        Ok(entries.into_iter().zip(from..).map(|(json, sequence)| LogEntry { sequence, json }).collect())
    }

    /// The newest checkpoint of the room's log: a signed note over all of its entries.
    ///
    /// # Errors
    /// As [`Registry::log_entries`].
    pub async fn checkpoint(&self, room: &RoomName) -> Result<String> {
        self.publish_all(room).await?;
        let directory = self.log_directory(room);
        blocking(move || read_checkpoint(&directory)).await
    }

    /// The proof that an entry is in the log: the text of a `c2sp.org/tlog-proof@v1` file.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; [`RegistryError::NoSuchEntry`]; where the database or the log fails.
    pub async fn proof(&self, room: &RoomName, sequence: u64) -> Result<String> {
        self.origin(room).await?;
        if sequence >= self.stored_entries(room).await? {
            return Err(RegistryError::NoSuchEntry { room: room.clone(), sequence });
        }
        self.publish(room, sequence).await?;
        let directory = self.log_directory(room);
        blocking(move || {
            let checkpoint = read_checkpoint(&directory)?;
            let log = LogDirectory::open(&directory).map_err(log_error)?;
            let size = Checkpoint::unverified(&checkpoint).map_err(log_error)?.size;
            let path = inclusion_proof(&log.tiles(size), sequence, size).map_err(log_error)?;
            Ok(InclusionProof { extra: None, index: sequence, path, checkpoint }.to_string())
        })
        .await
    }

    /// The public key of the room's log, as the file `log.pub` in its directory holds it.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; where the database fails.
    pub async fn log_vkey(&self, room: &RoomName) -> Result<String> {
        Ok(self.inner.key.vkey(&self.origin(room).await?).to_string())
    }

    /// Signs the log up to the last entry of the database, and tells how many entries it has.
    async fn publish_all(&self, room: &RoomName) -> Result<u64> {
        self.origin(room).await?;
        let size = self.stored_entries(room).await?;
        if let Some(last) = size.checked_sub(1) {
            self.publish(room, last).await?;
        }
        Ok(size)
    }
}

fn read_checkpoint(directory: &std::path::Path) -> Result<String> {
    let log = LogDirectory::open(directory).map_err(log_error)?;
    let note = log.checkpoint().map_err(log_error)?;
    note.ok_or_else(|| RegistryError::Log("the log has no checkpoint yet".to_owned()))
}
