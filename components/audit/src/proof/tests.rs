use proptest::prelude::*;

use super::*;
use crate::merkle::hash_leaf;
use crate::merkle::tests::{CT_ROOTS, ct_leaves, naive_root};

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = std::convert::Infallible;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let start = (index << height) as usize;
        Ok(naive_root(&self.0[start..start + (1 << height)]))
    }
}

fn tree(count: usize) -> Leaves {
    Leaves((0..count).map(|i| hash_leaf(&i.to_be_bytes())).collect())
}

/// The tree of RFC 6962, section 2.1.3: seven leaves, and the nodes by the names that the figure gives them.
#[test]
fn the_tree_of_seven_has_the_proofs_that_the_standard_lists() {
    let mut tree = tree(7);
    let d: Vec<Hash> = tree.0.clone();
    let [a, b, c, d0, e, f] = [d[0], d[1], d[2], d[3], d[4], d[5]];
    let j = d[6];
    let [g, h, i] = [hash_children(&a, &b), hash_children(&c, &d0), hash_children(&e, &f)];
    let [k, l] = [hash_children(&g, &h), hash_children(&i, &j)];
    let mut path = |index| inclusion(&mut tree, index, 7).unwrap();
    assert_eq!(path(0), [b, h, l]);
    assert_eq!(path(3), [c, g, l]);
    assert_eq!(path(4), [f, j, k]);
    assert_eq!(path(6), [i, k]);
    let mut proof = |old| consistency(&mut tree, old, 7).unwrap();
    assert_eq!(proof(3), [c, d0, g, l]);
    assert_eq!(proof(4), [l]);
    assert_eq!(proof(6), [i, j, k]);
}

#[test]
fn proofs_in_the_shared_test_tree_lead_to_its_known_roots() {
    let mut tree = Leaves(ct_leaves());
    let root = |size: u64| -> Hash { hex::decode(CT_ROOTS[size as usize - 1]).unwrap().try_into().unwrap() };
    for size in 1..=8 {
        for index in 0..size {
            let path = inclusion(&mut tree, index, size).unwrap();
            let leaf = tree.0[index as usize];
            assert_eq!(verify_inclusion(&leaf, index, size, &root(size), &path), Ok(()));
            let proof = consistency(&mut tree, index + 1, size).unwrap();
            assert_eq!(verify_consistency(index + 1, &root(index + 1), size, &root(size), &proof), Ok(()));
        }
    }
}

#[test]
fn the_edges_of_consistency_are_exact() {
    let (empty, one, two) = (crate::merkle::empty_root(), [1; 32], [2; 32]);
    assert_eq!(verify_consistency(0, &empty, 0, &empty, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty, 5, &one, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &one, 5, &one, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(0, &empty, 0, &one, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(5, &one, 5, &one, &[]), Ok(()));
    assert_eq!(verify_consistency(5, &one, 5, &two, &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(5, &one, 5, &one, &[two]), Err(ProofError::Length { found: 1 }));
    assert_eq!(verify_consistency(6, &one, 5, &one, &[]), Err(ProofError::OutOfRange { size: 5 }));
    assert_eq!(verify_consistency(3, &one, 5, &one, &[]), Err(ProofError::Length { found: 0 }));
    assert_eq!(verify_inclusion(&one, 0, 0, &one, &[]), Err(ProofError::OutOfRange { size: 0 }));
    assert_eq!(verify_inclusion(&one, 5, 5, &one, &[]), Err(ProofError::OutOfRange { size: 5 }));
}

#[test]
fn the_largest_sizes_neither_panic_nor_pass() {
    let hashes = [[3; 32]; 70];
    for proof in [&hashes[..0], &hashes[..1], &hashes[..64], &hashes[..]] {
        assert!(verify_inclusion(&[1; 32], u64::MAX - 1, u64::MAX, &[2; 32], proof).is_err());
        assert!(verify_consistency(u64::MAX - 1, &[1; 32], u64::MAX, &[2; 32], proof).is_err());
        assert!(verify_consistency(1 << 63, &[1; 32], u64::MAX, &[2; 32], proof).is_err());
    }
}

/// The proof with one change: a bit flipped, a hash more or a hash less.
fn changed(proof: &[Hash], which: usize, bit: usize) -> Vec<Hash> {
    let mut proof = proof.to_vec();
    match which % (proof.len() + 2) {
        0 => proof.push([0; 32]),
        1 if proof.is_empty() => proof.push([1; 32]),
        1 => drop(proof.pop()),
        place => proof[place - 2][bit / 8] ^= 1 << (bit % 8),
    }
    proof
}

proptest! {
    #[test]
    fn inclusion_holds_and_no_changed_bit_does(
        size in 1_usize..300, at: prop::sample::Index, which: usize, bit in 0_usize..256,
    ) {
        let mut tree = tree(size);
        let index = at.index(size);
        let (root, mut leaf) = (naive_root(&tree.0), tree.0[index]);
        let path = inclusion(&mut tree, index as u64, size as u64).unwrap();
        let check = |leaf: &Hash, index: usize, size: usize, root: &Hash, path: &[Hash]| {
            verify_inclusion(leaf, index as u64, size as u64, root, path)
        };
        prop_assert_eq!(check(&leaf, index, size, &root, &path), Ok(()));
        prop_assert!(check(&leaf, index, size, &root, &changed(&path, which, bit)).is_err());
        prop_assert!(size == 1 || check(&leaf, (index + 1) % size, size, &root, &path).is_err());
        let mut other_root = root;
        other_root[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&leaf, index, size, &other_root, &path).is_err());
        leaf[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&leaf, index, size, &root, &path).is_err());
    }

    #[test]
    fn consistency_holds_and_no_changed_bit_does(
        new in 1_usize..300, at: prop::sample::Index, which: usize, bit in 0_usize..256,
    ) {
        let mut tree = tree(new);
        let old = at.index(new) + 1;
        let (old_root, new_root) = (naive_root(&tree.0[..old]), naive_root(&tree.0));
        let proof = consistency(&mut tree, old as u64, new as u64).unwrap();
        let check = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
            verify_consistency(old as u64, old_root, new as u64, new_root, proof)
        };
        prop_assert_eq!(check(&old_root, &new_root, &proof), Ok(()));
        prop_assert!(check(&old_root, &new_root, &changed(&proof, which, bit)).is_err());
        let mut other = old_root;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&other, &new_root, &proof).is_err());
        let mut other = new_root;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&old_root, &other, &proof).is_err());
    }
}
