//! The files of a tiled log (C2SP tlog-tiles): their names, and how entries are bundled.

use crate::format::{ENTRIES_FOLDER, TILE_FOLDER, TILE_WIDTH};
use crate::hash::EntryHash;

/// The path of the tile of `width` hashes (1 to 256) at `level`, number `index`, relative to the log's directory.
pub fn tile_path(level: u32, index: u64, width: u64) -> String {
    format!("{TILE_FOLDER}/{level}/{}", numbered(index, width))
}

/// The path of the bundle of `width` entries (1 to 256), number `index`, relative to the log's directory.
pub fn entries_path(index: u64, width: u64) -> String {
    format!("{TILE_FOLDER}/{ENTRIES_FOLDER}/{}", numbered(index, width))
}

fn numbered(index: u64, width: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Adds an entry to a bundle; `None` where it is longer than the format takes.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    bundle.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}

/// The length in bytes of the first `count` entries of a bundle; `None` where it holds fewer.
pub(crate) fn bundle_length(bundle: &[u8], count: u64) -> Option<usize> {
    let mut at = 0_usize;
    for _ in 0..count {
        let prefix: [u8; 2] = bundle.get(at..at.checked_add(2)?)?.try_into().ok()?;
        at = at.checked_add(2)?.checked_add(usize::from(u16::from_be_bytes(prefix)))?;
    }
    (at <= bundle.len()).then_some(at)
}

/// The entries of a bundle; `None` where a length runs past its end.
pub(crate) fn split_bundle(bundle: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let (prefix, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*prefix)))?;
        entries.push(entry.to_vec());
        rest = after;
    }
    Some(entries)
}

pub(crate) fn hashes_to_bytes(hashes: &[EntryHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

pub(crate) fn hashes_from_bytes(bytes: &[u8]) -> Option<Vec<EntryHash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.iter().copied().map(EntryHash::new).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 0, 256), "tile/0/000");
        assert_eq!(tile_path(1, 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(tile_path(2, 1000, 3), "tile/2/x001/000.p/3");
        assert_eq!(entries_path(999, 255), "tile/entries/999.p/255");
        assert_eq!(entries_path(1_000_000, 256), "tile/entries/x001/x000/000");
    }

    proptest! {
        #[test]
        fn paths_are_those_of_another_implementation(level in 0_u8..8, index in 0_u64..1 << 40, width in 1_u32..=256) {
            let theirs = tlog_tiles::Tile::new(8, level, index, width, false).path();
            // The Go module's own paths carry the tile's height, the specification's do not.
            prop_assert_eq!(tile_path(u32::from(level), index, u64::from(width)), theirs.replacen("tile/8/", "tile/", 1));
        }

        #[test]
        fn bundles_come_apart_as_they_were_made(entries: Vec<Vec<u8>>, cut: usize) {
            let mut bundle = Vec::new();
            for entry in &entries {
                prop_assert_eq!(push_entry(&mut bundle, entry), Some(()));
            }
            prop_assert_eq!(bundle_length(&bundle, entries.len() as u64), Some(bundle.len()));
            prop_assert_eq!(bundle_length(&bundle, entries.len() as u64 + 1), None);
            prop_assert_eq!(split_bundle(&bundle), Some(entries));
            let cut = cut % (bundle.len() + 1);
            bundle.truncate(cut);
            // Whatever is left, reading it does not panic.
            let _ = split_bundle(&bundle);
        }
    }
}
