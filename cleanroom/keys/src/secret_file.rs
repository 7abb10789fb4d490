//! Files that hold secrets: readable by their owner alone, never overwritten, on disk before their name is.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest key file, in bytes.
const MAX_BYTES: u64 = 4096;

/// A key that cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gives no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
    /// The file cannot be opened, read or written.
    #[error("`{path}`: {what}; check the path and its permissions", what = .source.kind())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a file already.
    #[error("`{0}` exists and a key is never overwritten; choose another name")]
    Exists(PathBuf),
    /// Others may read it.
    #[error("`{0}` can be read by others; run `chmod 600` on it")]
    Permissions(PathBuf),
    /// It holds something else.
    #[error("`{path}` does not hold a {wanted}; make one with `cleanroom keys new`")]
    Format {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
}

/// Writes a new file.
pub(crate) fn save(path: &Path, text: &str) -> Result<(), KeyError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written whole under a name of its own first: a crash leaves no half of a key under the name that is looked for.
    let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(folder).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|error| io(error.error))?;
    // A crash before this may lose the name; then there is no key, which is what the caller is told on the next run.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Reads what [`save`] wrote.
pub(crate) fn load(path: &Path, wanted: &'static str) -> Result<Zeroizing<String>, KeyError> {
    let io = |source: std::io::Error| KeyError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).open(path).map_err(io)?;
    refuse_shared(path, &file)?;
    // With all its room from the start, the text is never moved, which would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => KeyError::Format { path: path.to_owned(), wanted },
        _ => io(error),
    })?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_shared(path: &Path, file: &File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = file.metadata().map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Permissions(path.to_owned()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_shared(_path: &Path, _file: &File) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        save(&path, "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&path, "key").unwrap().as_str(), "secret");
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = load(&path, "key").unwrap_err();
            assert!(matches!(error, KeyError::Permissions(_)), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn it_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        save(&path, "first").unwrap();
        assert!(matches!(save(&path, "second"), Err(KeyError::Exists(_))));
        assert_eq!(load(&path, "key").unwrap().as_str(), "first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        assert!(matches!(save(&folder.path().join("none/key"), "x"), Err(KeyError::Io { .. })));
    }
}
