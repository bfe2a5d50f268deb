use super::*;
use crate::key::{PublicKey, SigningKey};
use crate::sign::{countersign, sign};
use std::path::Path;

pub(super) fn key(seed: u8) -> SigningKey {
    let seed = format!("{:-<32}", seed);
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend_from_slice(&seed.as_bytes()[..32]);
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    SigningKey::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
        .unwrap()
}

fn release() -> Release {
    Release {
        package: "acme:web".parse().unwrap(),
        version: "1.2.3".parse().unwrap(),
        world: "wasi:http/service@0.3.0".into(),
        imports: vec!["wasi:http/types@0.3.0".into(), "wasi:clocks/types@0.3.0".into()],
        not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
        not_after: Some("2026-12-31T23:59:59Z".parse().unwrap()),
        sequence: 7,
        supersedes: None,
    }
}

fn root(keys: &[(&str, &PublicKey)], rule: &str) -> TrustRoot {
    let keys: String =
        keys.iter().map(|(name, key)| crate::root::key_entry(&name.parse().unwrap(), key)).collect();
    TrustRoot::parse(&format!("{keys}[[packages]]\n{rule}"), Path::new("trust.toml")).unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

#[test]
fn what_was_signed_by_a_trusted_key_is_handed_out() {
    let one = key(1);
    let envelope = sign(b"component", release(), &one).unwrap();
    let envelope = Envelope::parse(envelope.to_json().as_bytes()).unwrap();
    let root = root(&[("one", &one.public())], "pattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = 1\n");
    let verified = verify(b"component".to_vec(), &envelope, &root, now()).unwrap();
    assert_eq!(&verified.bytes()[..], b"component");
    assert_eq!(verified.signers().iter().map(KeyName::as_str).collect::<Vec<_>>(), ["one"]);
    assert_eq!(verified.release().imports, ["wasi:clocks/types@0.3.0", "wasi:http/types@0.3.0"]);
    assert_eq!(verified.sha256(), Sha256::of(b"component"));
}
