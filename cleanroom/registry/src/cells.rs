//! What was released under a guard against differencing, and how much of each version of a table.
//!
//! A query lays claim to what it is about to show before it is shown. The claim is one transaction that holds only if
//! nobody else laid one since the query looked; so of two queries, one has seen the other's.

use cleanroom_policy::{RoomName, TableName};
use sqlx::Row;

use crate::error::{RegistryError, Result};
use crate::numbers::{stored, unsigned};
use crate::query_id::QueryId;
use crate::registry::Registry;

const CELLS_OF: &str = "SELECT cells FROM cell_counts WHERE room = $1 AND table_name = $2 AND version = $3";

/// What a query adds to the released cells of one version of a table's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellCap {
    /// The table.
    pub table: TableName,
    /// The version of its data.
    pub version: u64,
    /// Most cells of it that may be released.
    pub cap: u64,
    /// How many were released when the query looked.
    pub seen: u64,
    /// How many the query adds.
    pub adds: u64,
}

/// What a query is about to show.
#[derive(Debug, Clone)]
pub struct CellClaim {
    /// The number of the last file that was there when the query looked; 0 where there was none.
    pub seen: u64,
    /// The file of the exact sets behind the new cells, durable on disk; `None` where there are none.
    pub file: Option<String>,
    /// Versions of tables whose cells are limited, each once.
    pub caps: Vec<CellCap>,
}

impl Registry {
    /// The files of all cells that were released in a room, in the order of release: the first has the number 1.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn released_cells(&self, room: &RoomName) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT file FROM released_cells WHERE room = $1 ORDER BY number")
            .bind(room.as_str())
            .fetch_all(&self.inner.pool)
            .await?)
    }

    /// How many cells were released of a version of a table's data.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cells_of(&self, room: &RoomName, table: &TableName, version: u64) -> Result<u64> {
        let cells: Option<i64> = sqlx::query_scalar(CELLS_OF)
            .bind(room.as_str())
            .bind(table.to_string())
            .bind(stored(version)?)
            .fetch_optional(&self.inner.pool)
            .await?;
        unsigned(cells.unwrap_or(0))
    }

    /// Makes a claim durable; `false`, and nothing is changed, where another query laid one since this one looked.
    ///
    /// Cells stay claimed whatever becomes of the query: what was never shown counts as shown.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyRecorded`], where the query is not open; where the database fails. Nothing may be shown then.
    pub async fn claim_cells(&self, room: &RoomName, query_id: &QueryId, claim: &CellClaim) -> Result<bool> {
        let mut write = self.write().await?;
        let open: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM queries WHERE room = $1 AND query_id = $2 AND run = $3 AND status = 'open'",
        )
        .bind(room.as_str())
        .bind(query_id.as_str())
        .bind(self.inner.run.id())
        .fetch_optional(write.connection())
        .await?;
        if open.is_none() {
            return Err(RegistryError::AlreadyRecorded(query_id.clone()));
        }
        let last = sqlx::query("SELECT MAX(number) AS last FROM released_cells WHERE room = $1")
            .bind(room.as_str())
            .fetch_one(write.connection())
            .await?;
        let last: Option<i64> = last.try_get("last")?;
        if unsigned(last.unwrap_or(0))? != claim.seen {
            return Ok(false);
        }
        for cap in &claim.caps {
            let known: Option<i64> = sqlx::query_scalar(CELLS_OF)
                .bind(room.as_str())
                .bind(cap.table.to_string())
                .bind(stored(cap.version)?)
                .fetch_optional(write.connection())
                .await?;
            let known = unsigned(known.unwrap_or(0))?;
            if known != cap.seen || (cap.adds > 0 && known.saturating_add(cap.adds) > cap.cap) {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO cell_counts (room, table_name, version, cells) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (room, table_name, version) DO UPDATE SET cells = cells + excluded.cells",
            )
            .bind(room.as_str())
            .bind(cap.table.to_string())
            .bind(stored(cap.version)?)
            .bind(stored(cap.adds)?)
            .execute(write.connection())
            .await?;
        }
        if let Some(file) = &claim.file {
            sqlx::query("INSERT INTO released_cells (room, number, query_id, file) VALUES ($1, $2, $3, $4)")
                .bind(room.as_str())
                .bind(stored(claim.seen.saturating_add(1))?)
                .bind(query_id.as_str())
                .bind(file)
                .execute(write.connection())
                .await?;
        }
        // A crash before this leaves a file that nothing names; one after it cells that count, though nobody saw them.
        write.commit().await?;
        Ok(true)
    }
}
