//! The lock file, and the features that it leads to.

use crate::tree::{assert_none, listed, root};
use serde_json::Value;
use std::process::Command;

/// Features that must be on nowhere, of the packages with that name, and why.
const FORBIDDEN: [(&str, &str, &str); 1] =
    [("ed25519-dalek", "legacy_compatibility", "it accepts signatures that strict verification refuses")];

fn problems(metadata: &Value) -> Vec<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("`cargo metadata` gives a graph");
    let mut problems = Vec::new();
    for node in nodes {
        let id = node["id"].as_str().unwrap_or_default();
        for (package, feature, reason) in FORBIDDEN {
            let is_it = name(metadata, id) == Some(package);
            let has = node["features"].as_array().is_some_and(|list| list.iter().any(|on| on == feature));
            if is_it && has {
                problems.push(format!(
                    "Cargo.lock:1: {id} is built with `{feature}`: {reason}; \
                     `cargo tree -e features -i {package}` shows who turns it on"
                ));
            }
        }
    }
    problems
}

fn name<'a>(metadata: &'a Value, id: &str) -> Option<&'a str> {
    let packages = metadata["packages"].as_array()?;
    packages.iter().find(|package| package["id"] == id)?["name"].as_str()
}

#[test]
fn the_lock_file_is_tracked_and_no_forbidden_feature_is_on() {
    assert!(listed(&root(), &["--cached"]).contains("Cargo.lock"), "Cargo.lock:1: not tracked: `git add` it");
    // Locked: cargo may not change the lock file. First offline, so that no test waits for a registry; then not, because
    // a crate that nothing was built with yet may not have been fetched. For this platform: others' are not fetched.
    let metadata = |options: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(root()).args(["metadata", "--format-version", "1", "--all-features", "--locked"]);
        let output = command.args(["--filter-platform", &host()]).args(options).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(said) }
    };
    // A crate that no test is built with may not have been fetched; then cargo fetches it.
    let found = metadata(&["--offline"]).or_else(|_| metadata(&[]));
    let found = found.unwrap_or_else(|said| panic!("Cargo.lock:1: `cargo metadata --locked` failed: {said}"));
    let found: Value = serde_json::from_slice(&found).expect("`cargo metadata` gives JSON");
    for (package, _, _) in FORBIDDEN {
        let packages = found["packages"].as_array().expect("`cargo metadata` gives packages");
        assert!(
            packages.iter().any(|found| found["name"] == package),
            "{package} is gone: take it off FORBIDDEN"
        );
    }
    assert_none(&problems(&found));
}

/// The platform of the compiler.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

#[test]
fn a_forbidden_feature_is_named_for_its_package_only() {
    let metadata = serde_json::json!({
        "packages": [{ "id": "a#1", "name": "ed25519-dalek" }, { "id": "b#1", "name": "other" }],
        "resolve": { "nodes": [
            { "id": "a#1", "features": ["zeroize", "legacy_compatibility"] },
            { "id": "b#1", "features": ["legacy_compatibility"] },
        ]},
    });
    let found = problems(&metadata);
    assert!(found.len() == 1 && found[0].starts_with("Cargo.lock:1: a#1 "), "{found:?}");
}
