//! What is noted down of the tree while its entries are read: the roots at some sizes, and some leaves.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::Hash;
use crate::merkle::{Growing, nothing};

#[derive(Debug, Default)]
pub(crate) struct Marks {
    sizes: BTreeSet<u64>,
    indexes: BTreeSet<u64>,
    roots: BTreeMap<u64, Hash>,
    leaves: BTreeMap<u64, Hash>,
    growing: Growing,
    /// An entry could not be read: from there on nothing is known.
    gap: bool,
}

impl Marks {
    pub(crate) fn want_root(&mut self, size: u64) {
        self.sizes.insert(size);
    }

    pub(crate) fn want_leaf(&mut self, index: u64) {
        self.indexes.insert(index);
    }

    pub(crate) fn leaf(&mut self, leaf: Hash) {
        if self.gap {
            return;
        }
        let index = self.growing.size();
        if self.indexes.contains(&index) {
            self.leaves.insert(index, leaf);
        }
        self.growing.append(leaf);
        if self.sizes.contains(&self.growing.size()) {
            self.roots.insert(self.growing.size(), self.growing.root());
        }
    }

    pub(crate) fn gap(&mut self) {
        self.gap = true;
    }

    /// The root over the first `size` entries, where it was asked for and they are all there.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        if size == 0 { Some(nothing()) } else { self.roots.get(&size).copied() }
    }

    pub(crate) fn leaf_at(&self, index: u64) -> Option<Hash> {
        self.leaves.get(&index).copied()
    }
}
