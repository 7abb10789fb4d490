//! Entries as they come: from the room's own records or from a server, page by page and checked on the way.

use cleanroom_log::{Digest, Entry, LogDirectory};

use crate::client::Client;
use crate::command::block_on;
use crate::embedded::RoomFiles;
use crate::fault::{Fault, Result};
use crate::target::{Target, TargetArgs, room_path};
use crate::trail::{About, Filter, Read, Trail};

/// Entries that are read at once.
const PAGE: u64 = 1000;

/// Calls `each` with every entry that `filter` asks for, the oldest first.
pub(super) fn chosen(
    target: &TargetArgs,
    filter: &Filter,
    mut each: impl FnMut(Read, About) -> Result<()>,
) -> Result<()> {
    let mut trail = Trail::default();
    every(target, |read| {
        let about = trail.next(&read.entry);
        if filter.fits(&read.entry, &about, &trail) { each(read, about) } else { Ok(()) }
    })
}

/// Calls `each` with every entry, the oldest first.
pub(super) fn every(target: &TargetArgs, mut each: impl FnMut(Read) -> Result<()>) -> Result<()> {
    read(target, 0, u64::MAX, &mut each)
}

/// One entry; `None` where the log is shorter.
pub(super) fn one(target: &TargetArgs, sequence: u64) -> Result<Option<Read>> {
    let mut found = None;
    read(target, sequence, 1, &mut |read| {
        found = Some(read);
        Ok(())
    })?;
    Ok(found)
}

fn read(target: &TargetArgs, from: u64, limit: u64, each: &mut impl FnMut(Read) -> Result<()>) -> Result<()> {
    match target.resolve()? {
        Target::Files(files, _) => block_on(stored(&files, from, limit, each)),
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            served(&client, &room, from, limit, each)
        }
    }
}

async fn stored(files: &RoomFiles, from: u64, limit: u64, each: &mut impl FnMut(Read) -> Result<()>) -> Result<()> {
    let registry = files.records().await?;
    let (mut next, mut left) = (from, limit);
    while left > 0 {
        let page = registry.log_entries(&files.room().name, next, PAGE.min(left)).await?;
        if page.is_empty() {
            break;
        }
        for held in page {
            each(parsed(next, held.json)?)?;
            (next, left) = (next.saturating_add(1), left.saturating_sub(1));
        }
    }
    registry.close().await;
    Ok(())
}

fn served(client: &Client, room: &str, from: u64, limit: u64, each: &mut impl FnMut(Read) -> Result<()>) -> Result<()> {
    let (mut next, mut left) = (from, limit);
    while left > 0 {
        let asked = PAGE.min(left);
        let page = client.get(&format!("{room}/log/entries?from={next}&limit={asked}"))?;
        let page = page.get("entries").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if page.is_empty() {
            return Ok(());
        }
        // A server that sends more than was asked for sends what belongs elsewhere.
        for held in page.iter().take(usize::try_from(asked).unwrap_or(usize::MAX)) {
            each(parsed(next, held.to_string())?)?;
            (next, left) = (next.saturating_add(1), left.saturating_sub(1));
        }
    }
    Ok(())
}

/// An entry of canonical bytes that stands where it says; nothing else is handed on, whoever sent it.
fn parsed(sequence: u64, line: String) -> Result<Read> {
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::failure(format!("entry {sequence} of the log: {what}"), "run `cleanroom audit verify`")
    };
    let entry = Entry::parse(line.as_bytes()).map_err(|error| wrong(&error))?;
    if entry.sequence != sequence {
        return Err(wrong(&"it carries another number than its place in the log"));
    }
    Ok(Read { entry, line })
}

/// The entry as JSON.
pub(super) fn value(read: &Read) -> Result<serde_json::Value> {
    serde_json::from_str(&read.line)
        .map_err(|_| Fault::failure("an entry of the log is not JSON", "run `cleanroom audit verify`"))
}

/// The text behind a digest, where the caller may read it.
pub(super) fn document(target: &TargetArgs, digest: &Digest) -> Result<Option<String>> {
    let content = match target.resolve()? {
        Target::Files(files, _) => block_on(async {
            let registry = files.records().await?;
            let directory = registry.log_directory(&files.room().name);
            registry.close().await;
            let kept = LogDirectory::open(directory).and_then(|log| log.read_blob(digest));
            kept.map_err(|error| Fault::failure(error, "run `cleanroom audit verify`"))
        })?,
        Target::Server(client, room) => {
            let path = format!("{}/log/blobs/{}", room_path(&client, room.as_deref())?, digest.hex());
            let reply = client.get_reply(&path, "application/octet-stream")?;
            (reply.status == 200 && Digest::sha256_of(&reply.body) == *digest).then_some(reply.body)
        }
    };
    Ok(content.and_then(|content| String::from_utf8(content).ok()))
}
