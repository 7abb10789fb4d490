//! A copy of a server's log, made to be verified. Nothing that the server says is believed here: what it sends is put where the
//! specification has it (C2SP tlog-tiles), at most so much of it, and the verifier looks at the copy.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cleanroom_log::{Checkpoint, Digest, Entry, Event, LogDirectory, entries_path, tile_path};
use tempfile::TempDir;

use crate::client::{Client, Reply};
use crate::fault::{Fault, Result};

/// Hashes in a full tile, entries in a full bundle.
const WIDTH: u64 = 256;
/// Bytes of a full tile.
const TILE_BYTES: u64 = WIDTH * 32;
/// Bytes of the largest bundle: 16 KiB an entry, and its length.
const BUNDLE_BYTES: u64 = WIDTH * (16 * 1024 + 2);
/// The largest text that an entry names, as far as the verifier reads.
const TEXT_BYTES: u64 = 64 << 20;
/// Bytes of the largest signed note.
const NOTE_BYTES: u64 = 128 * 1024;
/// Bytes of the largest public key.
const KEY_BYTES: u64 = 1024;

const CHECKPOINT: &str = "checkpoint";
const KEY: &str = "log.pub";
const WITHHELD: &str = "withheld";
const TILES: &str = "tile";
/// What a copy holds besides its checkpoint.
const PARTS: [&str; 4] = [KEY, WITHHELD, TILES, "blobs"];

/// A log on a server.
pub(crate) struct Source<'c> {
    client: &'c Client,
    /// `/v1/rooms/ROOM/log`.
    path: String,
    /// Bytes that may still be read.
    left: u64,
}

/// A copy on its way.
pub(crate) struct Copied {
    folder: TempDir,
    /// Schemas that the server does not show, by their SHA-256 in hexadecimal, a line each.
    withheld: String,
}

impl<'c> Source<'c> {
    /// The log at a path, of which no more than `most` bytes are ever read.
    pub(crate) fn new(client: &'c Client, path: String, most: u64) -> Self {
        Self { client, path, left: most }
    }

    /// Copies the log as its newest checkpoint has it into a new folder in `beside`. Full tiles and bundles and texts that an
    /// `earlier` copy has are taken from there.
    pub(crate) fn copy(&mut self, beside: &Path, earlier: Option<&Path>) -> Result<Copied> {
        let failed = |error: io::Error| Fault::write(beside, &error);
        let folder = tempfile::Builder::new().prefix(".incoming-").tempdir_in(beside).map_err(failed)?;
        let mut copy = Copied { folder, withheld: String::new() };
        let note = self.must("checkpoint", NOTE_BYTES)?;
        copy.keep(CHECKPOINT, &note)?;
        copy.keep(KEY, &self.must("key", KEY_BYTES)?)?;
        // What is no checkpoint has no parts to be copied; the verifier says what is wrong with it.
        if let Some(size) = std::str::from_utf8(&note).ok().and_then(|note| Checkpoint::unverified(note).ok()) {
            self.parts(size.size, &mut copy, earlier)?;
        }
        copy.keep(WITHHELD, copy.withheld.as_bytes())?;
        Ok(copy)
    }

    fn parts(&mut self, size: u64, copy: &mut Copied, earlier: Option<&Path>) -> Result<()> {
        let log = LogDirectory::open(copy.path()).map_err(|error| Fault::failure(error, ""))?;
        let mut texts = HashSet::new();
        for number in 0..size.div_ceil(WIDTH) {
            let width = (size - number * WIDTH).min(WIDTH);
            let there = self.part(|width| entries_path(number, width), width, BUNDLE_BYTES, copy, earlier)?;
            // Where a bundle is missing or is none, nothing behind it can be verified.
            let Some(entries) = there.then(|| log.bundle(number, size).ok()).flatten() else { return Ok(()) };
            if entries.len() as u64 != width {
                return Ok(());
            }
            for entry in entries.iter().filter_map(|entry| Entry::parse(entry).ok()) {
                for (digest, is_schema) in named(&entry.event) {
                    if texts.insert(digest.hex()) {
                        self.text(digest, is_schema, copy, earlier)?;
                    }
                }
            }
        }
        let (mut level, mut hashes) = (0, size);
        while hashes > 0 {
            for number in 0..hashes.div_ceil(WIDTH) {
                let width = (hashes - number * WIDTH).min(WIDTH);
                self.part(|width| tile_path(level, number, width), width, TILE_BYTES, copy, earlier)?;
            }
            (level, hashes) = (level + 1, hashes / WIDTH);
        }
        Ok(())
    }

