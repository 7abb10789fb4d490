//! A log as files: tiles, entry bundles, checkpoint, public key and blobs.
//!
//! Trust: none. Everything here is derived from the registry's database and can be derived again; readers believe the
//! signature and the hashes, not the directory. One process writes at a time, which is the caller's to ensure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::files;
use crate::format::{CHECKPOINT_FILE, KEY_FILE, TILE_HEIGHT, TILE_WIDTH};
use crate::hash::EntryHash;
use crate::note::VerifierKey;
use crate::tile::{
    bundle_length, entries_path, hashes_from_bytes, hashes_to_bytes, push_entry, split_bundle, tile_path,
};
use crate::tree::{HashSource, RangeError, Tree};

/// The directory of one log.
#[derive(Debug, Clone)]
pub struct LogDirectory {
    path: PathBuf,
}

impl LogDirectory {
    /// Opens a log's directory, creating it where it does not exist.
    ///
    /// # Errors
    /// Where it cannot be created.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        files::create_folder(&path).map_err(|source| StoreError::io(&path, source))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint as it stands, not verified; `None` before the first one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let path = self.path.join(CHECKPOINT_FILE);
        match files::read(&path).map_err(|source| StoreError::io(&path, source))? {
            Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| StoreError::Damaged { path }),
            None => Ok(None),
        }
    }

    /// How many entries the checkpoint covers, not verified; 0 before the first one.
    ///
    /// # Errors
    /// Where the checkpoint cannot be read.
    pub fn size(&self) -> Result<u64, StoreError> {
        let path = self.path.join(CHECKPOINT_FILE);
        match self.checkpoint()? {
            Some(note) => {
                let checkpoint = Checkpoint::unverified(&note);
                Ok(checkpoint.map_err(|source| StoreError::Checkpoint { path, source })?.size)
            }
            None => Ok(0),
        }
    }

    /// The tree of the first `size` entries as the tiles have it.
    ///
    /// # Errors
    /// Where a tile is missing or broken.
    pub fn tree(&self, size: u64) -> Result<Tree, StoreError> {
        Tree::from_source(&self.tiles(size), size)
    }

    /// The tiles of the first `size` entries, to make proofs from.
    pub const fn tiles(&self, size: u64) -> Tiles<'_> {
        Tiles { directory: self, size }
    }

    /// Writes the bundles and tiles of `entries`, the first of which is number `first`, and returns the tree that ends with
    /// them. Entries before `first` must be here already; what stands behind it is replaced. The checkpoint stays as it is:
    /// sign the returned tree and call [`LogDirectory::write_checkpoint`].
    ///
    /// # Errors
    /// Where an entry is too long, an earlier tile is missing or broken, or the disk does not take it.
    pub fn extend<E: AsRef<[u8]>>(&self, first: u64, entries: &[E]) -> Result<Tree, StoreError> {
        // A crash in here leaves files beyond the checkpoint, which no reader looks at; the next call writes them again.
        let mut tree = self.tree(first)?;
        self.write_bundles(first, entries)?;
        let mut hashes: Vec<_> = entries.iter().map(|entry| EntryHash::of_entry(entry.as_ref())).collect();
        hashes.iter().for_each(|leaf| tree.append(*leaf));
        let mut level = 0;
        while !hashes.is_empty() {
            hashes = self.write_tiles(level, first, &hashes)?;
            level += 1;
        }
        Ok(tree)
    }

    /// Writes the whole log again from its entries, first entry first. The checkpoint stays as it is.
    ///
    /// # Errors
    /// As for [`LogDirectory::extend`].
    pub fn rebuild<E: AsRef<[u8]>>(&self, entries: impl IntoIterator<Item = E>) -> Result<Tree, StoreError> {
        let mut tree = Tree::new();
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<E> = entries.by_ref().take(16 * TILE_WIDTH as usize).collect();
            if batch.is_empty() {
                return Ok(tree);
            }
            tree = self.extend(tree.size(), &batch)?;
        }
    }

    /// Replaces the checkpoint: from here on the log has the size that `note` says. Its tiles must have been written.
    ///
    /// # Errors
    /// Where `note` is not a checkpoint or the disk does not take it.
    pub fn write_checkpoint(&self, note: &str) -> Result<(), StoreError> {
        let path = self.path.join(CHECKPOINT_FILE);
        let new = Checkpoint::unverified(note);
        let new = new.map_err(|source| StoreError::Checkpoint { path: path.clone(), source })?.size;
        let old = self.size().unwrap_or(0);
        // What a failure kept out of the history when the last one was written comes before this one.
        self.keep_newest()?;
        // A crash before the rename leaves the old checkpoint with tiles for more than it covers; after it, the new one.
        self.write(&path, note.as_bytes())?;
        // A crash or a failure before this leaves a checkpoint that the history lacks. It is added before the next one is written:
        // a checkpoint that is put back later is known by the larger one in the history.
        self.keep(note)?;
        self.remove_partial(old, new);
        Ok(())
    }

    /// Writes the log's public key beside it, for readers that have it from nowhere better.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn write_key(&self, key: &VerifierKey) -> Result<(), StoreError> {
        // A crash here leaves the old file or the new one; both name the same key.
        self.write(&self.path.join(KEY_FILE), format!("{key}\n").as_bytes())
    }

    /// The entries of bundle number `index`, in a log of `size` entries.
    ///
    /// # Errors
    /// Where the bundle is missing or broken.
    pub fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let width = width(size, 0, index);
        let path = self.path.join(entries_path(index, width));
        split_bundle(&self.read_bundle(index, width)?).ok_or(StoreError::Damaged { path })
    }

    fn write_bundles<E: AsRef<[u8]>>(&self, first: u64, entries: &[E]) -> Result<(), StoreError> {
        let (mut index, mut held) = (first / TILE_WIDTH, first % TILE_WIDTH);
        let mut bundle = if held > 0 { self.read_bundle(index, held)? } else { Vec::new() };
        let mut left = entries.len();
        for entry in entries {
            let sequence = index * TILE_WIDTH + held;
            push_entry(&mut bundle, entry.as_ref()).ok_or(StoreError::EntryTooLong { sequence })?;
            held += 1;
            left -= 1;
            if held == TILE_WIDTH || left == 0 {
                self.write(&self.path.join(entries_path(index, held)), &bundle)?;
            }
            if held == TILE_WIDTH {
                (index, held) = (index + 1, 0);
                bundle.clear();
            }
        }
        Ok(())
    }

    // Writes the tiles of one level that `new` hashes behind those of the first `entries` entries make or fill, and
    // returns what they add to the level above.
    fn write_tiles(&self, level: u32, entries: u64, new: &[EntryHash]) -> Result<Vec<EntryHash>, StoreError> {
        let first = entries.checked_shr(TILE_HEIGHT * level).unwrap_or(0);
        let (index, held) = (first / TILE_WIDTH, first % TILE_WIDTH);
        let mut hashes = if held > 0 { self.read_tile(level, index, held)? } else { Vec::new() };
        hashes.extend_from_slice(new);
        let mut above = Vec::new();
        for (tile, index) in hashes.chunks(TILE_WIDTH as usize).zip(index..) {
            let width = tile.len() as u64;
            self.write(&self.path.join(tile_path(level, index, width)), &hashes_to_bytes(tile))?;
            if width == TILE_WIDTH {
                above.push(Tree::from_leaves(tile.iter().copied()).root());
            }
        }
        Ok(above)
    }

    // Partial tiles whose full tile a checkpoint covers are needed by nobody. One that stays, after a crash or for lack of
    // permission, does no harm, so nothing here is an error.
    fn remove_partial(&self, old: u64, new: u64) {
        let mut level = 0;
        let (mut from, mut to) = (old / TILE_WIDTH, new / TILE_WIDTH);
        while from < to {
            for index in from..to {
                let mut folders = vec![tile_path(level, index, TILE_WIDTH)];
                if level == 0 {
                    folders.push(entries_path(index, TILE_WIDTH));
                }
                for folder in folders {
                    let _ = fs::remove_dir_all(self.path.join(format!("{folder}.p")));
                }
            }
            (level, from, to) = (level + 1, from / TILE_WIDTH, to / TILE_WIDTH);
        }
    }

    fn read_tile(&self, level: u32, index: u64, width: u64) -> Result<Vec<EntryHash>, StoreError> {
        let (path, bytes) = self.read_from(|width| tile_path(level, index, width), width)?;
        let mut hashes = hashes_from_bytes(&bytes).unwrap_or_default();
        if (hashes.len() as u64) < width {
            return Err(StoreError::Damaged { path });
        }
        hashes.truncate(width as usize);
        Ok(hashes)
    }

    fn read_bundle(&self, index: u64, width: u64) -> Result<Vec<u8>, StoreError> {
        let (path, mut bytes) = self.read_from(|width| entries_path(index, width), width)?;
        let length = bundle_length(&bytes, width).ok_or(StoreError::Damaged { path })?;
        bytes.truncate(length);
        Ok(bytes)
    }

    // A wider tile begins with the same bytes, and may be all that is left of a narrower one.
    fn read_from(&self, path: impl Fn(u64) -> String, width: u64) -> Result<(PathBuf, Vec<u8>), StoreError> {
        for wider in width..=TILE_WIDTH {
            let path = self.path.join(path(wider));
            if let Some(bytes) = files::read(&path).map_err(|source| StoreError::io(&path, source))? {
                return Ok((path, bytes));
            }
        }
        Err(StoreError::Missing { path: self.path.join(path(width)) })
    }

    pub(crate) fn write(&self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let write = || {
            path.parent().map_or(Ok(()), files::create_folder)?;
            files::replace(path, content)
        };
        write().map_err(|source| StoreError::io(path, source))
    }
}

