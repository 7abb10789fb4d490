//! What was worked out about released numbers, kept in a file that a process which starts reads instead of all vectors.
//!
//! It follows from the vectors and the room's key, and is trusted for nothing that these do not say: each record carries a
//! keyed hash of itself, of the number it is about, and of all records before. What is behind the first record that is
//! missing, damaged or about other numbers is worked out anew, and takes its place. Processes that write at once write the
//! same bytes in the same places, or what the next one to read takes for damaged.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::decide::Border;
use super::field::Residue;
use super::sets::Step;
use super::vector::Vector;

/// Goes into every hash. Another one is due when numbers are taken in by other rules.
const FORMAT: &str = "cleanroom guard 1";
const EXTENSION: &str = ".kept";
/// Bytes of records that are put together before they are written.
const TOGETHER: usize = 1 << 20;
/// Bytes of a hash.
const HASH: usize = 32;

/// Whether a file of this name is one of these.
pub(super) fn is_named(name: &str) -> bool {
    name.ends_with(EXTENSION)
}

/// The file, and how far it is known to hold what it should.
pub(super) struct Kept {
    path: PathBuf,
    key: [u8; HASH],
    /// The hash that the first record follows.
    start: [u8; HASH],
    /// Records, and where the last one ends.
    pub(super) records: usize,
    bytes: u64,
    /// The hash of the last one.
    last: [u8; HASH],
}

impl Kept {
    pub(super) fn new(dir: &Path, name: &str, border: &Border) -> Self {
        let mut key = [0; HASH];
        for (key, secret) in key.as_chunks_mut::<8>().0.iter_mut().zip(border.secrets("kept", HASH / 8)) {
            *key = secret.to_le_bytes();
        }
        let start = *blake3::keyed_hash(&key, format!("{FORMAT} {name}").as_bytes()).as_bytes();
        let path = dir.join(format!("{}{EXTENSION}", blake3::Hash::from(start).to_hex()));
        Self { path, key, start, records: 0, bytes: 0, last: start }
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept about the next of some numbers, of which so many were taken in before: the steps of each set, none where
    /// it was left out. `None` where nothing that can be used is kept.
    pub(super) fn read<'f>(&'f mut self, sets: usize) -> impl FnMut(&Vector, usize) -> Option<Vec<Step>> + 'f {
        let mut file = File::open(&self.path).ok().map(|file| BufReader::with_capacity(TOGETHER, file));
        move |vector, taken| {
            let read = record(file.as_mut()?, sets, taken).ok().flatten();
            let whole = read.as_ref().and_then(|(record, _steps)| {
                let (body, hash) = record.split_last_chunk::<HASH>()?;
                // `blake3::Hash` is compared in constant time.
                let whole = self.hash(body) == blake3::Hash::from(*hash) && body.starts_with(&about(vector));
                whole.then_some((record.len(), *hash))
            });
            let Some((length, hash)) = whole else {
                // Nothing behind it is looked at.
                file = None;
                return None;
            };
            self.passed(length, hash);
            read.map(|(_record, steps)| steps)
        }
    }

    /// Adds records of numbers and the steps that came with them. Where that fails they are worked out anew another time.
    pub(super) fn write<'s>(&mut self, of: impl Iterator<Item = (&'s Vector, Vec<&'s Step>)>) {
        let mut of = of.peekable();
        if of.peek().is_none() {
            return;
        }
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&self.path);
        let Ok(file) = file else { return };
        while of.peek().is_some() {
            let (mut records, mut passed) = (Vec::new(), Vec::new());
            while records.len() < TOGETHER
                && let Some((vector, steps)) = of.next()
            {
                let begin = records.len();
                records.extend(about(vector));
                records.push(u8::from(!steps.is_empty()));
                for step in steps {
                    records.extend(step.key.to_le_bytes());
                    for number in step.factors.iter().chain(&step.left) {
                        records.extend(number.to_bits().to_le_bytes());
                    }
                }
                let last = passed.last().map_or(self.last, |(_length, last)| *last);
                let hash = hash(&self.key, &last, records.get(begin..).unwrap_or_default());
                records.extend(hash.as_bytes());
                passed.push((records.len() - begin, *hash.as_bytes()));
            }
            if file.write_all_at(&records, self.bytes).is_err() {
                return;
            }
            for (length, hash) in passed {
                self.passed(length, hash);
            }
        }
    }

    /// Whether the file is as long as what is known of it.
    pub(super) fn is_there(&self) -> bool {
        self.path.metadata().is_ok_and(|meta| meta.len() >= self.bytes)
    }

    /// Nothing is known of the file any more.
    pub(super) fn forget(&mut self) {
        (self.records, self.bytes, self.last) = (0, 0, self.start);
    }

    fn hash(&self, body: &[u8]) -> blake3::Hash {
        hash(&self.key, &self.last, body)
    }

    fn passed(&mut self, length: usize, hash: [u8; HASH]) {
        self.records += 1;
        self.bytes += length as u64;
        self.last = hash;
    }
}

fn hash(key: &[u8; HASH], last: &[u8; HASH], body: &[u8]) -> blake3::Hash {
    blake3::Hasher::new_keyed(key).update(last).update(body).finalize()
}

/// What a record says of the number it is about.
fn about(vector: &Vector) -> [u8; HASH] {
    *blake3::hash(vector.facts.text().as_bytes()).as_bytes()
}

/// The next record, of a number before which so many were taken in; `None` where it is none.
fn record(file: &mut impl Read, sets: usize, taken: usize) -> io::Result<Option<(Vec<u8>, Vec<Step>)>> {
    let mut record = vec![0; HASH + 1];
    file.read_exact(&mut record)?;
    let mut more = |record: &mut Vec<u8>, bytes: usize| -> io::Result<usize> {
        let begin = record.len();
        record.resize(begin + bytes, 0);
        file.read_exact(record.get_mut(begin..).unwrap_or_default())?;
        Ok(begin)
    };
    let mut steps = Vec::new();
    if record.last() == Some(&1) {
        for _set in 0..sets {
            let begin = more(&mut record, 4 + (2 * taken + 1) * 8)?;
            let Some((key, numbers)) = record.get(begin..).and_then(<[u8]>::split_first_chunk) else { return Ok(None) };
            let mut numbers = numbers.as_chunks().0.iter().map(|bytes| Residue::of_bits(u64::from_le_bytes(*bytes)));
            let factors = numbers.by_ref().take(taken).collect();
            let Some(step) = Step::new(u32::from_le_bytes(*key), factors, numbers.collect()) else { return Ok(None) };
            steps.push(step);
        }
    }
    more(&mut record, HASH)?;
    Ok(Some((record, steps)))
}
