//! Identities of a space as dense numbers.
//!
//! The file of a space is the tokens of its identities, 32 bytes each; an identity's number is its token's position. It only
//! grows, so that every snapshot's numbers keep their meaning. Trust: it holds keyed hashes, no identifier; whoever can write
//! it can make identities match that are not the same.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IntoInnerError, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StringArray, UInt32Builder};
use cleanroom_keys::{Normaliser, RoomKey, Token, normaliser, parse_token_text};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::arrays::BadValue;
use super::error::IngestError;
use super::known::{Known, Mark, NOBODY, OutOfMemory};
use super::workspace::sync_dir;

const WIDTH: usize = 32;

/// Bytes of tokens read or written at a time; whole tokens.
const BUFFER: usize = 1 << 20;

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
    Space(IngestError),
}

/// An identity of a row, with its number if it has one.
struct Found {
    kind: Kind,
    token: Token,
    mark: Mark,
    number: Option<u32>,
}

impl Identities {
    /// Reads the space `space`. Its identities take at most `memory` bytes of memory, and new ones room in `workspace`.
    pub(crate) fn open(
        dir: &Path,
        workspace: &Path,
        space: &str,
        key: RoomKey,
        memory: usize,
    ) -> Result<Self, IngestError> {
        Ok(Self { key, normaliser: normaliser(space), space: Space::load(dir, workspace, space, memory)?, kind: None })
    }

    /// The numbers of the identities; NULL for NULL and for texts with nothing in them.
    pub(crate) fn number(&mut self, texts: &StringArray) -> Result<ArrayRef, Unnumbered> {
        let found: Vec<Result<Option<Found>, String>> = (0..texts.len())
            .into_par_iter()
            .with_min_len(256)
            .map(|row| if texts.is_null(row) { Ok(None) } else { self.find(texts.value(row)) })
            .collect();
        let mut numbers = UInt32Builder::with_capacity(texts.len());
        for (row, found) in found.into_iter().enumerate() {
            let bad = |what: String| Unnumbered::Value(BadValue { row, what: "" }, what);
            match found.map_err(bad)? {
                None => numbers.append_null(),
                Some(Found { kind, .. }) if *self.kind.get_or_insert(kind) != kind => {
                    return Err(bad("tokens and plain identifiers are mixed".to_owned()));
                }
                Some(Found { number: Some(number), .. }) => numbers.append_value(number),
                Some(Found { token, mark, .. }) => {
                    numbers.append_value(self.space.number(&token, mark).map_err(Unnumbered::Space)?);
                }
            }
        }
        Ok(Arc::new(numbers.finish()))
    }

    fn find(&self, text: &str) -> Result<Option<Found>, String> {
        Ok(self.token(text)?.map(|(kind, token)| {
            let mark = self.space.known.mark(token.as_bytes());
            Found { kind, token, mark, number: self.space.known.get(&mark) }
        }))
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
}

/// The identities of one space.
struct Space {
    name: String,
    dir: PathBuf,
    path: PathBuf,
    known: Known,
    stored: u64,
    /// Tokens of new identities, in a file without a name: it goes with the process.
    fresh: BufWriter<File>,
    added: u64,
}

impl Space {
    fn load(dir: &Path, workspace: &Path, name: &str, memory: usize) -> Result<Self, IngestError> {
        let path = dir.join(format!("{name}.tokens"));
        let fresh = tempfile::tempfile_in(workspace).map_err(IngestError::storage("create a file in", workspace))?;
        let mut space = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            path,
            known: Known::new(memory)?,
            stored: 0,
            fresh: BufWriter::with_capacity(BUFFER, fresh),
            added: 0,
        };
        match File::open(&space.path) {
            Ok(file) => space.read(file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(IngestError::storage("read", &space.path)(error)),
        }
        Ok(space)
    }

