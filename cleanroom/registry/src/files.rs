//! The files of a log, from the rows they are derived from.

use std::sync::Arc;

use cleanroom_log::{LogDirectory, StoreError, Tree, entries_path, tile_path};
use cleanroom_policy::RoomName;

use crate::error::{RegistryError, Result};
use crate::numbers::stored;
use crate::publish::{Held, log_error};
use crate::registry::{Registry, blocking};

/// Entries read from the database and written to tiles at a time: whole tiles, and little memory.
pub(crate) const STEP: u64 = 16 * TILE;
/// Hashes in a full tile.
const TILE: u64 = 256;

impl Registry {
    /// Writes blobs, bundles and tiles of entries `from..to`, and returns the tree as the tiles then have it.
    pub(crate) async fn derive(&self, room: &RoomName, held: &Arc<Held>, from: u64, to: u64) -> Result<Tree, Derived> {
        let mut next = from;
        loop {
            let end = to.min(next + STEP);
            let entries = self.entries(room, next, end).await?;
            let blobs = self.blobs(room, next, end).await?;
            let (held, first) = (Arc::clone(held), next);
            let write = move || {
                blobs.iter().try_for_each(|blob| held.log.write_blob(blob).map(drop))?;
                held.log.extend(first, &entries)
            };
            let tree = tokio::task::spawn_blocking(write).await.map_err(|_| RegistryError::Interrupted)??;
            next = end;
            if next >= to {
                return Ok(tree);
            }
        }
    }

    /// Whether every file that a log of `size` entries has is there.
    pub(crate) async fn is_whole(&self, room: &RoomName, held: &Arc<Held>, size: u64) -> Result<bool> {
        let blobs: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT digest FROM entry_blobs WHERE room = $1 AND sequence < $2")
                .bind(room.as_str())
                .bind(stored(size)?)
                .fetch_all(&self.inner.pool)
                .await?;
        let held = Arc::clone(held);
        blocking(move || {
            let blob = |digest: &String| {
                held.log.path().join("blobs").join(digest.get(..2).unwrap_or("")).join(digest).exists()
            };
            Ok(tiles_are_there(&held.log, size) && blobs.iter().all(blob))
        })
        .await
    }

    async fn blobs(&self, room: &RoomName, from: u64, to: u64) -> Result<Vec<Vec<u8>>> {
        Ok(sqlx::query_scalar(
            "SELECT content FROM blobs WHERE digest IN \
             (SELECT digest FROM entry_blobs WHERE room = $1 AND sequence >= $2 AND sequence < $3)",
        )
        .bind(room.as_str())
        .bind(stored(from)?)
        .bind(stored(to)?)
        .fetch_all(&self.inner.pool)
        .await?)
    }
}

/// Why files were not derived.
pub(crate) enum Derived {
    /// What stands before them on disk is gone or damaged.
    Broken(StoreError),
    /// Anything else.
    Other(RegistryError),
}

impl Derived {
    pub(crate) fn into_error(self) -> RegistryError {
        match self {
            Self::Broken(error) => log_error(error),
            Self::Other(error) => error,
        }
    }
}

impl From<RegistryError> for Derived {
    fn from(error: RegistryError) -> Self {
        Self::Other(error)
    }
}

impl From<StoreError> for Derived {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing { .. } | StoreError::Damaged { .. } => Self::Broken(error),
            error => Self::Other(log_error(error)),
        }
    }
}

/// Whether every tile and bundle that a log of `size` entries has is there.
fn tiles_are_there(log: &LogDirectory, size: u64) -> bool {
    let there = |path: String| log.path().join(path).exists();
    let files = |hashes: u64| (0..hashes.div_ceil(TILE)).map(move |index| (index, TILE.min(hashes - index * TILE)));
    let mut level = 0;
    let mut hashes = size;
    while hashes > 0 {
        if !files(hashes).all(|(index, width)| there(tile_path(level, index, width))) {
            return false;
        }
        (level, hashes) = (level + 1, hashes / TILE);
    }
    files(size).all(|(index, width)| there(entries_path(index, width)))
}
