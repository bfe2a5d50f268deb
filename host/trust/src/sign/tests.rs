use super::*;
use crate::testing::{COMPONENT, chain, key, openssl, release};
use std::fs;

#[test]
fn signing_twice_gives_the_same_envelope() {
    let first = sign(COMPONENT, release(), &key("one")).unwrap();
    assert_eq!(first.to_json(), sign(COMPONENT, release(), &key("one")).unwrap().to_json());
    let mut shuffled = release();
    shuffled.imports = vec![
        "wasi:http/types@0.3.0".into(),
        "wasi:clocks/types@0.3.0".into(),
        "wasi:http/types@0.3.0".into(),
    ];
    assert_eq!(first, sign(COMPONENT, shuffled, &key("one")).unwrap());
}

#[test]
fn openssl_verifies_our_signatures_without_us() {
    let dir = tempfile::tempdir().unwrap();
    let mut envelope = sign(COMPONENT, release(), &key("one")).unwrap();
    countersign(&mut envelope, COMPONENT, &key("two")).unwrap();
    fs::write(dir.path().join("pae.bin"), envelope.pae()).unwrap();
    for (name, signature) in ["one", "two"].iter().zip(envelope.signatures()) {
        assert_eq!(signature.keyid.as_deref(), Some(key(name).public().id().to_string().as_str()));
        fs::write(dir.path().join("pub.pem"), key(name).public().to_pem()).unwrap();
        fs::write(dir.path().join("sig.bin"), &signature.sig).unwrap();
        openssl(dir.path(), "pkeyutl -verify -pubin -inkey pub.pem -rawin -in pae.bin -sigfile sig.bin");
    }
}

#[test]
fn a_signature_by_openssl_is_the_one_that_we_would_make() {
    let dir = tempfile::tempdir().unwrap();
    let envelope = sign(COMPONENT, release(), &key("one")).unwrap();
    fs::write(dir.path().join("pae.bin"), envelope.pae()).unwrap();
    key("one").write_new(&dir.path().join("key.pem")).unwrap();
    openssl(dir.path(), "pkeyutl -sign -inkey key.pem -rawin -in pae.bin -out sig.bin");
    assert_eq!(fs::read(dir.path().join("sig.bin")).unwrap(), envelope.signatures()[0].sig);
}

#[test]
fn a_second_signer_signs_only_the_component_at_hand_and_only_once() {
    let mut envelope = sign(COMPONENT, release(), &key("one")).unwrap();
    let before = envelope.clone();
    assert_eq!(
        chain(&countersign(&mut envelope, b"other", &key("two")).unwrap_err()),
        format!(
            "the envelope is for sha256 `{}` and this component has `{}`: name the component that the envelope was made for",
            Sha256::of(COMPONENT),
            Sha256::of(b"other")
        )
    );
    assert_eq!(
        chain(&countersign(&mut envelope, COMPONENT, &key("one")).unwrap_err()),
        format!("key `{}` has signed this envelope already: sign with another key", key("one").public().id())
    );
    assert_eq!(envelope, before);
    for other in 1..MAX_SIGNATURES {
        countersign(&mut envelope, COMPONENT, &key(&other.to_string())).unwrap();
    }
    assert_eq!(
        chain(&countersign(&mut envelope, COMPONENT, &key("last")).unwrap_err()),
        "the envelope holds 16 signatures already, and a verifier reads no more"
    );
    assert_eq!(envelope.statement_sha256(), before.statement_sha256());
}

#[test]
fn a_release_that_no_verifier_would_take_is_not_signed() {
    let mut release = release();
    release.world = "two\nlines".into();
    assert_eq!(
        chain(&sign(COMPONENT, release, &key("one")).unwrap_err()),
        "there is nothing that can be signed: statement has `world` `two\\nlines`, and it must be a name of 1 to 256 printable ASCII characters"
    );
}

#[test]
fn the_largest_release_fits_an_envelope() {
    let mut release = release();
    let name = |n: usize| format!("{n:\"<256}");
    release.imports = (1000..1000 + crate::statement::MAX_IMPORTS).map(name).collect();
    let mut envelope = sign(COMPONENT, release, &key("one")).unwrap();
    for other in 1..MAX_SIGNATURES {
        countersign(&mut envelope, COMPONENT, &key(&other.to_string())).unwrap();
    }
    assert_eq!(Envelope::parse(envelope.to_json().as_bytes()), Ok(envelope));
}
