//! The files of exact sets: one for the new cells of each answer, named by the hash of its content.
//!
//! A file is durable before the registry names it, and never changed. One that nothing names is what a crash left; it is
//! removed once it is a day old, when no process can still be about to name it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::kept;
use super::span::Span;
use super::vector::{Facts, Vector};

/// Largest part of a file that is read before its sets are.
const HEAD: u64 = 1 << 28;
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// The sets of files, read once, and what was worked out about them.
#[derive(Default)]
pub(super) struct Known {
    pub(super) span: Span,
    swept: bool,
    files: HashMap<String, Vec<Arc<Vector>>>,
}

impl Known {
    /// Makes the released numbers those of the files in a folder, in the order of the names.
    ///
    /// # Errors
    /// See [`Self::sets`].
    pub(super) fn sync(&mut self, dir: &Path, names: &[String]) -> io::Result<()> {
        let sets = self.sets(dir, names)?;
        self.span.sync(sets);
        Ok(())
    }

    /// The sets of the files in a folder, in the order of the names.
    ///
    /// # Errors
    /// Where one is gone or damaged: what cannot be compared with is no reason to answer.
    pub(super) fn sets(&mut self, dir: &Path, names: &[String]) -> io::Result<Vec<Arc<Vector>>> {
        if !self.swept {
            sweep(dir, names)?;
            self.span.keep_in(dir);
            self.swept = true;
        }
        let mut sets = Vec::new();
        for name in names {
            if !self.files.contains_key(name) {
                self.files.insert(name.clone(), read(&dir.join(name))?);
            }
            sets.extend(self.files.get(name).into_iter().flatten().map(Arc::clone));
        }
        Ok(sets)
    }
}

fn read(path: &Path) -> io::Result<Vec<Arc<Vector>>> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEAD {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut head = Vec::new();
    (&mut file).take(length).read_to_end(&mut head)?;
    let all: Vec<Facts> = serde_json::from_slice(&head)?;
    let path = Arc::new(path.to_owned());
    let mut at = 8 + length;
    let sets = all
        .into_iter()
        .map(|facts| {
            let (vector, behind) = Vector::stored(facts, &path, at);
            at = behind;
            Arc::new(vector)
        })
        .collect();
    if file.metadata()?.len() != at {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(sets)
}

/// Makes sets durable and gives the name of their file; `None` where there are none.
pub(super) fn write(dir: &Path, sets: &[Arc<Vector>]) -> io::Result<Option<String>> {
    if sets.is_empty() {
        return Ok(None);
    }
    let head = serde_json::to_vec(&sets.iter().map(|vector| &vector.facts).collect::<Vec<_>>())?;
    let mut hasher = blake3::Hasher::new();
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    let length = (head.len() as u64).to_le_bytes();
    let mut put = |part: &[u8]| {
        hasher.update(part);
        file.write_all(part)
    };
    put(&length)?;
    put(&head)?;
    for (entries, notes) in sets.iter().filter_map(|vector| vector.bytes()) {
        put(entries)?;
        put(&notes)?;
    }
    file.as_file().sync_all()?;
    let name = format!("{}.cells", hasher.finalize().to_hex());
    file.persist(dir.join(&name)).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()?;
    Ok(Some(name))
}

/// Removes what crashes left. What cannot be removed stays, and does no harm.
fn sweep(dir: &Path, named: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| kept::is_named(name) || named.iter().any(|known| known == name));
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if !known && age.is_some_and(|age| age > LEFT_BEHIND) {
            fs::remove_file(entry.path()).ok();
        }
    }
    Ok(())
}
