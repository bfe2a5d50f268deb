//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2): making them from stored nodes, and checking
//! them as RFC 9162, sections 2.1.3.2 and 2.1.4.2, describes.

use crate::merkle::{Hash, fold_subtrees, hash_children};

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the older size lies beyond the tree.
    #[error("the proof is about a place beyond the tree of size {size}")]
    OutOfRange {
        /// The size of the tree.
        size: u64,
    },
    /// The proof has more or fewer hashes than this place in this tree needs.
    #[error("the proof has {found} hashes, which is not what this place in the tree needs")]
    Length {
        /// How many hashes the proof has.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root hash")]
    Root,
}

/// Where the nodes of a stored tree come from.
pub(crate) trait Nodes {
    /// Why a node could not be had.
    type Error;

    /// The root of the perfect subtree of `2^height` leaves that begins at leaf `index << height`.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves from `start` up to `end`; `start` is a multiple of the next power of two of their count,
/// and `start < end`.
pub(crate) fn range_root<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let mut subtrees = Vec::new();
    let mut at = start;
    while at < end {
        let height = (end - at).ilog2();
        subtrees.push(nodes.node(height, at >> height)?);
        at += 1 << height;
    }
    Ok(fold_subtrees(&subtrees).unwrap_or_else(crate::merkle::empty_root))
}

/// The largest power of two that is smaller than `count`, for a `count` of two or more.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The inclusion proof of leaf `index` in the tree of the first `size` leaves, from the leaf's sibling upwards. The
/// caller has checked that `index < size`.
pub(crate) fn inclusion<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `new` leaves begins with the tree of the first `old` ones. The caller has
/// checked that `old <= new`. Empty if `old` is 0 or equals `new`.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn consistency<N: Nodes>(nodes: &mut N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        path.push(range_root(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that a record with the hash `leaf` stands at `index` of the tree with `size` leaves and root `root`.
///
/// # Errors
/// If it does not follow from `proof`.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { size });
    }
    let wrong_length = ProofError::Length { found: proof.len() };
    let (mut place, mut last) = (index, size - 1);
    let mut node = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if place & 1 == 1 || place == last {
            node = hash_children(sibling, &node);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            node = hash_children(&node, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    match (last, node == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(wrong_length),
    }
}

/// Checks that the tree with `new_size` leaves and root `new_root` begins with the tree of `old_size` leaves and root
/// `old_root`: that nothing in the older tree was changed or removed.
///
/// # Errors
/// If it does not follow from `proof`.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let wrong_length = ProofError::Length { found: proof.len() };
    if old_size > new_size {
        return Err(ProofError::OutOfRange { size: new_size });
    }
    if old_size == new_size || old_size == 0 {
        let old_is_right =
            if old_size == 0 { *old_root == crate::merkle::empty_root() } else { old_root == new_root };
        let new_is_right = new_size > 0 || *new_root == crate::merkle::empty_root();
        return match (proof.is_empty(), old_is_right && new_is_right) {
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
            (false, _) => Err(wrong_length),
        };
    }
    let shift = (old_size - 1).trailing_ones();
    let (mut place, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    // A perfect older tree is itself the first node, and the proof leaves it out.
    let (first, rest) = match (old_size.is_power_of_two(), proof.split_first()) {
        (true, _) => (*old_root, proof),
        (false, Some((first, rest))) => (*first, rest),
        (false, None) => return Err(wrong_length),
    };
    let (mut old_node, mut new_node) = (first, first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length);
        }
        if place & 1 == 1 || place == last {
            old_node = hash_children(sibling, &old_node);
            new_node = hash_children(sibling, &new_node);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new_node = hash_children(&new_node, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    match (last, old_node == *old_root && new_node == *new_root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(wrong_length),
    }
}

#[cfg(test)]
mod tests;
