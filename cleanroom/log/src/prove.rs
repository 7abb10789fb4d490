//! Checking proofs, step by step as RFC 9162 2.1.3.2 and 2.1.4.2 write it.

use crate::hash::EntryHash;

/// A proof that does not prove what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry's index is not below the tree's size, or the old size is above the new one.
    #[error("the proof is for an entry or a size that the tree does not have")]
    OutOfRange,
    /// Too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes for these sizes")]
    Length,
    /// The hashes lead to another root.
    #[error("the proof leads to another root: the entry or the tree is not the one that was signed")]
    Root,
}

/// Checks that the entry with this leaf hash is number `index` (from 0) of the tree with this size and root.
///
/// # Errors
/// Where it is not, or the proof is not exactly of the right shape.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &EntryHash,
    path: &[EntryHash],
    root: &EntryHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = EntryHash::of_node(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = EntryHash::of_node(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree with the new size and root continues the one with the old size and root. Every tree continues the
/// tree without entries.
///
/// # Errors
/// Where it does not, or the proof is not exactly of the right shape.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    old_root: &EntryHash,
    new_root: &EntryHash,
    proof: &[EntryHash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::OutOfRange);
    }
    if old_size == new_size || old_size == 0 {
        if !proof.is_empty() {
            return Err(ProofError::Length);
        }
        let expected = if old_size == 0 { EntryHash::of_nothing() } else { *new_root };
        let empty_stays = new_size != 0 || *new_root == EntryHash::of_nothing();
        return if *old_root == expected && empty_stays { Ok(()) } else { Err(ProofError::Root) };
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut steps = proof.iter();
    // A complete old tree is itself the first node of the path; the proof leaves it out.
    let first = if old_size.is_power_of_two() { old_root } else { steps.next().ok_or(ProofError::Length)? };
    let (mut old, mut new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old = EntryHash::of_node(step, &old);
            new = EntryHash::of_node(step, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = EntryHash::of_node(&new, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old == *old_root && new == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Tree, consistency_proof, inclusion_proof};

    const RFC_6962_INPUTS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const RFC_6962_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves(count: u64) -> Vec<EntryHash> {
        (0..count).map(|index| EntryHash::of_entry(&index.to_be_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_the_standard_vectors() {
        let mut tree = Tree::new();
        assert_eq!(format!("{:?}", tree.root()), RFC_6962_ROOTS[0]);
        for (input, root) in RFC_6962_INPUTS.iter().zip(&RFC_6962_ROOTS[1..]) {
            tree.append(EntryHash::of_entry(&hex::decode(input).unwrap()));
            assert_eq!(format!("{:?}", tree.root()), *root);
        }
    }

    #[test]
    fn every_inclusion_proof_verifies_and_no_other_entry_does() {
        let leaves = leaves(70);
        for size in 1..=70_u64 {
            let root = Tree::from_leaves(leaves.iter().take(size as usize).copied()).root();
            for index in 0..size {
                let path = inclusion_proof(&leaves[..], index, size).unwrap();
                let leaf = &leaves[index as usize];
                assert_eq!(verify_inclusion(index, size, leaf, &path, &root), Ok(()));
                let other = (index + 1) % size;
                if other != index {
                    assert!(verify_inclusion(other, size, leaf, &path, &root).is_err());
                }
                assert_eq!(verify_inclusion(size, size, leaf, &path, &root), Err(ProofError::OutOfRange));
                let longer = [path.as_slice(), &[*leaf]].concat();
                assert_eq!(verify_inclusion(index, size, leaf, &longer, &root), Err(ProofError::Length));
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(verify_inclusion(index, size, leaf, shorter, &root), Err(ProofError::Length));
                }
            }
        }
        assert!(inclusion_proof(&leaves[..], 70, 70).is_err());
        assert!(inclusion_proof(&leaves[..], 3, 71).is_err());
    }

    #[test]
    fn every_consistency_proof_verifies_and_no_other_tree_does() {
        let leaves = leaves(70);
        let roots: Vec<_> = (0..=70).map(|size| Tree::from_leaves(leaves.iter().take(size).copied()).root()).collect();
        for new in 0..=70_u64 {
            for old in 0..=new {
                let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
                let proof = consistency_proof(&leaves[..], old, new).unwrap();
                assert_eq!(verify_consistency(old, new, old_root, new_root, &proof), Ok(()), "{old} {new}");
                let foreign = EntryHash::of_entry(b"another history");
                assert!(verify_consistency(old, new, &foreign, new_root, &proof).is_err());
                if old != 0 {
                    assert!(verify_consistency(old, new, old_root, &foreign, &proof).is_err());
                }
                let longer = [proof.as_slice(), &[foreign]].concat();
                assert!(verify_consistency(old, new, old_root, new_root, &longer).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(verify_consistency(old, new, old_root, new_root, shorter).is_err());
                }
                if old < new {
                    let reversed = verify_consistency(new, old, new_root, old_root, &proof);
                    assert_eq!(reversed, Err(ProofError::OutOfRange));
                }
            }
        }
    }

    #[test]
    fn proofs_are_those_of_another_implementation() {
        struct Stored(Vec<tlog_tiles::Hash>);
        impl tlog_tiles::HashReader for Stored {
            fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
                Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
            }
        }
        let leaves = leaves(70);
        let mut stored = Stored(Vec::new());
        for index in 0..70_u64 {
            let new = tlog_tiles::stored_hashes(index, &index.to_be_bytes(), &stored).unwrap();
            stored.0.extend(new);
        }
        let theirs =
            |hashes: Vec<tlog_tiles::Hash>| hashes.iter().map(|hash| EntryHash::new(hash.0)).collect::<Vec<_>>();
        for size in 1..=70 {
            let root = tlog_tiles::tree_hash(size, &stored).unwrap();
            assert_eq!(Tree::from_source(&leaves[..], size).unwrap().root(), EntryHash::new(root.0));
            for index in 0..size {
                let proof = tlog_tiles::prove_record(size, index, &stored).unwrap();
                assert_eq!(inclusion_proof(&leaves[..], index, size).unwrap(), theirs(proof));
                let proof = tlog_tiles::prove_tree(size, index + 1, &stored).unwrap();
                assert_eq!(consistency_proof(&leaves[..], index + 1, size).unwrap(), theirs(proof));
            }
        }
    }

    proptest! {
        #[test]
        fn one_wrong_bit_is_one_too_many(size in 2_u64..300, at: u64, bit: usize) {
            let leaves = leaves(size);
            let root = Tree::from_leaves(leaves.iter().copied()).root();
            let index = at % size;
            let mut path = inclusion_proof(&leaves[..], index, size).unwrap();
            let place = bit % (path.len() * 256);
            let mut bytes = *path[place / 256].as_bytes();
            bytes[place % 256 / 8] ^= 1 << (place % 8);
            path[place / 256] = EntryHash::new(bytes);
            let verified = verify_inclusion(index, size, &leaves[index as usize], &path, &root);
            prop_assert_eq!(verified, Err(ProofError::Root));
        }
    }
}
