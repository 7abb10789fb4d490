//! Folders and locks of ingestion under the data directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cleanroom_policy::RoomName;
use tempfile::TempDir;

use super::error::IngestError;

const PREFIX: &str = "work-";

/// Where the snapshot of that content address is, whether it exists or not.
pub(crate) fn snapshot_path(data_dir: &Path, room: &RoomName, snapshot: &str) -> PathBuf {
    room_dir(data_dir, room).join("snapshots").join(format!("{snapshot}.parquet"))
}

/// Where the room's key is, once rows were taken in.
pub(crate) fn room_key_path(data_dir: &Path, room: &RoomName) -> PathBuf {
    room_dir(data_dir, room).join("room.key")
}

/// The folder of the exact sets behind released cells; created, for its owner alone.
pub(crate) fn cells_dir(data_dir: &Path, room: &RoomName) -> io::Result<PathBuf> {
    let dir = room_dir(data_dir, room).join("cells");
    private_dir(&dir)?;
    Ok(dir)
}

fn room_dir(data_dir: &Path, room: &RoomName) -> PathBuf {
    data_dir.join("rooms").join(room.as_str())
}

/// The right to take rows into a room: one holder over all processes of the machine.
pub(crate) struct RoomLock {
    data_dir: PathBuf,
    room: RoomName,
    /// Unlocked when closed, also by a crash.
    _file: File,
}

impl RoomLock {
    /// Waits for it.
    pub(crate) fn acquire(data_dir: &Path, room: &RoomName) -> Result<Self, IngestError> {
        let dir = room_dir(data_dir, room);
        create_dir(&dir)?;
        let path = dir.join("ingest.lock");
        let file = lock_file(&path).map_err(IngestError::storage("create", &path))?;
        file.lock().map_err(IngestError::storage("lock", &path))?;
        Ok(Self { data_dir: data_dir.to_owned(), room: room.clone(), _file: file })
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        room_key_path(&self.data_dir, &self.room)
    }

    pub(crate) fn snapshot_path(&self, snapshot: &str) -> PathBuf {
        snapshot_path(&self.data_dir, &self.room, snapshot)
    }

    /// The folder of the room's identity spaces; created.
    pub(crate) fn spaces_dir(&self) -> Result<PathBuf, IngestError> {
        self.folder("spaces")
    }

    /// Whether identities of the room were numbered before.
    pub(crate) fn has_identities(&self) -> Result<bool, IngestError> {
        let dir = self.spaces_dir()?;
        let any = |mut entries: fs::ReadDir| {
            entries.try_fold(false, |found, entry| Ok(found || entry?.metadata()?.len() > 0))
        };
        fs::read_dir(&dir).and_then(any).map_err(IngestError::storage("list", &dir))
    }

    /// The folder of the room's snapshots; created.
    pub(crate) fn snapshots_dir(&self) -> Result<PathBuf, IngestError> {
        self.folder("snapshots")
    }

    fn folder(&self, name: &str) -> Result<PathBuf, IngestError> {
        let dir = room_dir(&self.data_dir, &self.room).join(name);
        create_dir(&dir)?;
        Ok(dir)
    }

    /// A folder for what does not outlive the ingestion.
    pub(crate) fn workspace(&self) -> Result<Workspace, IngestError> {
        let tmp = self.data_dir.join("tmp");
        create_dir(&tmp)?;
        Workspace::create(&tmp).map_err(IngestError::storage("create a folder in", &tmp))
    }
}

/// A folder that goes when it is dropped. A crash leaves it unlocked, for [`clean_temporary`].
pub(crate) struct Workspace {
    /// Dropped before the lock, which thus covers the removal.
    dir: TempDir,
    _lock: File,
}

impl Workspace {
    /// Makes one in `tmp`, which exists.
    pub(crate) fn create(tmp: &Path) -> io::Result<Self> {
        let gate = lock_file(&tmp.join(".lock"))?;
        gate.lock_shared()?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let dir = builder.tempdir_in(tmp)?;
        let lock = lock_file(&dir.path().join("lock"))?;
        lock.lock()?;
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes the folders of ingestions and queries that crashed; those of living processes are locked and stay.
pub(crate) fn clean_temporary(data_dir: &Path) -> io::Result<()> {
    let tmp = data_dir.join("tmp");
    if !tmp.is_dir() {
        return Ok(());
    }
    // Held while folders are looked at, so that none is seen between its creation and its locking.
    let gate = lock_file(&tmp.join(".lock"))?;
    gate.lock()?;
    for entry in fs::read_dir(&tmp)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let removed = match File::open(entry.path().join("lock")).map(|lock| lock.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => continue,
            Ok(Err(TryLockError::Error(error))) => return Err(error),
            Ok(Ok(())) | Err(_) => fs::remove_dir_all(entry.path()),
        };
        // Its owner may have removed it in the meantime.
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A crash after this can lose neither the files in `dir` nor their names.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), IngestError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(IngestError::storage("write", dir))
}

/// The folder for what does not outlive the process; created, for its owner alone.
pub(crate) fn temporary_dir(data_dir: &Path) -> io::Result<PathBuf> {
    let tmp = data_dir.join("tmp");
    private_dir(&tmp)?;
    Ok(tmp)
}

fn create_dir(dir: &Path) -> Result<(), IngestError> {
    private_dir(dir).map_err(IngestError::storage("create", dir))
}

fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
