//! What a reader is owed: a word on every crate, and the files at the root.

use crate::manifest::packages;
use crate::tree::{Tree, assert_none};

/// What lies at the root.
const ROOT: [&str; 8] = [
    "Cargo.lock",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
];

fn problems(tree: &Tree) -> Vec<String> {
    let missing = ROOT.iter().filter(|file| tree.text(file).is_none());
    let mut problems: Vec<String> = missing.map(|file| format!("{file}:1: missing: write it")).collect();
    for package in packages(tree) {
        let folder = &package.folder;
        let begins_with_doc =
            |root: &String| tree.text(root).is_some_and(|text| text.trim_start().starts_with("//!"));
        let has_readme =
            tree.text(&format!("{folder}/README.md")).is_some_and(|text| !text.trim().is_empty());
        if !has_readme && !package.roots.iter().any(begins_with_doc) {
            problems.push(format!(
                "{}:1: `{}` says nowhere what it is: begin {} with `//!`, or write {folder}/README.md",
                package.path, package.name, package.roots[0]
            ));
        }
    }
    problems
}

#[test]
fn every_crate_says_what_it_is_and_the_root_is_complete() {
    assert_none(&problems(&Tree::here()));
}

#[test]
fn a_silent_crate_and_a_missing_paper_are_named() {
    let manifest = "[package]\nname = \"x\"\n";
    let mut files: Vec<_> = ROOT.iter().skip(1).map(|file| (*file, "")).collect();
    files.extend([("a/Cargo.toml", manifest), ("a/src/lib.rs", "//! An x."), ("b/Cargo.toml", manifest)]);
    files.extend([("b/src/lib.rs", "// An x."), ("c/Cargo.toml", manifest), ("c/README.md", "An x.")]);
    let found = problems(&Tree::of(&files));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("Cargo.lock:1: missing") && found[1].starts_with("b/Cargo.toml:1: `x`"),
        "{found:?}"
    );
}
