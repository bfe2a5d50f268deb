//! Envelopes, statements, trust files and keys: no text breaks their readers, and nothing but what was signed verifies.

use crate::input::Input;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::path::Path;
use std::sync::OnceLock;
use tollgate_trust::envelope::Envelope;
use tollgate_trust::root::key_entry;
use tollgate_trust::statement::Statement;
use tollgate_trust::{
    Blake3, KeyName, PackageName, PublicKey, Release, Sha256, SigningKey, TrustRoot, sign, verify,
};

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0 not much of a component";

/// Reads the input as each of them, and then as directions to change a good envelope.
pub fn run(data: &[u8]) {
    read(data);
    change(data);
}

fn read(data: &[u8]) {
    if let Ok(envelope) = Envelope::parse(data) {
        assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).as_ref(), Ok(&envelope));
        let verified = verify(COMPONENT, &envelope, &good().root, good().now);
        assert!(verified.is_err() || envelope.payload() == good().payload());
    }
    if let Ok(statement) = Statement::parse(data) {
        let json = statement.to_json().expect("what was read can be written");
        assert_eq!(Statement::parse(&json), Ok(statement));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(root) = TrustRoot::parse(text, Path::new("trust.toml")) {
        for rule in root.rules() {
            assert!((1..=rule.keys.len()).contains(&rule.threshold), "{rule:?}");
            assert!(rule.keys.iter().all(|name| root.keys().iter().any(|key| key.name == *name)), "{rule:?}");
        }
        let verified = verify(COMPONENT, &good().envelope, &root, good().now);
        assert!(verified.is_err() || root.keys().iter().any(|key| key.key == good().key.public()));
    }
    if let Ok(key) = PublicKey::from_pem(text) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key.clone()));
        // Somebody's, but not one that signed this.
        let message = good().envelope.pae();
        let sig = &good().envelope.signatures()[0].sig;
        assert!(!key.verifies(&message, sig) || key == good().key.public());
    }
    if let Ok(key) = SigningKey::from_pem(text) {
        assert_eq!(SigningKey::from_pem(&key.to_pem()).unwrap().public(), key.public());
    }
    for written in text.lines().take(8) {
        same::<PackageName>(written);
        same::<KeyName>(written);
        same::<Sha256>(written);
        same::<Blake3>(written);
    }
}

/// What reads must be written the way it was read: one name, one spelling.
fn same<T: std::str::FromStr + std::fmt::Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}

/// A release that is signed as it should be.
struct Good {
    key: SigningKey,
    root: TrustRoot,
    envelope: Envelope,
    now: jiff::Timestamp,
}

impl Good {
    fn payload(&self) -> &[u8] {
        self.envelope.payload()
    }
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        // PKCS#8 of a fixed seed: the same key in each run, so that a reproducer is one.
        let der = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &[7; 32]]
            .concat();
        let kind = "PRIVATE KEY";
        let pem = format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", BASE64_STANDARD.encode(der));
        let key = SigningKey::from_pem(&pem).unwrap();
        let entry = key_entry(&"acme".parse().unwrap(), &key.public());
        let rule = "[[packages]]\npattern = \"acme:*\"\nkeys = [\"acme\"]\nthreshold = 1\n";
        let root = TrustRoot::parse(&(entry + rule), Path::new("trust.toml")).unwrap();
        let release = Release {
            package: "acme:web".parse().unwrap(),
            version: "1.2.3".parse().unwrap(),
            world: "wasi:http/service@0.3.0".into(),
            imports: vec!["wasi:http/types@0.3.0".into()],
            not_before: jiff::Timestamp::UNIX_EPOCH,
            not_after: None,
            sequence: 7,
            supersedes: None,
        };
        let envelope = sign(COMPONENT, release, &key).unwrap();
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        verify(COMPONENT, &envelope, &root, now).expect("what is signed verifies");
        Good { key, root, envelope, now }
    })
}

/// Changes the payload, the signature, the component or the envelope's JSON; then nothing verifies but the release
/// that was signed.
fn change(data: &[u8]) {
    let Good { root, envelope, now, .. } = good();
    let mut input = Input::new(data);
    let mut payload = envelope.payload().to_vec();
    let mut sig = envelope.signatures()[0].sig.clone();
    let mut component = COMPONENT.to_vec();
    let mut json = envelope.to_json().into_bytes();
    let which = input.byte() % 4;
    let target = match which {
        0 => &mut payload,
        1 => &mut sig,
        2 => &mut component,
        _ => &mut json,
    };
    edit(target, &mut input);
    if which < 2 {
        let (payload, sig) = (BASE64_STANDARD.encode(&payload), BASE64_STANDARD.encode(&sig));
        json = format!(
            "{{\"payload\":\"{payload}\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":[{{\"sig\":\"{sig}\"}}]}}"
        )
        .into_bytes();
    }
    let Ok(read) = Envelope::parse(&json) else { return };
    if let Ok(verified) = verify(component.clone(), &read, root, *now) {
        // Spaces, hints and fields of others may be added to an envelope; what was signed is as it was.
        assert_eq!(read.payload(), envelope.payload());
        assert!(read.signatures().iter().any(|signature| signature.sig == envelope.signatures()[0].sig));
        assert_eq!(&verified.bytes()[..], COMPONENT);
    }
}

fn edit(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    while !input.is_empty() {
        let at = input.below(bytes.len() + 1);
        match input.byte() % 4 {
            0 => bytes.truncate(at),
            1 => {
                let length = input.below(32);
                let more = input.bytes(length);
                bytes.splice(at..at, more.iter().copied());
            }
            _ => {
                let other = input.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= other;
                }
            }
        }
    }
}
