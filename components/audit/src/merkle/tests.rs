use proptest::prelude::*;

use super::*;

/// RFC 6962, section 2.1, word for word: the slow way to a root.
pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        leaves => {
            let split = 1 << (leaves.len() - 1).ilog2();
            hash_children(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
        }
    }
}

/// The leaves of the test tree that Certificate Transparency implementations share.
pub(crate) const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots of its first 1 to 8 leaves.
pub(crate) const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

pub(crate) fn ct_leaves() -> Vec<Hash> {
    CT_LEAVES.iter().map(|leaf| hash_leaf(&hex::decode(leaf).unwrap())).collect()
}

#[test]
fn the_empty_tree_has_the_root_of_the_standard() {
    let root = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hex::encode(empty_root()), root);
    assert_eq!(Frontier::empty().root(), empty_root());
}

#[test]
fn the_shared_test_tree_has_its_known_roots() {
    let mut frontier = Frontier::empty();
    for (leaf, root) in ct_leaves().into_iter().zip(CT_ROOTS) {
        frontier.push(leaf, |_, _| {});
        assert_eq!(hex::encode(frontier.root()), root);
    }
}

proptest! {
    #[test]
    fn a_growing_tree_has_the_roots_of_the_definition(count in 0_usize..600) {
        let leaves: Vec<Hash> = (0..count).map(|i| hash_leaf(&i.to_be_bytes())).collect();
        let mut frontier = Frontier::empty();
        let mut perfect = 0;
        for leaf in &leaves {
            frontier.push(*leaf, |_, _| perfect += 1);
        }
        prop_assert_eq!(frontier.root(), naive_root(&leaves));
        // Every perfect subtree is named once: n leaves make 2n - (bits set in n) of them.
        prop_assert_eq!(perfect, 2 * count - count.count_ones() as usize);
    }
}
