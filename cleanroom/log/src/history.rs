//! The checkpoints that were signed, one after the other in a file that only grows.
//!
//! Each record is a signed note and an empty line. What a crash leaves of a record is cut off by the next one.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::directory::{LogDirectory, StoreError};
use crate::format::{CHECKPOINTS_FILE, NOTE_LIMIT};

/// Bytes of the history that are read for the newest checkpoints.
const NEWEST: u64 = 4 << 20;

impl LogDirectory {
    /// The newest checkpoints that were signed, oldest first, not verified: those in the last 4 MiB of the history, which are
    /// thousands. One that was cosigned comes again, with the cosignatures.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<String>, StoreError> {
        self.checkpoints_in(NEWEST)
    }

    fn checkpoints_in(&self, most: u64) -> Result<Vec<String>, StoreError> {
        let path = self.path().join(CHECKPOINTS_FILE);
        let (start, bytes) = match tail(&path, most) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::io(&path, source)),
        };
        // What is read may begin anywhere in a record, even in a letter.
        let first = if start == 0 { Some(0) } else { first_end(&bytes) };
        let whole = first.and_then(|first| bytes.get(first..)).unwrap_or_default();
        let text = std::str::from_utf8(whole).map_err(|_| StoreError::Damaged { path })?;
        let mut records = Vec::new();
        let mut rest = text;
        while let Some((record, after)) = split_record(rest) {
            records.push(record.to_owned());
            rest = after;
        }
        Ok(records)
    }

    /// Adds a record. [`LogDirectory::write_checkpoint`] does so by itself.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn keep(&self, note: &str) -> Result<(), StoreError> {
        let path = self.path().join(CHECKPOINTS_FILE);
        append(&path, note).map_err(|source| StoreError::io(&path, source))
    }

    /// Adds a record of the checkpoint that stands, where the last record is another: a crash or a full disk kept it out.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn keep_newest(&self) -> Result<(), StoreError> {
        // What is no checkpoint is not put among them.
        let note = self.checkpoint().ok().flatten().filter(|note| Checkpoint::unverified(note).is_ok());
        let Some(note) = note else { return Ok(()) };
        let path = self.path().join(CHECKPOINTS_FILE);
        let record = format!("{note}\n");
        let last = match tail(&path, record.len() as u64) {
            Ok((_, bytes)) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(StoreError::io(&path, source)),
        };
        if last == record.as_bytes() { Ok(()) } else { self.keep(&note) }
    }
}

/// The last bytes of a file, and where in it they begin.
fn tail(path: &Path, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    file.take(most).read_to_end(&mut bytes)?;
    Ok((start, bytes))
}

fn append(path: &Path, note: &str) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    // No torn record is longer than a note; what stands before is not looked at, and left as it is.
    let start = length.saturating_sub(2 * NOTE_LIMIT as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = start + whole_end(&tail) as u64;
    if whole < length {
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::End(0))?;
    file.write_all(format!("{note}\n").as_bytes())?;
    file.sync_all()
}

/// Where the last whole record ends: behind a signature line and an empty line.
fn whole_end(bytes: &[u8]) -> usize {
    (0..=bytes.len()).rev().find(|end| is_end(bytes, *end)).unwrap_or(0)
}

/// The same of the first one that ends in there.
fn first_end(bytes: &[u8]) -> Option<usize> {
    (0..=bytes.len()).find(|end| is_end(bytes, *end))
}

fn is_end(bytes: &[u8], end: usize) -> bool {
    let text = bytes.get(..end).and_then(|text| text.strip_suffix(b"\n\n"));
    let last = text.and_then(|text| text.rsplit(|byte| *byte == b'\n').next());
    // No line of a checkpoint's own text begins so: names hold no spaces.
    last.is_some_and(|line| line.starts_with("\u{2014} ".as_bytes()))
}

fn split_record(text: &str) -> Option<(&str, &str)> {
    let end = text.match_indices("\n\n").nth(1)?.0;
    let (record, after) = text.split_at_checked(end + 1)?;
    Some((record, after.strip_prefix('\n')?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    fn note(size: u64) -> String {
        format!("logs.example/room/retail\n{size}\nAAAA\n\n\u{2014} logs.example/room/retail AAAAAAAA\n")
    }

    #[test]
    fn a_record_that_a_crash_cut_off_is_replaced_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(folder.path()).unwrap();
        assert!(log.checkpoints().unwrap().is_empty());
        log.keep(&note(1)).unwrap();
        log.keep(&note(2)).unwrap();
        let path = folder.path().join(CHECKPOINTS_FILE);
        let whole = fs::read(&path).unwrap();
        let first = note(1).len() + 1;
        for cut in first..whole.len() {
            let mut torn = whole.clone();
            torn.truncate(cut);
            fs::write(&path, torn).unwrap();
            log.keep(&note(3)).unwrap();
            assert_eq!(log.checkpoints().unwrap(), [note(1), note(3)], "cut at {cut}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(log.checkpoints().unwrap(), [note(1), note(2)]);
    }

    #[test]
    fn of_a_long_history_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(folder.path()).unwrap();
        let notes: Vec<String> = (1..40).map(note).collect();
        notes.iter().for_each(|note| log.keep(note).unwrap());
        let length = fs::metadata(folder.path().join(CHECKPOINTS_FILE)).unwrap().len();
        for most in 0..length + 2 {
            let read = log.checkpoints_in(most).unwrap();
            assert!(notes.ends_with(&read), "{most}");
            let whole: u64 = read.iter().map(|note| note.len() as u64 + 1).sum();
            let longest = note(39).len() as u64 + 1;
            assert!(whole <= most && whole + 2 * longest > most.min(length), "{most}: {whole}");
        }
        // By default, no more than 4 MiB.
        let many = format!("{}\n", note(7)).repeat(2 << 16);
        assert!(many.len() as u64 > 2 * NEWEST);
        fs::write(folder.path().join(CHECKPOINTS_FILE), many).unwrap();
        let read = log.checkpoints().unwrap();
        assert!(read.iter().map(String::len).sum::<usize>() as u64 <= NEWEST && read.len() > 1000);
        assert!(read.iter().all(|read| *read == note(7)));
    }
}
