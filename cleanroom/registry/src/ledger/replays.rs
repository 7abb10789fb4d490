//! Releases under noise that are shown again: the same question over the same data and policies has one answer, so that
//! asking twice averages nothing.

use cleanroom_policy::{PartnerName, RoomName};
use sqlx::{Row, SqliteConnection};

use crate::error::{RegistryError, Result};
use crate::history::query_id as read_query_id;
use crate::ledger::charge::paid_by;
use crate::ledger::price::ReplayKey;
use crate::query_id::QueryId;
use crate::random::sha256;
use crate::registry::Registry;

/// A release under noise, as it was first drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// What was released.
    pub bytes: Vec<u8>,
    /// SHA-256 of it, in hexadecimal.
    pub digest: String,
    /// The question it was drawn for.
    pub first_query: QueryId,
}

impl Registry {
    /// The release of a question over its data and policies; `None` where none was drawn yet.
    ///
    /// # Errors
    /// Where the database fails, or the bytes are not those that were kept.
    pub async fn replay(&self, room: &RoomName, key: &ReplayKey) -> Result<Option<Replay>> {
        let mut connection = self.inner.pool.acquire().await?;
        kept(&mut connection, room, key).await
    }

    /// Whether the analyst was charged for the release and got it, so that it is free for it from then on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn paid(&self, room: &RoomName, key: &ReplayKey, analyst: &PartnerName) -> Result<bool> {
        let mut connection = self.inner.pool.acquire().await?;
        Ok(paid_by(&mut connection, room, key, analyst).await?.is_some())
    }

    /// Keeps the release of a question that was charged and is about to be recorded, and returns the one to show: where
    /// another was kept under the key before, that one. From here on the analyst has paid for it.
    ///
    /// Call it for every charged question, also where [`Registry::replay`] gave the bytes. A crash before it leaves the
    /// charge; the release is then drawn anew, and nobody saw the first.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRecorded`], where the question is not open; [`RegistryError::NoCharge`], where it was not
    /// charged; where the database fails. Nothing may be shown then.
    pub async fn keep_replay(
        &self,
        room: &RoomName,
        key: &ReplayKey,
        query_id: &QueryId,
        bytes: &[u8],
    ) -> Result<Vec<u8>> {
        let mut write = self.write().await?;
        let analyst: Option<String> = sqlx::query_scalar(
            "SELECT analyst FROM queries WHERE room = $1 AND query_id = $2 AND run = $3 AND status = 'open'",
        )
        .bind(room.as_str())
        .bind(query_id.as_str())
        .bind(self.inner.run.id())
        .fetch_optional(write.connection())
        .await?;
        let analyst = analyst.ok_or_else(|| RegistryError::AlreadyRecorded(query_id.clone()))?;
        let charges: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM charges WHERE room = $1 AND query_id = $2")
            .bind(room.as_str())
            .bind(query_id.as_str())
            .fetch_one(write.connection())
            .await?;
        if charges == 0 {
            return Err(RegistryError::NoCharge);
        }
        let first = match kept(write.connection(), room, key).await? {
            Some(first) => first.bytes,
            None => {
                sqlx::query("INSERT INTO releases (room, key, digest, content, query_id) VALUES ($1, $2, $3, $4, $5)")
                    .bind(room.as_str())
                    .bind(key.as_str())
                    .bind(hex::encode(sha256(&[bytes])))
                    .bind(bytes)
                    .bind(query_id.as_str())
                    .execute(write.connection())
                    .await?;
                bytes.to_vec()
            }
        };
        sqlx::query(
            "INSERT INTO paid_releases (room, key, analyst, query_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(room.as_str())
        .bind(key.as_str())
        .bind(analyst)
        .bind(query_id.as_str())
        .execute(write.connection())
        .await?;
        // A crash before this leaves the charge alone; one after it a release that was paid for and not seen.
        write.commit().await?;
        Ok(first)
    }
}

async fn kept(connection: &mut SqliteConnection, room: &RoomName, key: &ReplayKey) -> Result<Option<Replay>> {
    let row = sqlx::query("SELECT digest, content, query_id FROM releases WHERE room = $1 AND key = $2")
        .bind(room.as_str())
        .bind(key.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (digest, bytes, query_id): (String, Vec<u8>, String) =
        (row.try_get("digest")?, row.try_get("content")?, row.try_get("query_id")?);
    if hex::encode(sha256(&[&bytes])) != digest {
        return Err(RegistryError::damaged("a release", "it is not what its digest was taken of"));
    }
    Ok(Some(Replay { bytes, digest, first_query: read_query_id(&query_id)? }))
}