    /// A crash can leave part of a token at the end, which is left out. No snapshot names it, since a snapshot is registered
    /// only after its tokens are durable.
    fn read(&mut self, file: File) -> Result<(), IngestError> {
        let length = file.metadata().map_err(IngestError::storage("read", &self.path))?.len();
        let expected = (length / WIDTH as u64).min(u64::from(NOBODY));
        self.known.reserve(usize::try_from(expected).unwrap_or(usize::MAX)).map_err(|full| self.full(&full))?;
        let mut bytes = Vec::with_capacity(BUFFER);
        loop {
            bytes.clear();
            let read = (&file).take(BUFFER as u64).read_to_end(&mut bytes);
            let read = read.map_err(IngestError::storage("read", &self.path))?;
            let (tokens, _torn) = bytes.as_chunks::<WIDTH>();
            for mark in self.known.marks(tokens) {
                // Should a token stand twice, the first position is the one that snapshots name.
                if let Some(number) = self.next()
                    && self.known.get(&mark).is_none()
                {
                    self.known.insert(mark, number).map_err(|full| self.full(&full))?;
                }
                self.stored += 1;
            }
            if read < BUFFER {
                return Ok(());
            }
        }
    }

    /// The number of the next new identity; `None` where there are no more.
    fn next(&self) -> Option<u32> {
        // The last number stays free for those who need one that is nobody's.
        u32::try_from(self.stored + self.added).ok().filter(|number| *number < NOBODY)
    }

    /// The number of an identity that had none when `mark` was looked up.
    fn number(&mut self, token: &Token, mark: Mark) -> Result<u32, IngestError> {
        if let Some(number) = self.known.get(&mark) {
            return Ok(number);
        }
        let number = self.next().ok_or_else(|| IngestError::SpaceFull { space: self.name.clone() })?;
        self.known.insert(mark, number).map_err(|full| self.full(&full))?;
        self.fresh.write_all(token.as_bytes()).map_err(IngestError::storage("write", &self.dir))?;
        self.added += 1;
        Ok(number)
    }

    fn full(&self, OutOfMemory: &OutOfMemory) -> IngestError {
        IngestError::SpaceMemory { space: self.name.clone() }
    }

    /// A crash in here leaves new tokens, whole or torn, that no snapshot names: the next ingestion reuses or cuts them.
    fn commit(self) -> Result<(), IngestError> {
        let Self { dir, path, stored, fresh, .. } = self;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let append = |mut file: File| {
            let mut fresh = fresh.into_inner().map_err(IntoInnerError::into_error)?;
            fresh.rewind()?;
            let end = stored * WIDTH as u64;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            io::copy(&mut fresh, &mut file)?;
            file.sync_all()
        };
        options.open(&path).and_then(append).map_err(IngestError::storage("write", &path))?;
        sync_dir(&dir)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    fn numbers(dir: &Path, tokens: &[u8]) -> Vec<u32> {
        let mut space = Space::load(dir, dir, "household", usize::MAX).unwrap();
        let number = |byte: &u8| {
            let token = parse_token_text(&format!("crt1_{}", hex::encode([*byte; WIDTH]))).unwrap();
            space.number(&token, space.known.mark(token.as_bytes())).unwrap()
        };
        let numbers = tokens.iter().map(number).collect();
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
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_space_of_many_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let many = (2 * BUFFER / WIDTH + 1) as u32;
        let tokens: Vec<[u8; WIDTH]> =
            (0..many).map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes()).collect();
        fs::write(dir.path().join("household.tokens"), tokens.concat()).unwrap();
        let space = Space::load(dir.path(), dir.path(), "household", usize::MAX).unwrap();
        assert_eq!(space.next(), Some(many));
        assert!((0..).zip(&tokens).all(|(number, token)| space.known.get(&space.known.mark(token)) == Some(number)));
        let error = Space::load(dir.path(), dir.path(), "household", 1 << 20).map(drop).unwrap_err();
        assert!(matches!(error, IngestError::SpaceMemory { .. }), "{error}");
    }

    #[test]
    fn a_full_space_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut space = Space::load(dir.path(), dir.path(), "household", usize::MAX).unwrap();
        space.stored = u64::from(NOBODY);
        let token = RoomKey::generate().unwrap().token("household", "1");
        let error = space.number(&token, space.known.mark(token.as_bytes())).unwrap_err();
        assert!(matches!(error, IngestError::SpaceFull { .. }), "{error}");
    }
}