    /// A tile or bundle; whether it is there. `path` gives its name by its width.
    fn part(
        &mut self,
        path: impl Fn(u64) -> String,
        width: u64,
        bytes: u64,
        copy: &Copied,
        earlier: Option<&Path>,
    ) -> Result<bool> {
        // A full one never changes. One that was kept and is not the server's is found out by the root.
        if width == WIDTH && copy.take(&path(WIDTH), earlier) {
            return Ok(true);
        }
        // A partial one may go as soon as the full one is there, which the log can have come to meanwhile.
        let widths = [Some(width), (width < WIDTH).then_some(WIDTH)];
        for name in widths.into_iter().flatten().map(path) {
            let reply = self.get(&name, bytes)?;
            if reply.status != 404 {
                copy.keep(&name, &reply.or_fault()?.body)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn text(&mut self, digest: &Digest, is_schema: bool, copy: &mut Copied, earlier: Option<&Path>) -> Result<()> {
        let hex = digest.hex();
        let name = format!("blobs/{}/{hex}", hex.get(..2).unwrap_or_default());
        if copy.take(&name, earlier) {
            return Ok(());
        }
        let reply = self.get(&format!("blobs/{hex}"), TEXT_BYTES)?;
        match reply.status {
            404 => Ok(()),
            403 if is_schema => {
                copy.withheld.push_str(&hex);
                copy.withheld.push('\n');
                Ok(())
            }
            403 => Err(Fault::not_permitted(
                "the log cannot be verified with this token: the texts behind its digests are for auditors",
                "use the token of a partner with the ability `audit`, or verify the log's directory",
            )),
            _ => copy.keep(&name, &reply.or_fault()?.body),
        }
    }

    fn must(&mut self, name: &str, bytes: u64) -> Result<Vec<u8>> {
        Ok(self.get(name, bytes)?.or_fault()?.body)
    }

    fn get(&mut self, name: &str, bytes: u64) -> Result<Reply> {
        let reply = self.client.bounded(&format!("{}/{name}", self.path), bytes)?;
        self.left = self.left.checked_sub(reply.body.len() as u64).ok_or_else(|| {
            Fault::failure(
                "the log is longer than what may be read of it",
                "allow more by `--most GIB`, if you believe that it is so long",
            )
        })?;
        Ok(reply)
    }
}

impl Copied {
    /// Its folder, which goes with it.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the folder stay where it is.
    pub(crate) fn stay(self) -> PathBuf {
        self.folder.keep()
    }

    /// Puts the copy in the place of an earlier one; the checkpoint comes last.
    pub(crate) fn replace(self, mirror: &Path) -> Result<()> {
        let failed = |error: io::Error| Fault::write(mirror, &error);
        let new: HashSet<PathBuf> = files(self.path()).map_err(failed)?.into_iter().collect();
        // A crash on the way leaves the earlier checkpoint, and files beyond it; a power failure, too: everything that a checkpoint
        // covers is on the disk before the checkpoint is.
        let (last, first): (Vec<_>, Vec<_>) = new.iter().partition(|file| **file == Path::new(CHECKPOINT));
        for files in [first, last] {
            let mut folders = HashSet::from([mirror.to_owned()]);
            for file in files {
                let (from, to) = (self.path().join(file), mirror.join(file));
                File::open(&from).and_then(|file| file.sync_all()).map_err(failed)?;
                to.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
                fs::rename(from, &to).map_err(failed)?;
                folders.extend(to.ancestors().skip(1).take_while(|folder| *folder != mirror).map(Path::to_owned));
            }
            for folder in folders {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            }
        }
        // Partial tiles of the earlier checkpoint, which nobody needs any more.
        let tiles = mirror.join(TILES);
        for file in files(&tiles).map_err(failed)? {
            let of_part = file.parent().and_then(Path::extension).is_some_and(|ending| ending == "p");
            if of_part && !new.contains(&Path::new(TILES).join(&file)) {
                fs::remove_file(tiles.join(&file)).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn keep(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path().join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        written.map_err(|error| Fault::write(&path, &error))
    }

    /// Takes a file of an earlier copy; whether there was one.
    fn take(&self, name: &str, earlier: Option<&Path>) -> bool {
        let Some(from) = earlier.map(|earlier| earlier.join(name)) else { return false };
        let to = self.path().join(name);
        from.is_file()
            && to.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok())
            && (fs::hard_link(&from, &to).is_ok() || fs::copy(&from, &to).is_ok())
    }
}

/// The checkpoint of an earlier copy, and its key; `None` of a folder with nothing in it yet.
pub(crate) fn earlier(mirror: &Path) -> Result<Option<(Checkpoint, String)>> {
    let failed = |error: io::Error| Fault::read(mirror, &error);
    let other = || {
        Fault::usage(
            format!("`{}` holds something else than the copy of a log", mirror.display()),
            "name an empty folder, or one that an earlier `audit verify --mirror` made",
        )
    };
    let visible = fs::read_dir(mirror).map_err(failed)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let visible: Vec<_> = visible.filter(|name| !name.as_encoded_bytes().starts_with(b".")).collect();
    // The checkpoint comes last, so without one the first copy was broken off: nothing in it is relied on.
    if visible.iter().all(|name| PARTS.iter().any(|part| name == part)) {
        return Ok(None);
    }
    let note = fs::read_to_string(mirror.join(CHECKPOINT)).map_err(|_| other())?;
    let key = fs::read_to_string(mirror.join(KEY)).map_err(|_| other())?;
    let checkpoint = Checkpoint::unverified(&note).map_err(|_| other())?;
    Ok(Some((checkpoint, key.trim_end().to_owned())))
}

/// Whether a log that was verified is grown from the one that an earlier checkpoint was of.
pub(crate) fn continues(log: &Path, earlier: &Checkpoint) -> bool {
    let tree = LogDirectory::open(log).and_then(|log| {
        let size = log.size()?;
        if size < earlier.size { Ok(None) } else { log.tree(earlier.size).map(Some) }
    });
    // A tile that cannot be read was not verified either.
    tree.ok().flatten().is_some_and(|tree| tree.root() == earlier.root)
}

/// Texts that an entry names, and which of them are schemas.
fn named(event: &Event) -> Vec<(&Digest, bool)> {
    match event {
        Event::PolicyActive(policy) => vec![(&policy.digest, false)],
        Event::TemplatePut(template) => vec![(&template.digest, false)],
        Event::TableVersion(version) => vec![(&version.schema, true)],
        Event::QueryIntent(intent) => {
            [Some(&intent.sql), Some(&intent.plan), intent.params.as_ref()].into_iter().flatten().map(text).collect()
        }
        Event::QueryPriced(priced) => {
            [Some(&priced.sql), priced.params.as_ref()].into_iter().flatten().map(text).collect()
        }
        Event::QueryRefused(refused) => {
            [Some(&refused.sql), refused.params.as_ref()].into_iter().flatten().map(text).collect()
        }
        Event::RoomPut(_)
        | Event::TokenIssued(_)
        | Event::TokenRevoked(_)
        | Event::QueryOutcome(_)
        | Event::ResultDelivered(_) => Vec::new(),
    }
}

fn text(digest: &Digest) -> (&Digest, bool) {
    (digest, false)
}

/// Files below a folder, by their paths in it; hidden ones are left over from copies that were broken off.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inside) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&inside)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_first_copy_that_was_broken_off_is_begun_again() {
        let mirror = tempfile::tempdir().unwrap();
        assert_eq!(earlier(mirror.path()).unwrap(), None);
        fs::create_dir_all(mirror.path().join("tile/entries")).unwrap();
        fs::create_dir_all(mirror.path().join("blobs")).unwrap();
        fs::write(mirror.path().join(KEY), "").unwrap();
        fs::write(mirror.path().join(".incoming"), "").unwrap();
        assert_eq!(earlier(mirror.path()).unwrap(), None);
        // A checkpoint that is none was not written by a copy, and no more was anything else.
        fs::write(mirror.path().join(CHECKPOINT), "").unwrap();
        assert!(earlier(mirror.path()).is_err());
        fs::remove_file(mirror.path().join(CHECKPOINT)).unwrap();
        fs::write(mirror.path().join("thesis.txt"), "").unwrap();
        assert!(earlier(mirror.path()).is_err());
    }
}