// How many hashes tile `index` at `level` has in a log of `size` entries.
fn width(size: u64, level: u32, index: u64) -> u64 {
    let hashes = size.checked_shr(TILE_HEIGHT * level).unwrap_or(0);
    hashes.saturating_sub(index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH)
}

/// The tiles of a log of a certain size.
#[derive(Debug, Clone, Copy)]
pub struct Tiles<'d> {
    directory: &'d LogDirectory,
    size: u64,
}

impl HashSource for Tiles<'_> {
    type Error = StoreError;

    fn node(&self, level: u32, index: u64) -> Result<EntryHash, StoreError> {
        let (tile_level, inside) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index.checked_shl(inside).ok_or(RangeError)?;
        let (tile, offset) = (first / TILE_WIDTH, (first % TILE_WIDTH) as usize);
        let width = width(self.size, tile_level, tile);
        if width == 0 {
            return Err(RangeError.into());
        }
        let hashes = self.directory.read_tile(tile_level, tile, width)?;
        let subtree = hashes.get(offset..offset + (1 << inside)).ok_or(RangeError)?;
        Ok(Tree::from_leaves(subtree.iter().copied()).root())
    }
}

/// What is wrong with a log's directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused to read or write.
    #[error("cannot read or write `{}`; look at its permissions and at the space on its disk", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that should be there is not.
    #[error("`{}` is missing; the directory can be derived again from the registry", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what its name says.
    #[error("`{}` is damaged; the directory can be derived again from the registry", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The checkpoint is not one.
    #[error("`{}`: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// An entry that no bundle can hold.
    #[error("entry {sequence} is longer than a log takes")]
    EntryTooLong {
        /// Its number.
        sequence: u64,
    },
    /// A proof for an entry or size that is not there.
    #[error(transparent)]
    Range(#[from] RangeError),
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests;
