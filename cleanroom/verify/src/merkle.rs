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
