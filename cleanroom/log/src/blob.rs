//! Large parts of entries, kept beside the log under their SHA-256.

use std::io;
use std::path::PathBuf;

use crate::directory::{LogDirectory, StoreError};
use crate::files;
use crate::format::BLOB_FOLDER;
use crate::hash::{Algorithm, Digest};

impl LogDirectory {
    /// Keeps `content` and returns its SHA-256, the name to read it by. Doing so twice changes nothing.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn write_blob(&self, content: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::sha256_of(content);
        let path = self.blob_path(&digest);
        let stored = files::read(&path).map_err(|source| StoreError::io(&path, source))?;
        if stored.as_deref() != Some(content) {
            // A crash here leaves no blob, and no entry that names it has been signed yet.
            self.write(&path, content)?;
        }
        Ok(digest)
    }

    /// The content of a blob, checked against its name; `None` where it is not kept.
    ///
    /// # Errors
    /// Where it cannot be read, is not what its name says, or the name is not a SHA-256.
    pub fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(digest);
        if digest.algorithm() != Algorithm::Sha256 {
            return Err(StoreError::io(&path, io::Error::from(io::ErrorKind::InvalidInput)));
        }
        match files::read(&path).map_err(|source| StoreError::io(&path, source))? {
            Some(content) if Digest::sha256_of(&content) == *digest => Ok(Some(content)),
            Some(_) => Err(StoreError::Damaged { path }),
            None => Ok(None),
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let (folder, _) = hex.split_at(2);
        self.path().join(BLOB_FOLDER).join(folder).join(&hex)
    }
}
