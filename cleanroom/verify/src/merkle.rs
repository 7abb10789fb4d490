//! The tree as RFC 6962 2.1 defines it, by recursion over the definition.

use crate::hash::Hash;

pub(crate) fn nothing() -> Hash {
    Hash::of(&[])
}

/// The root over the roots of subtrees of equal size, of which the last may be smaller.
pub(crate) fn root(nodes: &[Hash]) -> Hash {
    match nodes {
        [] => nothing(),
        [one] => *one,
        _ => {
            let (left, right) = nodes.split_at(split(nodes.len()));
            Hash::node(root(left), root(right))
        }
    }
}

/// The root that an inclusion path (RFC 6962 2.1.1) leads to from the leaf at `index` of a tree of `size`; `None` where the
/// path is not one for these.
pub(crate) fn root_from(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let Some((sibling, rest)) = path.split_last() else {
        return (size == 1).then_some(leaf);
    };
    if size == 1 {
        return None;
    }
    // The last hash of a path is that of the other half of the whole tree.
    let left = split_of(size);
    if index < left {
        Some(Hash::node(root_from(index, left, leaf, rest)?, *sibling))
    } else {
        Some(Hash::node(*sibling, root_from(index - left, size - left, leaf, rest)?))
    }
}

/// Whether a consistency proof (RFC 6962 2.1.2) leads from the tree of `old` entries with root `old_root` to the one of `new`
/// entries with `new_root`. Every tree continues the one without entries.
pub(crate) fn is_consistent(old: u64, new: u64, old_root: Hash, new_root: Hash, proof: &[Hash]) -> bool {
    if new == 0 && new_root != nothing() || old == 0 && old_root != nothing() {
        return false;
    }
    match old {
        0 => proof.is_empty(),
        _ if old > new => false,
        _ if old == new => proof.is_empty() && old_root == new_root,
        _ => roots_from(old, new, proof, Some(old_root)) == Some((old_root, new_root)),
    }
}

/// The roots over the first `old` and over all of `new` entries that a subproof leads to. `whole` is the root of the old tree
/// as long as all of it may be under this node: the proof leaves it out then.
fn roots_from(old: u64, new: u64, proof: &[Hash], whole: Option<Hash>) -> Option<(Hash, Hash)> {
    if old == new {
        return match (whole, proof) {
            (Some(root), []) => Some((root, root)),
            (None, [root]) => Some((*root, *root)),
            _ => None,
        };
    }
    let (sibling, rest) = proof.split_last()?;
    let left = split_of(new);
    if old <= left {
        let (before, after) = roots_from(old, left, rest, whole)?;
        Some((before, Hash::node(after, *sibling)))
    } else {
        let (before, after) = roots_from(old - left, new - left, rest, None)?;
        Some((Hash::node(*sibling, before), Hash::node(*sibling, after)))
    }
}

/// A tree that grows, of which only the roots of full subtrees are kept.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    size: u64,
    // Largest first.
    full: Vec<Hash>,
}

impl Growing {
    pub(crate) fn append(&mut self, leaf: Hash) {
        let (mut node, mut width) = (leaf, self.size);
        while width & 1 == 1 {
            if let Some(left) = self.full.pop() {
                node = Hash::node(left, node);
            }
            width >>= 1;
        }
        self.full.push(node);
        self.size += 1;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn root(&self) -> Hash {
        self.full.iter().rev().copied().reduce(|right, left| Hash::node(left, right)).unwrap_or_else(nothing)
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split_of(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

fn split(count: usize) -> usize {
    let mut middle = 1;
    while middle * 2 < count {
        middle *= 2;
    }
    middle
}
