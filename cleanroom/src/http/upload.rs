//! Uploads: collected in a file of the data directory, so that no upload has to fit into memory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use axum::body::Body;
use tempfile::NamedTempFile;

use super::body::Pieces;
use super::problem::Problem;

/// Makes the folder that uploads are collected in, and removes what a crash left there.
///
/// # Errors
/// Where the folder cannot be made or read.
pub(crate) fn prepare(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join("uploads");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        // A file that is being written is locked by its server, which may be another one on this directory.
        let unused = fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if unused {
            fs::remove_file(&path)?;
        }
    }
    Ok(folder)
}

/// Writes a body to a file, which is removed when it is dropped. It is readable by the server alone.
pub(super) async fn collect(body: Body, folder: &Path, limit: u64) -> Result<NamedTempFile, Problem> {
    let failed = |error: io::Error| Problem::internal(&format!("upload: {error}"));
    let folder = folder.to_owned();
    let mut file = tokio::task::spawn_blocking(move || {
        let file = NamedTempFile::new_in(folder)?;
        file.as_file().lock()?;
        Ok(file)
    })
    .await
    .map_err(|_| Problem::internal("upload: a worker ended early"))?
    .map_err(failed)?;
    let mut pieces = Pieces::new(body, limit);
    while let Some(piece) = pieces.next().await? {
        file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
            .await
            .map_err(|_| Problem::internal("upload: a worker ended early"))?
            .map_err(failed)?;
    }
    Ok(file)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_leaves_nothing_behind() {
        let data = tempfile::tempdir().unwrap();
        let folder = prepare(data.path()).unwrap();
        fs::write(folder.join("left"), "rows").unwrap();
        let held = collect(Body::from("a,b\n1,2\n"), &folder, 100).await.unwrap();
        prepare(data.path()).unwrap();
        assert_eq!(fs::read_to_string(held.path()).unwrap(), "a,b\n1,2\n");
        assert!(!folder.join("left").exists());
        drop(held);
        assert!(collect(Body::from("too long"), &folder, 3).await.is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
