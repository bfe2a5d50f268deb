//! A bundle that its builder has signed, held against what a platform has.

use std::path::Path;
use std::process::{Command, Output};
use testkit::{Case, binary};
use tollgate_trust::SigningKey;

fn tollgate(site: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).current_dir(site).args(arguments).output().expect("the host's binary")
}

#[test]
fn a_signed_bundle_verifies_until_a_byte_of_it_is_another() {
    let site = Case::guest("hello").keys("origin = \"https://origin.example\"").write();
    assert!(site.build().status.success());
    let at = site.path();
    SigningKey::read(&at.join("log.key")).unwrap().public().write_new(&at.join("log.pub")).unwrap();
    let build = ["build", "--target", "fastly", "--name", "edge", "--out", "signed", "--key", "log.key"];
    let built = tollgate(at, &build);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for file in ["bin/main.wasm", "fastly.toml", "derivation.json"] {
        let [unsigned, signed] =
            ["dist", "signed"].map(|folder| std::fs::read(at.join(folder).join("edge").join(file)).unwrap());
        assert!(unsigned == signed, "a signature changes nothing of {file}");
    }
    let verify = |what: &str| {
        let record = ["--record", "signed/edge/derivation.json"];
        tollgate(at, &[&["verify", "--key", "log.pub", "--deployed", what][..], &record[..]].concat())
    };
    let told = verify("signed/edge");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        text.contains("2 files for fastly") && text.contains("tenants.acme.apps.web (test:guest@"),
        "{text}"
    );

    let mut main = std::fs::read(at.join("signed/edge/bin/main.wasm")).unwrap();
    std::fs::write(at.join("main.wasm"), &main).unwrap();
    assert!(verify("main.wasm").status.success(), "read back alone");
    let last = main.len() - 1;
    main[last] ^= 1;
    for (there, what) in [("main.wasm", "main.wasm"), ("signed/edge/bin/main.wasm", "signed/edge")] {
        std::fs::write(at.join(there), &main).unwrap();
        let told = verify(what);
        assert_eq!(told.status.code(), Some(1));
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(text.contains("`bin/main.wasm` was changed"), "{text}");
    }
}
