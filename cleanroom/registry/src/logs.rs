//! The log as members and auditors read it over a door.

use cleanroom_log::{Checkpoint, InclusionProof, LogDirectory, ReceiptExtra, inclusion_proof};
use cleanroom_policy::RoomName;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{RegistryError, Result};
use crate::numbers::{stored, unsigned};
use crate::outcome::ReceiptRef;
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

/// What shows that a question ended as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry of its outcome.
    pub entry: String,
    /// The text of a `c2sp.org/tlog-proof@v1` file whose `extra` data is a [`ReceiptExtra`].
    pub proof: String,
}

/// A text that entries of a room name by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedText {
    /// Its bytes, whose SHA-256 is the name.
    pub content: Vec<u8>,
    /// Whether it is the schema of a table's data and nothing else: those name hidden columns.
    pub is_schema: bool,
}

impl Registry {
    /// The text of this name, a SHA-256 in lower-case hexadecimal; `None` where no signed entry of the room names it.
    ///
    /// # Errors
    /// As [`Registry::log_entries`].
    pub async fn named_text(&self, room: &RoomName, digest: &str) -> Result<Option<NamedText>> {
        let size = stored(self.publish_all(room).await?)?;
        let row = sqlx::query(
            "SELECT b.content, NOT EXISTS (\
                 SELECT 1 FROM entry_blobs n WHERE n.room = $1 AND n.digest = $2 AND n.sequence < $3 AND NOT EXISTS (\
                     SELECT 1 FROM table_versions t WHERE t.room = n.room AND t.sequence = n.sequence)) AS is_schema \
             FROM blobs b WHERE b.digest = $2 AND EXISTS (\
                 SELECT 1 FROM entry_blobs n WHERE n.room = $1 AND n.digest = $2 AND n.sequence < $3)",
        )
        .bind(room.as_str())
        .bind(digest)
        .bind(size)
        .fetch_optional(&self.inner.pool)
        .await?;
        let read = |row: SqliteRow| -> Result<NamedText> {
            Ok(NamedText { content: row.try_get("content")?, is_schema: row.try_get("is_schema")? })
        };
        row.map(read).transpose()
    }

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

    /// The intents of questions, in no order; none of those that have none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn intents(&self, room: &RoomName, queries: &[String]) -> Result<Vec<LogEntry>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT e.sequence, e.entry FROM queries q \
             JOIN log_entries e ON e.room = q.room AND e.sequence = q.intent_sequence \
             WHERE q.room = $1 AND q.query_id IN (SELECT value FROM json_each($2))",
        )
        .bind(room.as_str())
        .bind(serde_json::json!(queries).to_string())
        .fetch_all(&self.inner.pool)
        .await?;
        rows.into_iter().map(|(sequence, json)| Ok(LogEntry { sequence: unsigned(sequence)?, json })).collect()
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

    /// The checkpoints that were signed, newest first, at most `limit`; one that was cosigned once, with the cosignatures.
    ///
    /// # Errors
    /// As [`Registry::log_entries`].
    pub async fn checkpoints(&self, room: &RoomName, limit: usize) -> Result<Vec<String>> {
        self.publish_all(room).await?;
        let directory = self.log_directory(room);
        blocking(move || {
            let log = LogDirectory::open(&directory).map_err(log_error)?;
            let mut newest: Vec<String> = Vec::new();
            for note in log.checkpoints().map_err(log_error)?.into_iter().rev() {
                if newest.len() >= limit {
                    break;
                }
                // Of one text, the later record has all signatures of the earlier one.
                let text = |note: &str| note.split_once("\n\n").map(|(text, _)| text.to_owned());
                if !newest.iter().any(|known| text(known) == text(&note)) {
                    newest.push(note);
                }
            }
            Ok(newest)
        })
        .await
    }

    /// The proof that an entry is in the log: the text of a `c2sp.org/tlog-proof@v1` file, with the entry in its `extra`
    /// data. For everybody who reads the log.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`]; [`RegistryError::NoSuchEntry`]; where the database or the log fails.
    pub async fn proof(&self, room: &RoomName, sequence: u64) -> Result<String> {
        let entry = self.entry_at(room, sequence).await?;
        self.proof_with(room, sequence, &ReceiptExtra::new(entry, None)).await
    }

    /// What the asker of a question can show to anyone: the proof that its outcome is in the log, with the entry and the
    /// nonce that binds the answer to it. For the asker alone: with the nonce, results can be tried.
    ///
    /// Of an answer in a strict room there is none until enough witnesses have cosigned the log over its record; without it, nothing
    /// of the answer may be told.
    ///
    /// # Errors
    /// As [`Registry::proof`]; [`RegistryError::Unwitnessed`].
    pub async fn receipt(&self, of: &ReceiptRef) -> Result<Receipt> {
        let entry = self.entry_at(&of.room, of.sequence).await?;
        let nonce: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT nonce FROM queries WHERE room = $1 AND query_id = $2")
                .bind(of.room.as_str())
                .bind(of.query_id.as_str())
                .fetch_optional(&self.inner.pool)
                .await?;
        let nonce = nonce
            .flatten()
            .map(|bytes| {
                <[u8; 32]>::try_from(bytes).map_err(|_| RegistryError::damaged("a nonce", "it is not 32 bytes"))
            })
            .transpose()?;
        if nonce.is_some() {
            self.must_be_witnessed(of).await?;
        }
        let extra = ReceiptExtra::new(entry.clone(), nonce);
        let proof = self.proof_with(&of.room, of.sequence, &extra).await?;
        Ok(Receipt { entry, proof })
    }

    /// How many entries the room's log has; all of them are under the checkpoint that can be read after this.
    ///
    /// # Errors
    /// As [`Registry::log_entries`].
    pub async fn log_size(&self, room: &RoomName) -> Result<u64> {
        self.publish_all(room).await
    }

    async fn entry_at(&self, room: &RoomName, sequence: u64) -> Result<String> {
        let missing = || RegistryError::NoSuchEntry { room: room.clone(), sequence };
        Ok(self.log_entries(room, sequence, 1).await?.into_iter().next().ok_or_else(missing)?.json)
    }

    // The entry was read, and so it is under the checkpoint.
    async fn proof_with(&self, room: &RoomName, sequence: u64, extra: &ReceiptExtra) -> Result<String> {
        let extra = Some(extra.to_bytes());
        let directory = self.log_directory(room);
        // What enough have cosigned is worth more than what is newer.
        let cosigned = self.cosigned_over(room, sequence);
        blocking(move || {
            let checkpoint = cosigned.map_or_else(|| read_checkpoint(&directory), Ok)?;
            let log = LogDirectory::open(&directory).map_err(log_error)?;
            let size = Checkpoint::unverified(&checkpoint).map_err(log_error)?.size;
            let path = inclusion_proof(&log.tiles(size), sequence, size).map_err(log_error)?;
            Ok(InclusionProof { extra, index: sequence, path, checkpoint }.to_string())
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
