//! Files that hold secrets: readable by their owner alone, never overwritten, on disk before their name is.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

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

/// Writes `header` and the secret, with a checksum.
pub(crate) fn save(path: &Path, header: &'static str, secret: &[u8]) -> Result<(), KeyError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
        _ => KeyError::Io { path: path.to_owned(), source },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written whole under a name of its own first: a crash leaves no half of a key under the name that is looked for.
    let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(folder).map_err(io)?;
    let encoded = Zeroizing::new(STANDARD.encode(secret));
    let text = Zeroizing::new(format!("{header}\n{}\n{}\n", encoded.as_str(), checksum(header, secret)));
    file.write_all(text.as_bytes()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|error| io(error.error))?;
    // A crash before this may lose the name; then there is no key, which is what the caller is told on the next run.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Reads what [`save`] wrote.
pub(crate) fn load(path: &Path, header: &'static str, wanted: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let io = |source: std::io::Error| KeyError::Io { path: path.to_owned(), source };
    let format = || KeyError::Format { path: path.to_owned(), wanted };
    let file = OpenOptions::new().read(true).open(path).map_err(io)?;
    refuse_shared(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    file.take(4096).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => format(),
        _ => io(error),
    })?;
    let mut lines = text.lines();
    if lines.next() != Some(header) {
        return Err(format());
    }
    let secret = lines.next().and_then(|line| STANDARD.decode(line).ok()).map(Zeroizing::new).ok_or_else(format)?;
    if lines.next() != Some(checksum(header, &secret).as_str()) {
        return Err(format());
    }
    Ok(secret)
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

/// Tells a damaged file from a wrong one; it gives nothing away of a random secret of 32 bytes.
fn checksum(header: &str, secret: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("cleanroom 2026-11 key file checksum v1");
    hasher.update(header.as_bytes());
    hasher.update(secret);
    hasher.finalize().to_hex().chars().take(16).collect()
}
