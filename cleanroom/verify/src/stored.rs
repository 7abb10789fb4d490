//! The files: every bundle and tile that a log of a certain size must have, and what else lies beside them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::finding::{Code, Findings};
use super::replay::Replay;
use super::{Hashes, VerifyError, list, merkle, read};
use crate::hash::Hash;
use crate::marks::Marks;
use cleanroom_format::{ENTRIES_FOLDER, HASH_BYTES, TILE_FOLDER, TILE_WIDTH};

pub(super) struct Stored<'d> {
    directory: &'d Path,
    size: u64,
    seen: HashSet<PathBuf>,
    beyond: Option<String>,
}

impl<'d> Stored<'d> {
    pub(super) fn new(directory: &'d Path, size: u64) -> Self {
        Self { directory, size, seen: HashSet::new(), beyond: None }
    }

    /// Reads every entry into `replay`, checks every file, and returns the root over the entries; `None` where one is
    /// missing.
    pub(super) fn check(
        mut self,
        replay: &mut Replay<'_>,
        marks: &mut Marks,
        findings: &mut Findings,
    ) -> Result<Option<Hash>, VerifyError> {
        let mut complete = true;
        // The roots of full tiles, and that of the last tile where it is not full.
        let (mut full, mut last) = (Hashes::new(), None);
        for number in 0..self.size.div_ceil(TILE_WIDTH) {
            let first = number * TILE_WIDTH;
            let width = (self.size - first).min(TILE_WIDTH);
            let Some(entries) = self.bundle(number, width, findings)? else {
                complete = false;
                replay.gap();
                marks.gap();
                if findings.is_full() {
                    break;
                }
                continue;
            };
            for (entry, index) in entries.iter().zip(first..) {
                replay.entry(index, entry, findings)?;
            }
            let leaves: Hashes = entries.iter().map(|entry| Hash::leaf(entry)).collect();
            leaves.iter().for_each(|leaf| marks.leaf(*leaf));
            self.tile(0, number, &leaves, findings)?;
            match width {
                TILE_WIDTH => full.push(merkle::root(&leaves)),
                _ => last = Some(merkle::root(&leaves)),
            }
        }
        if !complete {
            return Ok(None);
        }
        self.levels(&full, findings)?;
        self.unexpected(findings)?;
        full.extend(last);
        Ok(Some(merkle::root(&full)))
    }

    fn levels(&mut self, full: &[Hash], findings: &mut Findings) -> Result<(), VerifyError> {
        let (mut level, mut hashes) = (1, full.to_vec());
        while !hashes.is_empty() {
            let mut above = Hashes::new();
            for (tile, number) in hashes.chunks(TILE_WIDTH as usize).zip(0..) {
                self.tile(level, number, tile, findings)?;
                if tile.len() as u64 == TILE_WIDTH {
                    above.push(merkle::root(tile));
                }
            }
            (level, hashes) = (level + 1, above);
        }
        Ok(())
    }

    fn bundle(
        &mut self,
        number: u64,
        width: u64,
        findings: &mut Findings,
    ) -> Result<Option<Vec<Vec<u8>>>, VerifyError> {
        let base = format!("{TILE_FOLDER}/{ENTRIES_FOLDER}/{}", path_number(number));
        let first = Some(number * TILE_WIDTH);
        let Some((name, bytes)) = self.widest(&base, width)? else {
            findings.add(first, Code::MissingFile, &format!("`{}` is missing", named(&base, width)));
            return Ok(None);
        };
        let held = if name == base { TILE_WIDTH } else { width };
        let Some(mut ends) = entry_ends(&bytes).filter(|ends| ends.len() as u64 == held) else {
            findings.add(first, Code::DamagedFile, &format!("`{name}` does not hold {held} entries"));
            return Ok(None);
        };
        ends.truncate(width as usize);
        let content = ends.last().and_then(|end| bytes.get(..*end)).unwrap_or_default();
        let ends_at = |count: u64| (count as usize).checked_sub(1).and_then(|last| ends.get(last)).copied();
        self.variants(&base, content, width, ends_at, findings)?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let entries = starts.zip(&ends).map(|(start, end)| bytes.get(start + 2..*end).unwrap_or_default().to_vec());
        Ok(Some(entries.collect()))
    }

    fn tile(&mut self, level: u32, number: u64, hashes: &[Hash], findings: &mut Findings) -> Result<(), VerifyError> {
        let base = format!("{TILE_FOLDER}/{level}/{}", path_number(number));
        let width = hashes.len() as u64;
        let content: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let span = TILE_WIDTH.saturating_pow(level);
        let first = number.saturating_mul(TILE_WIDTH).saturating_mul(span);
        match self.widest(&base, width)? {
            None => findings.add(Some(first), Code::MissingFile, &format!("`{}` is missing", named(&base, width))),
            Some((name, bytes)) => {
                let wrong =
                    content.chunks(HASH_BYTES).zip(bytes.chunks(HASH_BYTES)).position(|(ours, theirs)| ours != theirs);
                let held = if name == base { TILE_WIDTH } else { width };
                if let Some(place) = wrong {
                    let index = first.saturating_add((place as u64).saturating_mul(span));
                    let message = format!("`{name}` has another hash here than the entries make");
                    findings.add(Some(index), Code::TileMismatch, &message);
                } else if bytes.len() as u64 != held * HASH_BYTES as u64 {
                    findings.add(Some(first), Code::DamagedFile, &format!("`{name}` does not hold {held} hashes"));
                }
            }
        }
        let ends_at = |count: u64| usize::try_from(count).ok().map(|count| count * HASH_BYTES);
        self.variants(&base, &content, width, ends_at, findings)
    }

