//! The checkpoints that were signed, one after the other in a file that only grows.
//!
//! Each record is a signed note and an empty line. What a crash leaves of a record is cut off by the next one.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::directory::{LogDirectory, StoreError};
use crate::format::{CHECKPOINTS_FILE, NOTE_LIMIT};

impl LogDirectory {
    /// Every checkpoint that was signed, oldest first, not verified. One that was cosigned comes again, with the cosignatures.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<String>, StoreError> {
        let path = self.path().join(CHECKPOINTS_FILE);
        let bytes = crate::files::read(&path).map_err(|source| StoreError::io(&path, source))?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|_| StoreError::Damaged { path })?;
        let mut records = Vec::new();
        let mut rest = text.as_str();
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
    let ends = (0..=bytes.len()).rev().find(|end| {
        let text = bytes.get(..*end).and_then(|text| text.strip_suffix(b"\n\n"));
        let last = text.and_then(|text| text.rsplit(|byte| *byte == b'\n').next());
        // No line of a checkpoint's own text begins so: names hold no spaces.
        last.is_some_and(|line| line.starts_with("\u{2014} ".as_bytes()))
    });
    ends.unwrap_or(0)
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
}
