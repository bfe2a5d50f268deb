//! What the tests of this crate share.

use std::path::Path;

use jiff::Timestamp;

use crate::key::{PublicKey, SigningKey};
use crate::root::{TrustRoot, key_entry};
use crate::statement::Release;

pub(crate) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0 not much of a component";

/// A key that is the same in each run; `name` also sets it apart from the others.
pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(crate::Sha256::of(name.as_bytes()).as_bytes())
}

pub(crate) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// A time at which everything here is valid.
pub(crate) fn now() -> Timestamp {
    at("2026-11-21T10:00:00Z")
}

pub(crate) fn release() -> Release {
    Release {
        package: "acme:web".parse().unwrap(),
        version: "1.2.3".parse().unwrap(),
        world: "wasi:http/service@0.3.0".into(),
        imports: vec!["wasi:clocks/types@0.3.0".into(), "wasi:http/types@0.3.0".into()],
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: Some(at("2026-12-31T23:59:59Z")),
        sequence: 7,
        supersedes: None,
    }
}

/// A trust file with the named keys and the rest of its text.
pub(crate) fn root(keys: &[&str], rest: &str) -> TrustRoot {
    let keys: String = keys.iter().map(|name| entry(name, &key(name).public())).collect();
    TrustRoot::parse(&format!("{keys}{rest}"), Path::new("trust.toml")).unwrap()
}

/// A trust file in which `acme:*` needs `threshold` of the named keys.
pub(crate) fn acme(keys: &[&str], threshold: usize) -> TrustRoot {
    root(keys, &format!("[[packages]]\npattern = \"acme:*\"\nkeys = {keys:?}\nthreshold = {threshold}\n"))
}

pub(crate) fn entry(name: &str, key: &PublicKey) -> String {
    key_entry(&name.parse().unwrap(), key)
}

/// An error as an operator sees it: with its sources.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Runs OpenSSL in a directory and gives what it printed; fails the test when OpenSSL fails.
pub(crate) fn openssl(dir: &Path, arguments: &str) -> Vec<u8> {
    let output = std::process::Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("the tests need the `openssl` command");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
