//! Which processes live: each holds the lock of one file as long as it runs.
//!
//! The kernel releases the lock with the process, however it ends, so a file that can be locked belongs to nobody.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{RegistryError, Result};
use crate::random::random;

/// This process's own file, locked.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    path: PathBuf,
    _locked: File,
}

impl Run {
    /// Makes and locks a file in `directory`. The caller holds the lock under which the directory is swept.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(RegistryError::file(directory, "create the directory"))?;
        let id = hex::encode(random::<16>()?);
        let path = directory.join(format!("{id}.lock"));
        let file = File::create_new(&path).map_err(RegistryError::file(&path, "make the lock file"))?;
        file.lock().map_err(RegistryError::file(&path, "lock"))?;
        Ok(Self { id, path, _locked: file })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A file that stays is swept by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// The ids of the processes that live; the files of the others are removed.
pub(crate) fn living(directory: &Path) -> Result<Vec<String>> {
    let mut living = Vec::new();
    let listing = fs::read_dir(directory).map_err(RegistryError::file(directory, "list"))?;
    for entry in listing {
        let path = entry.map_err(RegistryError::file(directory, "list"))?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".lock"))
        else {
            continue;
        };
        let Ok(file) = File::open(&path) else {
            continue; // gone since it was listed
        };
        match file.try_lock() {
            // One that stays is found again by the next start.
            Ok(()) => drop(fs::remove_file(&path)),
            Err(TryLockError::WouldBlock) => living.push(id.to_owned()),
            Err(TryLockError::Error(source)) => {
                return Err(RegistryError::File { path, doing: "lock", source });
            }
        }
    }
    Ok(living)
}
