//! Every guest made for tests is used by one.

use crate::lexer::Kind;
use crate::tree::{Tree, assert_none};

/// Where the guests lie, in one folder for each package.
const GUESTS: &str = "tests/guests";

/// Where they must be named.
const STORIES: &str = "tests/it";

/// The name of each guest and the file that makes it: examples and libraries that are components, and text.
fn guests(tree: &Tree) -> Vec<(String, String)> {
    let mut guests = Vec::new();
    for (path, text) in tree.texts(GUESTS) {
        let inner: Vec<&str> = path.split('/').skip(3).collect();
        match inner[..] {
            ["examples", file] if file.ends_with(".rs") => guests.push((stem(file), path.to_owned())),
            ["examples", folder, "main.rs"] => guests.push((folder.to_owned(), path.to_owned())),
            ["text", file] if file.ends_with(".wat") => guests.push((stem(file), path.to_owned())),
            ["Cargo.toml"] => guests.extend(library(text).map(|name| (name, path.to_owned()))),
            _ => {}
        }
    }
    guests
}

fn stem(file: &str) -> String {
    file.split('.').next().unwrap_or(file).to_owned()
}

fn library(manifest: &str) -> Option<String> {
    let manifest: toml::Table = manifest.parse().ok()?;
    let kinds = manifest.get("lib")?.get("crate-type")?.as_array()?;
    let is_component = kinds.iter().any(|kind| kind.as_str() == Some("cdylib"));
    is_component.then(|| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned()))?
}

fn problems(tree: &Tree) -> Vec<String> {
    let strings: Vec<&str> = tree
        .rust()
        .filter(|rust| rust.path.starts_with(STORIES))
        .flat_map(|rust| rust.source.tokens)
        .filter(|token| token.kind == Kind::Text)
        .map(|token| token.text)
        .collect();
    let named = |name: &str| {
        let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        strings.iter().any(|string| string.split(|c| !joins(c)).any(|word| word == name))
    };
    let unused = guests(tree).into_iter().filter(|(name, _)| !named(name));
    unused
        .map(|(name, path)| {
            format!("{path}:1: no test in {STORIES} names \"{name}\": write its story or remove the guest")
        })
        .collect()
}

#[test]
fn every_guest_is_named_in_a_test() {
    let here = Tree::here();
    assert!(
        !guests(&here).is_empty(),
        "no guests found: they have moved away from {GUESTS}, correct this test"
    );
    if here.texts(STORIES).next().is_none() {
        println!("skipped: there is no folder {STORIES} yet");
        return;
    }
    assert_none(&problems(&here));
}

#[test]
fn a_guest_that_no_string_names_is_found() {
    let tree = Tree::of(&[
        ("tests/guests/p/examples/used.rs", ""),
        ("tests/guests/p/examples/idle.rs", ""),
        ("tests/guests/p/text/part.wat", ""),
        ("tests/guests/q/Cargo.toml", "[package]\nname = \"whole\"\n[lib]\ncrate-type = [\"cdylib\"]\n"),
        ("tests/it/main.rs", "// idle\nfn f() { g(\"used.wasm\", \"a part-time\", idle) }"),
    ]);
    let names: Vec<_> =
        problems(&tree).iter().map(|found| found.split('"').nth(1).unwrap().to_owned()).collect();
    assert_eq!(names, ["idle", "part", "whole"]);
}
