//! What a platform has, held against what was built.

use crate::Shell;
use std::collections::BTreeMap;
use tollgate::deployment;
use tollgate_derive::record::Deriver;
use tollgate_derive::{Recipe, Source, Target};
use tollgate_trust::{Sha256, SigningKey};

/// A shell with a deployment in `dist` whose record `operator.key` has signed; `other.key` is somebody else's.
fn shell() -> Shell {
    let shell = Shell::new();
    shell.run("keygen --out operator.key").succeeds();
    shell.run("keygen --out other.key").succeeds();
    write(&shell, Some(&SigningKey::read(&shell.path("operator.key")).unwrap()));
    shell
}

fn write(shell: &Shell, key: Option<&SigningKey>) {
    let files = [("worker.js", "text"), ("app/core.wasm", "code"), ("gate/core.wasm", "gate")];
    let recipe = Recipe {
        deriver: Deriver { name: "tollgate-tests".into(), version: "1.0.0".into() },
        target: Target::Cloudflare,
        gas: None,
        options: BTreeMap::new(),
        sources: vec![Source::other("configuration", b"{}")],
    };
    let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    deployment::write(&shell.path("dist"), &recipe.made(files.into()).unwrap(), key).unwrap();
}

const VERIFY: &str = "verify --deployed dist --key operator.pub";

#[test]
fn what_was_built_and_signed_verifies_by_the_builders_key_and_no_other() {
    let shell = shell();
    let verified = shell.run(VERIFY).succeeds();
    assert!(verified.out.starts_with("verified dist: 3 files for cloudflare"), "{}", verified.out);
    let report = shell.run(&format!("{VERIFY} --json")).succeeds().json();
    assert_eq!((&report["ok"], &report["differences"]), (&true.into(), &serde_json::json!([])));
    shell.run(&format!("{VERIFY} --key other.pub")).succeeds();
    shell.run("verify --deployed dist --key other.pub").fails_with("0 of the keys have signed it");
    assert_eq!(shell.run("verify --deployed dist").code, 2, "whose signature is meant has to be said");
    assert_eq!(shell.run("verify web.wasm --deployed dist --key operator.pub").code, 2);
}

#[test]
fn a_file_that_is_missing_changed_or_too_much_is_named_with_its_digests() {
    let shell = shell();
    shell.write("dist/worker.js", b"text and more");
    shell.write("dist/app/extra.wasm", b"code");
    std::fs::remove_file(shell.path("dist/gate/core.wasm")).unwrap();
    let ran = shell.run(VERIFY);
    let digest = |text: &str| Sha256::of(text.as_bytes()).to_string();
    assert_eq!(ran.code, 1);
    for text in [
        "`worker.js` was changed",
        &digest("text"),
        &digest("text and more"),
        "`app/extra.wasm` is not in the record",
        &digest("code"),
        "`gate/core.wasm` is missing",
        &digest("gate"),
    ] {
        assert!(ran.err.contains(text), "no {text} in {}", ran.err);
    }
    let report = shell.run(&format!("{VERIFY} --json"));
    assert_eq!((report.code, &report.json()["ok"]), (1, &false.into()));
    assert_eq!(report.json()["differences"].as_array().unwrap().len(), 3);
}

#[test]
fn bytes_that_were_read_back_alone_are_held_against_their_part_of_the_record() {
    let shell = shell();
    shell.write("worker.js", b"text");
    let verify = |rest: &str| {
        shell.run(&format!("verify --key operator.pub --record dist/derivation.json --deployed {rest}"))
    };
    verify("worker.js").succeeds();
    shell.write("core.wasm", b"code");
    verify("core.wasm").fails_with("say which one it is with `--as`");
    verify("core.wasm --as app/core.wasm").succeeds();
    verify("core.wasm --as gate/core.wasm").fails_with("`gate/core.wasm` was changed");
    verify("core.wasm --as core.wasm").fails_with("the record has no file `core.wasm`");
}

#[test]
fn a_record_that_nobody_signed_or_that_is_not_the_signed_one_proves_nothing() {
    let shell = shell();
    let record = std::fs::read_to_string(shell.path("dist/derivation.json")).unwrap();
    shell.write("dist/derivation.json", record.replace("1.0.0", "1.0.1").as_bytes());
    shell.run(VERIFY).fails_with("`dist/derivation.json` was changed");
    write(&shell, None);
    shell.run(VERIFY).fails_with("is not signed");
}
