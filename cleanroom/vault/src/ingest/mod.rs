//! From a partner's file to a snapshot: decoded, checked, identifiers turned into dense numbers, laid out by unit, encoded
//! anew. Nothing of the file as it came is kept or trusted.

mod arrays;
mod binary;
mod error;
mod fingerprint;
mod grid;
mod identities;
mod job;
mod known;
mod layout;
mod own;
mod row_ids;
mod snapshot;
mod sort;
mod source;
mod text;
mod workspace;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cleanroom_policy::{Policy, RoomName, TableName};
use cleanroom_registry::{Actor, NewTableVersion, Registry};
use tokio::runtime::Handle;
use tokio::task::{JoinError, spawn_blocking};

use self::job::{Job, Prepared};
use self::workspace::RoomLock;

pub(crate) use self::arrays::LONGEST_TEXT;
pub use self::error::{IngestError, Place};
pub(crate) use self::grid::UnitGrid;
pub(crate) use self::own::own_rows;
pub(crate) use self::row_ids::{ROW_ID, row_id_field, with_row_ids};
pub use self::source::Format;
pub(crate) use self::workspace::{Workspace, cells_dir, clean_temporary, room_key_path, snapshot_path, temporary_dir};

/// A table's rows are to be taken in.
pub struct IngestRequest<'a> {
    /// The room.
    pub room: &'a RoomName,
    /// The table; the room declares it.
    pub table: &'a TableName,
    /// Its policy.
    pub policy: &'a Policy,
    /// The rows.
    pub source: IngestSource,
    /// Who asks for it.
    pub actor: &'a Actor,
    /// Reads the source even where it looks unchanged.
    pub force: bool,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum IngestSource {
    /// A file of this machine.
    Path {
        /// Where it is.
        path: PathBuf,
        /// How messages name it.
        label: String,
        /// What it is; told by the name's ending where absent.
        format: Option<Format>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The version of the table now in force.
    pub version: u64,
    /// Whether it is a new one.
    pub changed: bool,
    /// Rows of that version; for the owner's eyes only.
    pub rows: u64,
    /// Sentences for the owner, such as columns left out.
    pub notes: Vec<String>,
}

/// Takes a table's rows in as a new version, or finds that the version in force already holds them.
///
/// At most `memory_limit` bytes go into sorting and into the table of identities. One ingestion of a room runs at a time, over all processes.
pub(crate) async fn ingest(
    registry: &Registry,
    data_dir: &Path,
    memory_limit: usize,
    request: IngestRequest<'_>,
) -> Result<Ingested, IngestError> {
    let IngestRequest { room, table, policy, source, actor, force } = request;
    let IngestSource::Path { path, label, format } = source;
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));

    let lock = {
        let (data_dir, room) = (data_dir.to_owned(), room.clone());
        let lock = spawn_blocking(move || RoomLock::acquire(&data_dir, &room)).await;
        lock.map_err(|error| ended(&label, &error))??
    };
    let current = registry.table_version(room, table).await?;
    let version_in_force = current.as_ref().map(|version| version.version);
    let job = Job {
        lock,
        memory_limit,
        policy: policy.clone(),
        path,
        label: label.clone(),
        format,
        force,
        current,
        stop: Arc::clone(&stop.0),
    };
    let handle = Handle::current();
    let prepared = spawn_blocking(move || job.run(&handle)).await.map_err(|error| ended(&label, &error))??;
    match (prepared, version_in_force) {
        (Prepared::Unchanged { lock, rows, notes }, Some(version)) => {
            drop(lock);
            Ok(Ingested { version, changed: false, rows, notes })
        }
        (Prepared::Unchanged { .. }, None) => {
            Err(IngestError::Internal { file: label, what: "no version to compare with" })
        }
        (Prepared::New { lock, version, rows, notes }, _) => {
            let version = register(registry, room, table, version, actor).await?;
            drop(lock);
            Ok(Ingested { version, changed: true, rows, notes })
        }
    }
}

/// The last step: before it, nothing of the ingestion can be seen; after it, all of it.
async fn register(
    registry: &Registry,
    room: &RoomName,
    table: &TableName,
    version: NewTableVersion,
    actor: &Actor,
) -> Result<u64, IngestError> {
    Ok(registry.put_table_version(room, table, version, actor).await?.version)
}

fn ended(label: &str, error: &JoinError) -> IngestError {
    if error.is_panic() {
        IngestError::Internal { file: label.to_owned(), what: "a worker panicked" }
    } else {
        IngestError::Interrupted
    }
}

/// Stops the workers once nobody waits for them any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
