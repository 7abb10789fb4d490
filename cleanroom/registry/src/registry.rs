//! Opening the registry of a data directory.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cleanroom_log::{LogDirectory, LogKey, LogKeyError, Origin};
use cleanroom_policy::RoomName;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::actor::Door;
use crate::error::{RegistryError, Result};
use crate::ledger::Share;
use crate::numbers::milliseconds;
use crate::publish::Published;
use crate::run::{self, Run};
use crate::witnesses::{Witnesses, Witnessing};

/// How long a writer waits for the writers of other processes.
const BUSY: Duration = Duration::from_secs(10);

/// Where a registry lives and under what name it signs.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Holds the database, the key and the logs; made when absent, readable by its owner alone.
    pub data_dir: PathBuf,
    /// First part of every log's origin, `<host>/room/<room>`. A room keeps the origin it began with.
    pub log_host: String,
}

/// Rooms, policies, table versions, tokens and queries, and the log of each room.
///
/// Trust: the database is the truth. A log entry and what it records are one transaction in it; tiles, bundles and
/// checkpoints on disk are derived from it and can be derived again. What it may not do is forget: a checkpoint that
/// was signed over more than the database holds stops it from opening.
///
/// Several registries, in one process or many, may stand on one data directory.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
    /// The door that entries of questions name.
    pub(crate) door: Door,
}

type Clock = Box<dyn Fn() -> OffsetDateTime + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) pool: SqlitePool,
    /// Writers of this process queue here, so that only one at a time polls the database's own lock.
    pub(crate) turn: Mutex<()>,
    pub(crate) options: OpenOptions,
    pub(crate) key: LogKey,
    pub(crate) run: Run,
    clock: Clock,
    /// What each policy lets be spent, by its digest.
    pub(crate) shares: std::sync::Mutex<HashMap<String, Option<Arc<Share>>>>,
    pub(crate) published: std::sync::Mutex<HashMap<RoomName, Arc<Mutex<Published>>>>,
    pub(crate) witnessing: Witnessing,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("data_dir", &self.inner.options.data_dir).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the registry of a data directory, or starts one. Completes what an earlier process left: logs behind the
    /// database are brought up to it, and intents of processes that are gone get the outcome `failed`.
    ///
    /// # Errors
    /// [`RegistryError::RolledBack`], where the database does not hold what was signed; [`RegistryError::Checkpoint`] and
    /// [`RegistryError::KeyMissing`], where another key signed it; [`RegistryError::LogHost`]; whatever the database and the
    /// file system report; [`RegistryError::Damaged`], where what was spent is not the sum of its charges.
    pub async fn open(options: OpenOptions) -> Result<Self> {
        Self::open_by(options, OffsetDateTime::now_utc).await
    }

    /// As [`Registry::open`], with witnesses who are asked to cosign what is signed. They are shown every log before anything is
    /// added to it; a room that they saw further, or otherwise, is not served ([`Registry::must_serve`]).
    ///
    /// # Errors
    /// Those of [`Registry::open`].
    pub async fn open_witnessed(options: OpenOptions, witnesses: Arc<dyn Witnesses>) -> Result<Self> {
        Self::open_with(options, OffsetDateTime::now_utc, Some(witnesses)).await
    }

    /// As [`Registry::open`], by a clock other than the system's.
    ///
    /// # Errors
    /// Those of [`Registry::open`].
    pub async fn open_by(
        options: OpenOptions,
        clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::open_with(options, clock, None).await
    }

    async fn open_with(
        options: OpenOptions,
        clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
        witnesses: Option<Arc<dyn Witnesses>>,
    ) -> Result<Self> {
        if Origin::for_room(&options.log_host, "room").is_err() {
            return Err(RegistryError::LogHost(options.log_host));
        }
        let data_dir = options.data_dir.clone();
        // Held until the end: migration, the first key and the sweep of dead processes happen in one process at a time.
        let (_opening, living, run) = blocking(move || {
            make_directory(&data_dir)?;
            let opening = lock(&data_dir.join("open.lock"))?;
            let runs = data_dir.join("run");
            make_directory(&runs)?;
            let living = run::living(&runs)?;
            let run = Run::start(&runs)?;
            make_private_file(&data_dir.join("registry.sqlite"))?;
            Ok((opening, living, run))
        })
        .await?;
        let pool = connect(&options.data_dir.join("registry.sqlite")).await?;
        let rooms: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM rooms").fetch_one(&pool).await?;
        let logs = options.data_dir.join("log");
        let key_path = options.data_dir.join("log.key");
        let listed = logs.clone();
        let (key, directories) = blocking(move || {
            make_directory(&listed)?;
            let directories = room_directories(&listed)?;
            Ok((signing_key(&key_path, rooms > 0 || !directories.is_empty())?, directories))
        })
        .await?;
        let registry = Self {
            inner: Arc::new(Inner {
                pool,
                turn: Mutex::new(()),
                options,
                key,
                run,
                clock: Box::new(clock),
                shares: std::sync::Mutex::default(),
                published: std::sync::Mutex::default(),
                witnessing: Witnessing::default(),
            }),
            door: Door::Embedded,
        };
        // A database that was put back signs what it has, which is the beginning of what was signed before; witnesses tell, before
        // anything else is added to it.
        registry.complete_logs(&directories).await?;
        registry.sums_are_true().await?;
        if let Some(witnesses) = witnesses {
            registry.begin_witnessing(witnesses).await?;
        }
        registry.fail_orphans(&living).await?;
        Ok(registry)
    }

    /// Milliseconds since 1970, by the registry's clock.
    pub(crate) fn now(&self) -> i64 {
        milliseconds((self.inner.clock)())
    }

    /// The same registry, for questions that come in through `door`; [`Door::Embedded`] unless said otherwise.
    #[must_use]
    pub fn through(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    /// The door that questions come in through.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door
    }

    /// Closes the database once nothing uses it any more. Without it the next opening has a little more to read.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    /// Every directory of a log must belong to a room of the database, and hold all of its entries.
    async fn complete_logs(&self, directories: &[String]) -> Result<()> {
        let rooms = self.room_names().await?;
        for directory in directories {
            if !rooms.iter().any(|room| room.as_str() == directory) {
                // Its room was in the database when its log was signed.
                return Err(RegistryError::RolledBack {
                    room: directory.clone(),
                    signed: signed_size(&self.inner.options.data_dir, directory),
                    stored: 0,
                });
            }
        }
        for room in &rooms {
            self.complete(room).await?;
        }
        Ok(())
    }
}

