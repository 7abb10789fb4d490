#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::key::LogKey;
use crate::note::Origin;
use crate::prove::{verify_consistency, verify_inclusion};
use crate::tree::{consistency_proof, inclusion_proof};

fn directory() -> (TempDir, LogDirectory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(folder.path().join("log/retail")).unwrap();
    (folder, directory)
}

fn entries(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("entry {number}").into_bytes()).collect()
}

fn leaves(entries: &[Vec<u8>]) -> Vec<EntryHash> {
    entries.iter().map(|entry| EntryHash::of_entry(entry)).collect()
}

fn note(size: u64, root: EntryHash) -> String {
    let origin = Origin::new("logs.example/room/retail").unwrap();
    Checkpoint { origin, size, root }.sign(&LogKey::generate().unwrap())
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_log_grows_to_the_same_files_in_any_steps() {
    let entries = entries(600);
    let leaves = leaves(&entries);
    let (_whole_folder, whole) = directory();
    whole.rebuild(&entries).unwrap();
    for steps in [&[1, 1, 1, 253, 1, 1, 342][..], &[255, 2, 343], &[256, 256, 88], &[600]] {
        let (_folder, directory) = directory();
        let mut size = 0;
        for step in steps {
            let tree = directory.extend(size as u64, &entries[size..size + step]).unwrap();
            size += step;
            assert_eq!(tree, Tree::from_leaves(leaves[..size].iter().copied()));
            directory.write_checkpoint(&note(size as u64, tree.root())).unwrap();
            assert_eq!(directory.size().unwrap(), size as u64);
            assert_eq!(directory.tree(size as u64).unwrap(), tree);
        }
        let mut grown = files(directory.path());
        grown.remove("checkpoint");
        grown.remove("checkpoints");
        // What earlier checkpoints left of tiles that are not full yet stays for readers that still hold one.
        let expected = files(whole.path());
        grown.retain(|name, _| expected.contains_key(name) || !name.contains(".p/"));
        assert_eq!(grown, expected);
        let full = directory.path().join("tile/entries/000.p");
        assert!(!full.exists(), "partial tiles go once the full one is under a checkpoint");
        assert_eq!(directory.bundle(2, 600).unwrap(), &entries[512..]);
    }
}

#[test]
fn a_tile_is_there_for_every_level_that_the_specification_names() {
    let (_folder, directory) = directory();
    directory.rebuild(entries(256)).unwrap();
    let names: Vec<_> = files(directory.path()).into_keys().collect();
    assert_eq!(names, ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
}

#[test]
fn proofs_come_from_tiles_alone() {
    let entries = entries(700);
    let leaves = leaves(&entries);
    let (_folder, directory) = directory();
    directory.rebuild(&entries).unwrap();
    for size in [1_u64, 2, 255, 256, 257, 511, 512, 513, 700] {
        let tree = directory.tree(size).unwrap();
        let tiles = directory.tiles(size);
        for index in [0, 1, 100, 254, 255, 256, 511, 512, 699].into_iter().filter(|index| *index < size) {
            let path = inclusion_proof(&tiles, index, size).unwrap();
            assert_eq!(path, inclusion_proof(&leaves[..], index, size).unwrap());
            assert_eq!(verify_inclusion(index, size, &leaves[index as usize], &path, &tree.root()), Ok(()));
            let proof = consistency_proof(&tiles, index + 1, size).unwrap();
            let old = Tree::from_leaves(leaves[..=index as usize].iter().copied());
            assert_eq!(verify_consistency(index + 1, size, &old.root(), &tree.root(), &proof), Ok(()));
        }
        assert!(matches!(inclusion_proof(&tiles, size, size), Err(StoreError::Range(RangeError))));
    }
}

#[test]
fn what_was_left_behind_the_checkpoint_is_written_again() {
    let entries = entries(300);
    let (_folder, directory) = directory();
    let signed = directory.extend(0, &entries[..200]).unwrap();
    directory.write_checkpoint(&note(200, signed.root())).unwrap();
    // A crash before the checkpoint, and then other entries in their place.
    directory.extend(200, &entries[..100]).unwrap();
    let tree = directory.extend(200, &entries[200..]).unwrap();
    assert_eq!(tree, Tree::from_leaves(leaves(&entries)));
    assert_eq!(directory.tree(300).unwrap(), tree);
    assert_eq!(directory.bundle(0, 300).unwrap(), &entries[..256]);
}

#[test]
fn a_missing_or_damaged_tile_is_an_error_and_a_rebuild_mends_it() {
    let entries = entries(10);
    let (_folder, directory) = directory();
    let tree = directory.extend(0, &entries).unwrap();
    let tile = directory.path().join("tile/0/000.p/10");
    fs::write(&tile, [0; 31]).unwrap();
    assert!(matches!(directory.extend(10, &entries), Err(StoreError::Damaged { path }) if path == tile));
    fs::remove_file(&tile).unwrap();
    assert!(matches!(directory.extend(10, &entries), Err(StoreError::Missing { path }) if path == tile));
    assert_eq!(directory.rebuild(&entries).unwrap(), tree);
    assert_eq!(directory.tree(10).unwrap(), tree);
}

#[test]
fn nothing_but_a_checkpoint_becomes_the_checkpoint() {
    let (_folder, directory) = directory();
    assert_eq!(directory.checkpoint().unwrap(), None);
    assert!(matches!(directory.write_checkpoint("text\n"), Err(StoreError::Checkpoint { .. })));
    assert_eq!(directory.checkpoint().unwrap(), None);
    assert!(matches!(directory.extend(0, &[vec![0; 65_536]]), Err(StoreError::EntryTooLong { sequence: 0 })));
}

#[test]
fn a_blob_is_what_its_name_says() {
    let (_folder, directory) = directory();
    let digest = directory.write_blob(b"SELECT 1").unwrap();
    assert_eq!(directory.write_blob(b"SELECT 1").unwrap(), digest);
    assert_eq!(directory.read_blob(&digest).unwrap().as_deref(), Some(&b"SELECT 1"[..]));
    assert_eq!(directory.read_blob(&crate::hash::Digest::sha256_of(b"SELECT 2")).unwrap(), None);
    let hex = digest.hex();
    let path = directory.path().join("blobs").join(&hex[..2]).join(&hex);
    fs::write(&path, "SELECT 2").unwrap();
    assert!(matches!(directory.read_blob(&digest), Err(StoreError::Damaged { .. })));
    // What was damaged is written again by who still has it.
    directory.write_blob(b"SELECT 1").unwrap();
    assert!(directory.read_blob(&digest).unwrap().is_some());
}

#[test]
fn a_history_that_could_not_be_written_is_completed() {
    let (_folder, directory) = directory();
    let tree = directory.extend(0, &entries(2)).unwrap();
    let (one, two) = (note(2, tree.root()), note(2, tree.root()));
    let history = directory.path().join("checkpoints");
    fs::create_dir(&history).unwrap();
    // The folder stands in the way of the history, and of nothing else.
    assert!(directory.write_checkpoint(&one).is_err());
    assert_eq!(directory.checkpoint().unwrap().as_deref(), Some(one.as_str()));
    fs::remove_dir(&history).unwrap();
    directory.keep_newest().unwrap();
    directory.keep_newest().unwrap();
    assert_eq!(directory.checkpoints().unwrap(), std::slice::from_ref(&one));
    fs::remove_file(&history).unwrap();
    directory.write_checkpoint(&two).unwrap();
    assert_eq!(directory.checkpoints().unwrap(), [one, two]);
}
