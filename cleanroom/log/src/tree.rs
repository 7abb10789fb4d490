//! The RFC 6962 tree: growing it, and proving with it.

use crate::hash::EntryHash;

/// A Merkle tree that keeps only what it needs to grow: the roots of its complete subtrees, 64 hashes at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    // One per set bit of `size`, largest subtree first.
    peaks: Vec<EntryHash>,
}

impl Tree {
    /// The tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree over leaf hashes, first entry first.
    pub fn from_leaves(leaves: impl IntoIterator<Item = EntryHash>) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }

    /// The tree of the first `size` entries of `source`.
    ///
    /// # Errors
    /// Where the source lacks a hash.
    pub fn from_source<S: HashSource + ?Sized>(source: &S, size: u64) -> Result<Self, S::Error> {
        let mut peaks = Vec::new();
        let mut start = 0;
        for level in (0..u64::BITS).rev() {
            if size >> level & 1 == 1 {
                peaks.push(source.node(level, start >> level)?);
                start += 1 << level;
            }
        }
        Ok(Self { size, peaks })
    }

    /// Adds one leaf hash ([`EntryHash::of_entry`]) at the end.
    pub fn append(&mut self, leaf: EntryHash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = EntryHash::of_node(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// How many entries it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Its root.
    pub fn root(&self) -> EntryHash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => EntryHash::of_nothing(),
            Some(last) => peaks.fold(*last, |right, left| EntryHash::of_node(left, &right)),
        }
    }
}

/// Where proofs take their hashes from: a slice of leaf hashes, or tiles.
pub trait HashSource {
    /// What can go wrong.
    type Error: From<RangeError>;

    /// The root of the complete subtree over entries `index * 2^level .. (index + 1) * 2^level`.
    ///
    /// # Errors
    /// Where the source does not hold all of them.
    fn node(&self, level: u32, index: u64) -> Result<EntryHash, Self::Error>;
}

impl HashSource for [EntryHash] {
    type Error = RangeError;

    fn node(&self, level: u32, index: u64) -> Result<EntryHash, RangeError> {
        let start = index.checked_shl(level).and_then(|start| usize::try_from(start).ok()).ok_or(RangeError)?;
        let width = 1_usize.checked_shl(level).ok_or(RangeError)?;
        let leaves = start.checked_add(width).and_then(|end| self.get(start..end)).ok_or(RangeError)?;
        Ok(Tree::from_leaves(leaves.iter().copied()).root())
    }
}

/// A proof was asked for an entry or a size that the tree does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has no such entry or size; ask for an entry below its size")]
pub struct RangeError;

/// The inclusion path of entry `index` in the tree of `size` entries, from the leaf's sibling upwards (RFC 9162 2.1.3.1).
///
/// # Errors
/// Where `index` is not below `size`, or the source lacks a hash.
pub fn inclusion_proof<S: HashSource + ?Sized>(source: &S, index: u64, size: u64) -> Result<Vec<EntryHash>, S::Error> {
    if index >= size {
        return Err(RangeError.into());
    }
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(source, middle, high)?);
            high = middle;
        } else {
            path.push(range(source, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `new` entries continues the tree of `old` entries (RFC 9162 2.1.4.1); empty where the sizes
/// are equal or `old` is 0.
///
/// # Errors
/// Where `old` is above `new`, or the source lacks a hash.
pub fn consistency_proof<S: HashSource + ?Sized>(source: &S, old: u64, new: u64) -> Result<Vec<EntryHash>, S::Error> {
    if old > new {
        return Err(RangeError.into());
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new);
    // While the old tree ends inside the subtree, its other half is proof; the subtree that the old tree fills exactly is
    // itself named, unless it is the whole old tree, which the verifier knows.
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(range(source, middle, high)?);
            high = middle;
        } else {
            proof.push(range(source, low, middle)?);
            low = middle;
        }
    }
    if low != 0 {
        proof.push(range(source, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

// The largest power of two below `width`, for a width above 1.
fn split(width: u64) -> u64 {
    1 << (u64::BITS - 1 - (width - 1).leading_zeros())
}

// The hash over entries `low..high`, where `low` is a multiple of the smallest power of two that holds the range.
fn range<S: HashSource + ?Sized>(source: &S, low: u64, high: u64) -> Result<EntryHash, S::Error> {
    let width = high - low;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return source.node(level, low >> level);
    }
    let middle = low + split(width);
    Ok(EntryHash::of_node(&range(source, low, middle)?, &range(source, middle, high)?))
}