async fn connect(file: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY);
    // The change to WAL is kept in the file and cannot wait for others, so it is made once, here.
    let first = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone().journal_mode(SqliteJournalMode::Wal))
        .await?;
    sqlx::migrate!("./migrations").run(&first).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(60))
        .connect_with(options)
        .await?;
    first.close().await;
    Ok(pool)
}

/// The key of the logs. A new one only where nothing was signed yet: a second key would let a log be written anew.
fn signing_key(path: &Path, signed_before: bool) -> Result<LogKey> {
    let log = |error: LogKeyError| RegistryError::Log(error.to_string());
    match fs::exists(path).map_err(RegistryError::file(path, "look for"))? {
        true => LogKey::load(path).map_err(log),
        false if signed_before => Err(RegistryError::KeyMissing(path.to_owned())),
        false => {
            let key = LogKey::generate().map_err(log)?;
            key.save(path).map_err(log)?;
            Ok(key)
        }
    }
}

/// The names of log directories that hold a checkpoint.
fn room_directories(logs: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(logs).map_err(RegistryError::file(logs, "list"))? {
        let entry = entry.map_err(RegistryError::file(logs, "list"))?;
        if entry.path().join("checkpoint").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// What the checkpoint of a log without a room says of itself, for the error that reports it.
fn signed_size(data_dir: &Path, directory: &str) -> u64 {
    LogDirectory::open(data_dir.join("log").join(directory)).and_then(|log| log.size()).unwrap_or(0)
}

pub(crate) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(RegistryError::file(path, "create the directory"))
}

fn make_private_file(path: &Path) -> Result<()> {
    // A crash here leaves an empty file, which SQLite takes for an empty database.
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(RegistryError::file(path, "create the file"))?;
    Ok(())
}

/// Waits for the exclusive lock of a file; it is held until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(RegistryError::file(path, "make the lock file"))?;
    file.lock().map_err(RegistryError::file(path, "lock"))?;
    Ok(file)
}

/// Runs what waits for the file system away from the tasks of the runtime.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RegistryError::Interrupted)?
}