    // The file of exactly this width or, since a partial one may go once the full one is there, the full one.
    fn widest(&mut self, base: &str, width: u64) -> Result<Option<(String, Vec<u8>)>, VerifyError> {
        for name in [named(base, width), base.to_owned()] {
            let path = self.directory.join(&name);
            if let Some(bytes) = read(&path)? {
                self.seen.insert(path);
                return Ok(Some((name, bytes)));
            }
        }
        Ok(None)
    }

    // Narrower files of earlier checkpoints must be beginnings of `content`, wider ones must begin with it.
    fn variants(
        &mut self,
        base: &str,
        content: &[u8],
        width: u64,
        ends_at: impl Fn(u64) -> Option<usize>,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let mut names = vec![base.to_owned()];
        let folder = format!("{base}.p");
        for file in list(&self.directory.join(&folder))? {
            names.extend(file.file_name().and_then(|name| name.to_str()).map(|name| format!("{folder}/{name}")));
        }
        for name in names {
            let path = self.directory.join(&name);
            if name == named(base, width) {
                continue;
            }
            let held = if name == base { Some(TILE_WIDTH) } else { name.rsplit('/').next().and_then(partial_width) };
            let (Some(held), Some(bytes)) = (held, read(&path)?) else {
                continue;
            };
            let agrees = if held < width {
                ends_at(held).and_then(|end| content.get(..end)) == Some(bytes.as_slice())
            } else {
                self.beyond.get_or_insert(name.clone());
                bytes.starts_with(content)
            };
            if !agrees {
                findings.add(None, Code::TileMismatch, &format!("`{name}` does not agree with the signed entries"));
            }
            self.seen.insert(path);
        }
        Ok(())
    }

    fn unexpected(&mut self, findings: &mut Findings) -> Result<(), VerifyError> {
        let mut folders = vec![self.directory.join(TILE_FOLDER)];
        while let Some(folder) = folders.pop() {
            for path in list(&folder)? {
                if path.is_dir() {
                    folders.push(path);
                } else if !self.seen.contains(&path) {
                    let name = path.strip_prefix(self.directory).unwrap_or(&path);
                    self.beyond.get_or_insert(name.display().to_string());
                }
            }
        }
        if let Some(name) = &self.beyond {
            let message = format!("`{name}` holds data that no checkpoint covers yet, which was not verified");
            findings.add(None, Code::BeyondCheckpoint, &message);
        }
        Ok(())
    }
}

/// Whether no more lies here than a log's very first write, which a crash may have left unsigned.
pub(super) fn is_first_write(directory: &Path) -> Result<bool, VerifyError> {
    let entries = directory.join(TILE_FOLDER).join(ENTRIES_FOLDER);
    let mut files = 0;
    for path in list(&entries)? {
        files += if path.is_dir() { list(&path)?.len() } else { 2 };
    }
    Ok(files <= 1)
}

fn path_number(number: u64) -> String {
    let digits = number.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let mut path = String::new();
    for (at, digit) in padded.chars().enumerate() {
        let last = at + 3 >= padded.len();
        if at % 3 == 0 {
            path.push_str(if at == 0 { "" } else { "/" });
            path.push_str(if last { "" } else { "x" });
        }
        path.push(digit);
    }
    path
}

fn named(base: &str, width: u64) -> String {
    if width == TILE_WIDTH { base.to_owned() } else { format!("{base}.p/{width}") }
}

fn partial_width(text: &str) -> Option<u64> {
    let width = text.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?;
    (text == width.to_string()).then_some(width)
}

// Where each entry of a bundle ends; `None` where the last one runs past the end.
fn entry_ends(bytes: &[u8]) -> Option<Vec<usize>> {
    let (mut ends, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = bytes.get(at..at + 2)?;
        at += 2 + length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        ends.push(at);
    }
    (at == bytes.len()).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_looked_for_where_the_specification_puts_them() {
        assert_eq!(path_number(0), "000");
        assert_eq!(path_number(999), "999");
        assert_eq!(path_number(1000), "x001/000");
        assert_eq!(path_number(1_234_067), "x001/x234/067");
        assert_eq!(named("tile/0/000", 256), "tile/0/000");
        assert_eq!(named("tile/0/000", 7), "tile/0/000.p/7");
        assert_eq!(partial_width("07"), None);
        assert_eq!(partial_width("256"), None);
    }
}
