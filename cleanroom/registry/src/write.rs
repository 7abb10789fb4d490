//! One transaction of a writer, and the log entries that belong to it.

use cleanroom_log::{Digest, Entry, EntryTime, Event};
use cleanroom_policy::RoomName;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};
use tokio::sync::MutexGuard;

use crate::actor::Actor;
use crate::error::{RegistryError, Result};
use crate::numbers::{stored, time, unsigned};
use crate::publish::log_error;
use crate::query_id::QueryId;
use crate::registry::Registry;
use crate::witnesses::Refused;

/// A transaction that no other writer, of this process or another, stands beside. Dropped, it leaves nothing.
pub(crate) struct Write<'a> {
    transaction: Transaction<'static, Sqlite>,
    now: i64,
    refused: &'a Refused,
    _turn: MutexGuard<'a, ()>,
}

impl Registry {
    pub(crate) async fn write(&self) -> Result<Write<'_>> {
        let turn = self.inner.turn.lock().await;
        // Immediate: a transaction that reads first and writes later could find that another wrote in between.
        let transaction = self.inner.pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Write { transaction, now: self.now(), refused: self.refused(), _turn: turn })
    }
}

impl Write<'_> {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Milliseconds since 1970 at the start of the transaction.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// From here on the transaction happens at another time.
    pub(crate) fn happens_at(&mut self, at: i64) {
        self.now = at;
    }

    /// Adds an entry to the room's log: its sequence is one more than the last, its time not before the last one's.
    /// `blobs` are the parts it names by digest.
    pub(crate) async fn append(
        &mut self,
        room: &RoomName,
        actor: &Actor,
        request: Option<&QueryId>,
        event: Event,
        blobs: &[&[u8]],
    ) -> Result<u64> {
        self.refused.must_not_hold(room)?;
        let last = sqlx::query(
            "SELECT r.room, e.sequence, e.at FROM rooms r LEFT JOIN log_entries e ON e.room = r.room \
             WHERE r.room = $1 ORDER BY e.sequence DESC LIMIT 1",
        )
        .bind(room.as_str())
        .fetch_optional(self.connection())
        .await?
        .ok_or_else(|| RegistryError::NoSuchRoom(room.clone()))?;
        let (sequence, at): (Option<i64>, Option<i64>) = (last.try_get("sequence")?, last.try_get("at")?);
        let sequence = sequence.map_or(Ok(0), |sequence| unsigned(sequence).map(|sequence| sequence + 1))?;
        let at = at.map_or(self.now, |at| at.max(self.now));
        let entry = Entry {
            sequence,
            room: room.to_string(),
            time: EntryTime::new(time(at)?),
            request: request.map(ToString::to_string),
            actor: actor.logged(),
            event,
        };
        let line = entry.to_line().map_err(log_error)?;
        let line = String::from_utf8(line).map_err(log_error)?;
        sqlx::query("INSERT INTO log_entries (room, sequence, at, entry) VALUES ($1, $2, $3, $4)")
            .bind(room.as_str())
            .bind(stored(sequence)?)
            .bind(at)
            .bind(line)
            .execute(self.connection())
            .await?;
        for content in blobs {
            self.keep_blob(room, sequence, content).await?;
        }
        Ok(sequence)
    }

    /// Makes all of it durable.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }

    async fn keep_blob(&mut self, room: &RoomName, sequence: u64, content: &[u8]) -> Result<()> {
        let digest = Digest::sha256_of(content).hex();
        sqlx::query("INSERT INTO blobs (digest, content) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
            .bind(&digest)
            .bind(content)
            .execute(self.connection())
            .await?;
        sqlx::query("INSERT INTO entry_blobs (room, sequence, digest) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(room.as_str())
            .bind(stored(sequence)?)
            .bind(&digest)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
