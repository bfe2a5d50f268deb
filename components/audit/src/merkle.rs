//! The Merkle tree of RFC 6962, section 2.1: hashes, and the right edge of a growing tree.

use sha2::{Digest, Sha256};

/// A SHA-256 hash of a leaf, a node or a tree.
pub type Hash = [u8; 32];

/// The hash of a record: SHA-256 over a zero byte and the record (RFC 6962, section 2.1).
#[must_use]
pub fn hash_leaf(record: &[u8]) -> Hash {
    Sha256::new().chain_update([0x00]).chain_update(record).finalize().into()
}

/// The hash of a node with two children.
pub(crate) fn hash_children(left: &Hash, right: &Hash) -> Hash {
    let mut block = [0x01_u8; 65];
    let (_, children) = block.split_at_mut(1);
    let (head, tail) = children.split_at_mut(32);
    head.copy_from_slice(left);
    tail.copy_from_slice(right);
    Sha256::digest(block).into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over hashes of equal height whose count is a power of two; none for any other count.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(hash_children(left, right)),
                _ => None,
            })
            .collect();
    }
    row.first().copied()
}

/// The root over perfect subtrees that stand side by side, the largest first.
pub(crate) fn fold_subtrees(subtrees: &[Hash]) -> Option<Hash> {
    let (last, before) = subtrees.split_last()?;
    Some(before.iter().rev().fold(*last, |right, left| hash_children(left, &right)))
}

/// The right edge of a tree: the roots of the perfect subtrees that its leaves fill, the largest first.
///
/// Invariant: as many subtrees as `size` has bits set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The edge of the empty tree.
    pub(crate) fn empty() -> Self {
        Self { size: 0, subtrees: Vec::new() }
    }

    /// The edge of a tree of `size` leaves; none unless there are as many subtrees as `size` has bits set.
    pub(crate) fn from_subtrees(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// The number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The root hash of the tree.
    pub(crate) fn root(&self) -> Hash {
        fold_subtrees(&self.subtrees).unwrap_or_else(empty_root)
    }

    /// Adds a leaf, and names every perfect subtree that this completes: its height and hash, the leaf (height 0)
    /// first.
    pub(crate) fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u32, Hash)) {
        let mut node = leaf;
        completed(0, node);
        for height in 1..=self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                node = hash_children(&left, &node);
                completed(height, node);
            }
        }
        self.subtrees.push(node);
        self.size += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests;
