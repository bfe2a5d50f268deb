//! Pins: the WIT of others by digest, and the crates that security rests on by exact version.

use crate::manifest::{packages, workspace};
use crate::tree::{Tree, assert_none};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Where the pins of the WIT are written.
const PINS: &str = "wit/deps/pins.toml";

/// Where the WIT of others lies, in one folder for each package.
const DEPS: &str = "wit/deps";

/// The crates that security rests on, by the start of the name, so that a whole family is meant.
const EXACT: [&str; 8] =
    ["wasmtime", "wac-graph", "ed25519-dalek", "sha2", "blake3", "cedar-policy", "tokio", "cap-std"];

/// Of the families, those that stand apart.
const FREE: [&str; 3] = ["tokio-util", "tokio-rustls", "tokio-stream"];

fn wit(tree: &Tree) -> Vec<String> {
    let document: toml::Table = match tree.text(PINS).unwrap_or_default().parse() {
        Ok(document) => document,
        Err(error) => return vec![format!("{PINS}: {error}: mend the TOML")],
    };
    let mut problems = Vec::new();
    let mut pinned = BTreeMap::new();
    let entries = document.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for entry in &entries {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        let folder = text("folder");
        if !is_exact_source(text("source")) {
            problems.push(format!(
                "{PINS}:1: the source of `{folder}` is `{}`: name a repository with a whole commit, \
                     `https://…@<40 hex digits>`, or a crate with its version, `crate:name@1.2.3`",
                text("source")
            ));
        }
        let declared = format!("package {}@{};", text("name"), text("version"));
        let mut texts = tree.texts(DEPS).filter(|(path, _)| path.split('/').nth(2) == Some(folder));
        if !texts.any(|(_, text)| text.lines().any(|line| line.trim() == declared)) {
            problems.push(format!(
                "{PINS}:1: no file of {DEPS}/{folder} says `{declared}`: correct name or version"
            ));
        }
        for (file, digest) in entry.get("sha256").and_then(toml::Value::as_table).into_iter().flatten() {
            pinned.insert(format!("{DEPS}/{folder}/{file}"), digest.as_str().unwrap_or_default().to_owned());
        }
    }
    for (path, text) in tree.texts(DEPS).filter(|(path, _)| *path != PINS) {
        let digest = hex(&Sha256::digest(text));
        match pinned.remove(path) {
            Some(pin) if pin == digest => {}
            Some(pin) => problems.push(format!(
                "{path}:1: its sha256 is {digest}, the pin is {pin}: restore the file, \
                     or take it anew from its source and pin that"
            )),
            None => problems.push(format!("{path}:1: not pinned: add it to {PINS} with sha256 {digest}")),
        }
    }
    problems.extend(pinned.keys().map(|path| format!("{PINS}:1: {path} does not exist: take its line out")));
    problems
}

/// A commit or a version that can only mean one thing.
fn is_exact_source(source: &str) -> bool {
    let Some((place, revision)) = source.rsplit_once('@') else { return false };
    if place.starts_with("crate:") {
        return revision.split('.').count() == 3
            && revision.split('.').all(|part| part.parse::<u64>().is_ok());
    }
    place.starts_with("https://") && revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn exact(tree: &Tree) -> Vec<String> {
    let must = |name: &str| {
        let of_family = |family: &str| name == family || name.starts_with(&format!("{family}-"));
        EXACT.iter().any(|family| of_family(family)) && !FREE.contains(&name)
    };
    let mut problems = Vec::new();
    for dependency in workspace(tree).values().filter(|dependency| must(&dependency.package)) {
        let version = dependency.version.as_deref().unwrap_or_default();
        let parts = version.strip_prefix('=').unwrap_or_default().split('.');
        if parts.clone().count() != 3 || !parts.clone().all(|part| part.parse::<u64>().is_ok()) {
            problems.push(format!(
                "Cargo.toml:{}: `{}` is asked for as `{version}`: security rests on it, write `=x.y.z`",
                dependency.line, dependency.package
            ));
        }
    }
    for package in packages(tree) {
        for dependency in package.dependencies.iter().filter(|found| must(&found.package) && !found.inherited)
        {
            problems.push(format!(
                "{}:{}: `{}` has a version of its own: write `{}.workspace = true`",
                package.path, dependency.line, dependency.package, dependency.package
            ));
        }
    }
    problems
}

#[test]
fn the_wit_of_others_is_what_was_pinned() {
    assert_none(&wit(&Tree::here()));
}

#[test]
fn crates_that_security_rests_on_have_exact_versions() {
    let here = Tree::here();
    assert_none(&exact(&here));
    // A family that nobody asks for any more would be a check of nothing.
    let asked: Vec<String> = workspace(&here).into_values().map(|dependency| dependency.package).collect();
    for family in EXACT {
        assert!(
            asked.iter().any(|name| name == family),
            "{family} is no longer asked for: take it off EXACT"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_leaving_a_pin_is_named() {
        let text = "package a:b@1.0.0;\n";
        let digest = hex(&Sha256::digest(text));
        let commit = "0".repeat(40);
        let pins = |source: &str, name: &str, file: &str, digest: &str| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nfolder = \"b\"\n\
                     source = \"{source}\"\nsha256.\"{file}\" = \"{digest}\"\n"
            )
        };
        let good = format!("https://example.org/b@{commit}");
        let found = |pins: &str| wit(&Tree::of(&[(PINS, pins), ("wit/deps/b/world.wit", text)])).join("\n");
        assert_eq!(found(&pins(&good, "a:b", "world.wit", &digest)), "");
        assert_eq!(found(&pins("crate:b@1.2.3", "a:b", "world.wit", &digest)), "");
        assert!(
            found(&pins("https://example.org/b@main", "a:b", "world.wit", &digest))
                .contains("name a repository")
        );
        assert!(found(&pins("crate:b@1.2", "a:b", "world.wit", &digest)).contains("name a repository"));
        assert!(found(&pins(&good, "a:c", "world.wit", &digest)).contains("correct name or version"));
        assert!(found(&pins(&good, "a:b", "world.wit", "00")).contains("the pin is 00"));
        let other = found(&pins(&good, "a:b", "other.wit", &digest));
        assert!(other.contains("not pinned") && other.contains("does not exist"), "{other}");
    }

    #[test]
    fn loose_and_private_versions_are_named() {
        let found = exact(&Tree::of(&[
            (
                "Cargo.toml",
                "[workspace.dependencies]\nblake3 = \"1\"\nsha2 = \"=1.2\"\n\
                 wasmtime-wasi = { version = \"=1.2.3\" }\ntokio-util = \"0.7\"\n",
            ),
            (
                "a/Cargo.toml",
                "[package]\nname = \"a\"\n[dependencies]\ntokio = \"=1.2.3\"\nblake3.workspace = true\n",
            ),
        ]));
        let places: Vec<_> =
            found.iter().map(|found| found.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(places, ["Cargo.toml:2: `blake3`", "Cargo.toml:3: `sha2`", "a/Cargo.toml:4: `tokio`"]);
    }
}
