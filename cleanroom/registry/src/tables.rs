//! Versions of a table's data.

use cleanroom_log::{Algorithm, Digest};
use cleanroom_policy::{RoomName, TableName};
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use crate::actor::Actor;
use crate::error::{RegistryError, Result};
use crate::numbers::{stored, time, unsigned};
use crate::random::sha256;
use crate::registry::Registry;

/// Data that was brought in, and is to become a version of its table.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTableVersion {
    /// The content address of its snapshot: BLAKE3 in hexadecimal. It never leaves the machine.
    pub snapshot: String,
    /// Its columns: names, types, nullability. Put into the log as a blob.
    pub schema: Value,
    /// What ingestion compares to see whether a source has changed.
    pub fingerprint: String,
    /// What else ingestion found out; stays in the registry.
    pub meta: Value,
}

/// A version of a table's data.
#[derive(Debug, Clone, PartialEq)]
pub struct TableVersion {
    /// From 1, one more with every version.
    pub version: u64,
    /// As in [`NewTableVersion`].
    pub snapshot: String,
    /// As in [`NewTableVersion`].
    pub schema: Value,
    /// As in [`NewTableVersion`].
    pub fingerprint: String,
    /// As in [`NewTableVersion`].
    pub meta: Value,
    /// What the log says of the content: SHA-256 of the room's secret and the snapshot's name, in hexadecimal.
    pub salted_digest: String,
    /// When it was registered.
    pub at: OffsetDateTime,
}

impl Registry {
    /// Registers the next version of a table. The snapshot must be durable on disk.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRoom`] and [`RegistryError::NoSuchTable`]; where the database or the log fails.
    pub async fn put_table_version(
        &self,
        room: &RoomName,
        table: &TableName,
        new: NewTableVersion,
        actor: &Actor,
    ) -> Result<TableVersion> {
        self.declared(room, table).await?;
        let salted = sha256(&[&self.room_secret(room).await?, new.snapshot.as_bytes()]);
        let schema = new.schema.to_string();
        let mut write = self.write().await?;
        let last: Option<i64> =
            sqlx::query_scalar("SELECT MAX(version) FROM table_versions WHERE room = $1 AND table_name = $2")
                .bind(room.as_str())
                .bind(table.to_string())
                .fetch_one(write.connection())
                .await?;
        let version = unsigned(last.unwrap_or(0))? + 1;
        let event = cleanroom_log::TableVersion {
            table: table.to_string(),
            version,
            schema: Digest::sha256_of(schema.as_bytes()),
            content: Digest::new(Algorithm::Sha256, salted),
        };
        let sequence = write.append(room, actor, None, event.into(), &[schema.as_bytes()]).await?;
        let at = write.now();
        sqlx::query(
            "INSERT INTO table_versions \
             (room, table_name, version, snapshot, schema_json, fingerprint, meta, salted_digest, at, sequence) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .bind(stored(version)?)
        .bind(&new.snapshot)
        .bind(&schema)
        .bind(&new.fingerprint)
        .bind(new.meta.to_string())
        .bind(hex::encode(salted))
        .bind(at)
        .bind(stored(sequence)?)
        .execute(write.connection())
        .await?;
        // A crash before this leaves the snapshot as a file that no version names.
        write.commit().await?;
        self.publish(room, sequence).await?;
        let NewTableVersion { snapshot, schema, fingerprint, meta } = new;
        Ok(TableVersion {
            version,
            snapshot,
            schema,
            fingerprint,
            meta,
            salted_digest: hex::encode(salted),
            at: time(at)?,
        })
    }

    /// The newest version of a table; `None` where none was registered.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn table_version(&self, room: &RoomName, table: &TableName) -> Result<Option<TableVersion>> {
        let row = sqlx::query(
            "SELECT version, snapshot, schema_json, fingerprint, meta, salted_digest, at FROM table_versions \
             WHERE room = $1 AND table_name = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(room.as_str())
        .bind(table.to_string())
        .fetch_optional(&self.inner.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Snapshots that may still be read: the newest of every table, and those of queries that run.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn snapshots_in_use(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT DISTINCT t.snapshot FROM table_versions t WHERE \
             t.version = (SELECT MAX(n.version) FROM table_versions n WHERE n.room = t.room AND n.table_name = t.table_name) \
             OR EXISTS (SELECT 1 FROM query_tables u JOIN queries q ON q.room = u.room AND q.query_id = u.query_id \
             WHERE q.status = 'open' AND u.room = t.room AND u.table_name = t.table_name AND u.version = t.version) \
             ORDER BY t.snapshot",
        )
        .fetch_all(&self.inner.pool)
        .await?)
    }
}

fn read(row: &SqliteRow) -> Result<TableVersion> {
    let json = |column: &str| -> Result<Value> {
        let text: String = row.try_get(column)?;
        serde_json::from_str(&text).map_err(|error| RegistryError::damaged("a table version", error))
    };
    Ok(TableVersion {
        version: unsigned(row.try_get("version")?)?,
        snapshot: row.try_get("snapshot")?,
        schema: json("schema_json")?,
        fingerprint: row.try_get("fingerprint")?,
        meta: json("meta")?,
        salted_digest: row.try_get("salted_digest")?,
        at: time(row.try_get("at")?)?,
    })
}
