//! Identities of a space as dense numbers.
//!
//! The file of a space is the tokens of its identities, 32 bytes each; an identity's number is its token's position. It only
//! grows, so that every snapshot's numbers keep their meaning. Trust: it holds keyed hashes, no identifier; whoever can write
//! it can make identities match that are not the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StringArray, UInt32Builder};
use cleanroom_keys::{Normaliser, RoomKey, Token, normaliser, parse_token_text};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::arrays::BadValue;
use super::error::IngestError;
use super::workspace::sync_dir;

const WIDTH: usize = 32;

/// Turns a unit column's texts into numbers of its space.
pub(crate) struct Identities {
    key: RoomKey,
    normaliser: Normaliser,
    space: Space,
    kind: Option<Kind>,
}

/// What a unit column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Tokens that the owner computed.
    Tokens,
    /// Identifiers.
    Raw,
}

/// Why a column's texts could not be numbered.
#[derive(Debug)]
pub(crate) enum Unnumbered {
    Value(BadValue, String),
    Full,
}

impl Identities {
    pub(crate) fn open(dir: &Path, space: &str, key: RoomKey) -> Result<Self, IngestError> {
        Ok(Self { key, normaliser: normaliser(space), space: Space::load(dir, space)?, kind: None })
    }

    /// The numbers of the identities; NULL for NULL and for texts with nothing in them.
    pub(crate) fn number(&mut self, texts: &StringArray) -> Result<ArrayRef, Unnumbered> {
        let tokens: Vec<Result<Option<(Kind, Token)>, String>> = (0..texts.len())
            .into_par_iter()
            .with_min_len(256)
            .map(|row| if texts.is_null(row) { Ok(None) } else { self.token(texts.value(row)) })
            .collect();
        let mut numbers = UInt32Builder::with_capacity(texts.len());
        for (row, token) in tokens.into_iter().enumerate() {
            let bad = |what: String| Unnumbered::Value(BadValue { row, what: "" }, what);
            match token.map_err(bad)? {
                None => numbers.append_null(),
                Some((kind, _)) if *self.kind.get_or_insert(kind) != kind => {
                    return Err(bad("tokens and plain identifiers are mixed".to_owned()));
                }
                Some((_, token)) => {
                    numbers.append_value(self.space.number(token.as_bytes()).ok_or(Unnumbered::Full)?);
                }
            }
        }
        Ok(Arc::new(numbers.finish()))
    }

    fn token(&self, text: &str) -> Result<Option<(Kind, Token)>, String> {
        if text.trim_start().starts_with("crt1_") {
            let token = parse_token_text(text).ok_or("a token is damaged (`crt1_` and 64 hexadecimal digits)")?;
            return Ok(Some((Kind::Tokens, token)));
        }
        let normal = self.normaliser.normalise(text).map_err(|error| error.to_string())?;
        Ok(normal.map(|normal| (Kind::Raw, self.key.token(&self.space.name, &normal))))
    }

    /// Makes the numbers given so far durable.
    pub(crate) fn commit(self) -> Result<(), IngestError> {
        self.space.commit()
    }

    pub(crate) fn space(&self) -> &str {
        &self.space.name
    }
}

/// The known identities of one space.
struct Space {
    name: String,
    dir: PathBuf,
    path: PathBuf,
    /// The hasher is keyed at random, since owners can upload tokens of their choice.
    known: HashMap<[u8; WIDTH], u32>,
    stored: u64,
    fresh: Vec<u8>,
}

impl Space {
    fn load(dir: &Path, name: &str) -> Result<Self, IngestError> {
        let path = dir.join(format!("{name}.tokens"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(IngestError::storage("read", &path)(error)),
        };
        // A crash can leave part of a token at the end. No snapshot names it, since a snapshot is registered only after its
        // tokens are durable.
        let (tokens, _torn) = bytes.as_chunks::<WIDTH>();
        let mut space = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            path,
            known: HashMap::with_capacity(tokens.len()),
            stored: tokens.len() as u64,
            fresh: Vec::new(),
        };
        for (number, token) in (0_u32..).zip(tokens) {
            // Should a token stand twice, the first position is the one that snapshots name.
            space.known.entry(*token).or_insert(number);
        }
        Ok(space)
    }

    /// The identity's number; `None` where there are no more.
    fn number(&mut self, token: &[u8; WIDTH]) -> Option<u32> {
        let next = self.stored + (self.fresh.len() / WIDTH) as u64;
        match self.known.entry(*token) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(vacant) => {
                // The last number stays free for those who need one that is nobody's.
                let number = u32::try_from(next).ok().filter(|number| *number < u32::MAX)?;
                self.fresh.extend_from_slice(token);
                Some(*vacant.insert(number))
            }
        }
    }

    /// A crash in here leaves new tokens, whole or torn, that no snapshot names: the next ingestion reuses or cuts them.
    fn commit(self) -> Result<(), IngestError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let append = |mut file: File| {
            let end = self.stored * WIDTH as u64;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            file.write_all(&self.fresh)?;
            file.sync_all()
        };
        options.open(&self.path).and_then(append).map_err(IngestError::storage("write", &self.path))?;
        sync_dir(&self.dir)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn numbers(dir: &Path, tokens: &[u8]) -> Vec<u32> {
        let mut space = Space::load(dir, "household").unwrap();
        let numbers = tokens.iter().map(|byte| space.number(&[*byte; WIDTH]).unwrap()).collect();
        space.commit().unwrap();
        numbers
    }

    #[test]
    fn numbers_keep_their_meaning_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(numbers(dir.path(), &[7, 8, 7]), [0, 1, 0]);
        let path = dir.path().join("household.tokens");
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(&[9; 31]);
        fs::write(&path, torn).unwrap();
        assert_eq!(numbers(dir.path(), &[9, 8]), [2, 1]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 96);
        assert_eq!(numbers(dir.path(), &[9]), [2]);
    }

    #[test]
    fn a_full_space_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut space = Space::load(dir.path(), "household").unwrap();
        space.stored = u64::from(u32::MAX);
        assert_eq!(space.number(&[1; WIDTH]), None);
    }
}
