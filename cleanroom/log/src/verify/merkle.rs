//! The tree as RFC 6962 2.1 defines it, by recursion over the definition.

use ring::digest::{Context, SHA256};

use crate::format::{HASH_BYTES, LEAF_PREFIX, NODE_PREFIX};
use crate::hash::EntryHash;

pub(super) fn nothing() -> EntryHash {
    hash(&[])
}

pub(super) fn leaf(entry: &[u8]) -> EntryHash {
    hash(&[&[LEAF_PREFIX], entry])
}

/// The root over the roots of subtrees of equal size, of which the last may be smaller.
pub(super) fn root(nodes: &[EntryHash]) -> EntryHash {
    match nodes {
        [] => nothing(),
        [one] => *one,
        _ => {
            let mut middle = 1;
            while middle * 2 < nodes.len() {
                middle *= 2;
            }
            let (left, right) = nodes.split_at(middle);
            hash(&[&[NODE_PREFIX], root(left).as_bytes(), root(right).as_bytes()])
        }
    }
}

fn hash(parts: &[&[u8]]) -> EntryHash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; HASH_BYTES];
    bytes.copy_from_slice(context.finish().as_ref());
    EntryHash::new(bytes)
}
