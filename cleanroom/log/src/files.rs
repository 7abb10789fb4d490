//! Writing a file so that after a crash it is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Creates or replaces a file. When this returns, the file survives a power failure.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    let file = temporary(folder, content)?;
    file.persist(path)?;
    sync_folder(folder)
}

/// As [`replace`], but fails where the file exists.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = parent(path)?;
    let file = temporary(folder, content)?;
    file.persist_noclobber(path)?;
    sync_folder(folder)
}

/// Creates a folder with its parents, readable by their owner only. When this returns, they survive a power failure.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = parent(path)?;
    create_folder(parent)?;
    let mut builder = fs::DirBuilder::new();
    // Not an error where another process was quicker.
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)?;
    sync_folder(parent)
}

/// The file's content; `None` where there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// A crash before the rename leaves a file `.tmp...` that nothing reads.
fn temporary(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(folder) => Ok(folder),
        None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
