use super::*;
use crate::envelope::EnvelopeSignature;
use crate::sign::{countersign, sign};
use crate::testing::{COMPONENT, acme, at, chain, entry, key, now, release, root};
use proptest::prelude::*;
use std::path::Path;

/// An envelope with a signature by each of the named keys.
fn signed(keys: &[&str]) -> Envelope {
    let mut envelope = sign(COMPONENT, release(), &key(keys[0])).unwrap();
    for name in &keys[1..] {
        countersign(&mut envelope, COMPONENT, &key(name)).unwrap();
    }
    envelope
}

/// Signs any payload at all, as only a broken or hostile signer would.
fn signed_payload(payload: &[u8], name: &str) -> Envelope {
    with_signatures(payload, [key(name).sign(&crate::envelope::pae(crate::envelope::PAYLOAD_TYPE, payload))])
}

fn with_signatures<S: AsRef<[u8]>>(payload: &[u8], signatures: impl IntoIterator<Item = S>) -> Envelope {
    let mut envelope = Envelope::unsigned(payload.to_vec());
    for sig in signatures {
        envelope.push(EnvelopeSignature { keyid: None, sig: sig.as_ref().to_vec() });
    }
    envelope
}

fn check(envelope: &Envelope, root: &TrustRoot) -> Result<Verified, Refused> {
    verify(COMPONENT, envelope, root, now())
}

fn names(verified: &Verified) -> Vec<&str> {
    verified.signers().iter().map(KeyName::as_str).collect()
}

#[test]
fn what_was_signed_by_a_trusted_key_is_handed_out() {
    let bytes = Bytes::from_static(COMPONENT);
    let envelope = Envelope::parse(signed(&["one"]).to_json().as_bytes()).unwrap();
    let verified = verify(bytes.clone(), &envelope, &acme(&["one"], 1), now()).unwrap();
    assert_eq!(verified.bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(names(&verified), ["one"]);
    assert_eq!(verified.release(), &release());
    assert_eq!(verified.sha256(), Sha256::of(COMPONENT));
    assert_eq!(verified.blake3(), Blake3::of(COMPONENT));
    assert!(!format!("{verified:?}").contains("not much of a component"));
}

#[test]
fn a_threshold_counts_different_keys() {
    let root = acme(&["one", "two", "three"], 2);
    assert_eq!(names(&check(&signed(&["two", "one"]), &root).unwrap()), ["one", "two"]);
    let once = signed(&["one"]);
    let sig = &once.signatures()[0].sig;
    let twice = with_signatures(once.payload(), [sig, sig]);
    let refused = check(&twice, &root).unwrap_err();
    assert!(matches!(refused, Refused::BelowThreshold { have: 1, need: 2, .. }), "{refused:?}");
    // Signatures by keys that the rule does not name, or that nobody knows, count for nothing.
    let root = self::root(
        &["one", "two", "other"],
        "[[packages]]\npattern = \"acme:web\"\nkeys = [\"one\", \"two\"]\nthreshold = 2\n",
    );
    let refused = check(&signed(&["one", "other", "stranger"]), &root).unwrap_err();
    assert!(matches!(refused, Refused::BelowThreshold { have: 1, need: 2, .. }), "{refused:?}");
    assert_eq!(names(&check(&signed(&["stranger", "two", "other", "one"]), &root).unwrap()), ["one", "two"]);
}

#[test]
fn a_keyid_neither_helps_nor_harms() {
    let root = acme(&["one"], 1);
    let with_keyid = |envelope: &Envelope, keyid: Option<String>| {
        let mut copy = Envelope::unsigned(envelope.payload().to_vec());
        copy.push(EnvelopeSignature { keyid, sig: envelope.signatures()[0].sig.clone() });
        copy
    };
    let one = key("one").public().id().to_string();
    let other = key("other").public().id().to_string();
    assert!(check(&with_keyid(&signed(&["one"]), None), &root).is_ok());
    assert!(check(&with_keyid(&signed(&["one"]), Some(other)), &root).is_ok());
    assert!(check(&with_keyid(&signed(&["other"]), Some(one)), &root).is_err());
}

#[test]
fn a_payload_is_not_read_before_its_signature_was_checked() {
    let root = acme(&["one"], 1);
    assert_eq!(check(&signed_payload(b"garbage", "other"), &root).unwrap_err().code(), "untrusted-signer");
    assert_eq!(check(&signed_payload(b"garbage", "one"), &root).unwrap_err().code(), "malformed-signature");
}

#[test]
fn a_signature_over_the_bare_payload_is_none() {
    let envelope = signed(&["one"]);
    let bare = with_signatures(envelope.payload(), [key("one").sign(envelope.payload())]);
    assert_eq!(check(&bare, &acme(&["one"], 1)).unwrap_err().code(), "untrusted-signer");
}

#[test]
fn a_blake3_that_is_stated_must_match_too() {
    let release = release();
    let (sha256, blake3) = (Sha256::of(COMPONENT), Some(Blake3::of(b"other")));
    let payload = Statement { release, sha256, blake3 }.to_json().unwrap();
    let refused = check(&signed_payload(&payload, "one"), &acme(&["one"], 1)).unwrap_err();
    assert!(
        matches!(&refused, Refused::Changed { mismatch, .. } if mismatch.algorithm == "blake3"),
        "{refused:?}"
    );
}

#[test]
fn a_key_counts_only_while_it_is_valid() {
    let limited = |start: &str, end: &str| {
        let text = format!(
            "{}not-before = {start}\nnot-after = {end}\n{}[[packages]]\npattern = \"acme:*\"\nkeys = [\"one\", \"two\"]\nthreshold = 1\n",
            entry("one", &key("one").public()),
            entry("two", &key("two").public())
        );
        TrustRoot::parse(&text, Path::new("trust.toml")).unwrap()
    };
    let current = limited("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z");
    assert!(check(&signed(&["one"]), &current).is_ok());
    for root in [
        limited("2026-01-01T00:00:00Z", "2026-11-21T09:59:59Z"),
        limited("2026-11-21T10:00:01Z", "2027-01-01T00:00:00Z"),
    ] {
        let refused = check(&signed(&["one"]), &root).unwrap_err();
        assert!(matches!(&refused, Refused::OutsideValidity { what: Limited::Key(_), .. }), "{refused:?}");
        assert_eq!(names(&check(&signed(&["one", "two"]), &root).unwrap()), ["two"]);
    }
}

#[test]
fn each_refusal_says_what_to_do() {
    let envelope = signed(&["one"]);
    let message = |envelope: &Envelope, root: &TrustRoot, now: &str| {
        chain(&verify(COMPONENT, envelope, root, at(now)).unwrap_err())
    };
    let now = "2026-11-21T10:00:00Z";
    let acme_one = acme(&["one"], 1);
    assert_eq!(
        message(&signed(&["other", "stranger"]), &acme_one, now),
        "none of its 2 signatures matches a key of the trust file: its signer is not trusted, or the envelope was changed; add the signer's public key to the trust file, or sign again with a key that is in it"
    );
    assert_eq!(
        message(&envelope, &root(&["one"], ""), now),
        "package `acme:web` is signed by `one`, which may not sign it: add a `[[packages]]` entry for `acme:web` or `acme:*` to the trust file"
    );
    let others = "[[packages]]\npattern = \"acme:*\"\nkeys = [\"two\", \"three\"]\nthreshold = 1\n";
    assert_eq!(
        message(&envelope, &root(&["one", "two", "three"], others), now),
        "package `acme:web` is signed by `one`, which may not sign it: have it signed by `two`, `three`, or list the key for this package in the trust file"
    );
    assert_eq!(
        message(&envelope, &acme(&["one", "two", "three"], 2), now),
        "package `acme:web` needs signatures by 2 different keys and has 1 (`one`): add one by `two`, `three` with `tollgate sign`"
    );
    let release = "release `acme:web@1.2.3` is valid from 2026-01-01T00:00:00Z until 2026-12-31T23:59:59Z";
    for time in ["2025-12-31T23:59:59Z", "2027-01-01T00:00:00Z"] {
        assert_eq!(
            message(&envelope, &acme_one, time),
            format!(
                "{release}, and now is {time}: sign it again for a time that includes now, or correct the clock"
            )
        );
    }
    let old_key = format!("{}not-after = 2026-06-30T00:00:00Z\n", entry("one", &key("one").public()));
    let rule = "[[packages]]\npattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = 1\n";
    let old = TrustRoot::parse(&format!("{old_key}{rule}"), Path::new("trust.toml")).unwrap();
    assert_eq!(
        message(&envelope, &old, now),
        "key `one` is valid until 2026-06-30T00:00:00Z, and now is 2026-11-21T10:00:00Z: sign with a key that is valid now, or correct the clock or the trust file"
    );
    assert_eq!(
        chain(&verify(b"changed".as_slice(), &envelope, &acme_one, at(now)).unwrap_err()),
        format!(
            "the file was changed after it was signed: `acme:web@1.2.3` was signed with sha256 `{}`, and the file has `{}`; put the signed file back, or sign this one",
            Sha256::of(COMPONENT),
            Sha256::of(b"changed")
        )
    );
    assert_eq!(
        message(&signed_payload(b"{}", "one"), &acme_one, now),
        "its signature cannot be read: sign it again with `tollgate sign`: statement is not well-formed: missing field `_type` at line 1 column 2"
    );
}

/// Every single bit of the component, of the payload and of the signature.
#[test]
fn one_flipped_bit_anywhere_is_refused() {
    let root = acme(&["one"], 1);
    let envelope = signed(&["one"]);
    let (payload, sig) = (envelope.payload(), &envelope.signatures()[0].sig);
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in 0..COMPONENT.len() * 8 {
        let refused = verify(flipped(COMPONENT, bit), &envelope, &root, now()).unwrap_err();
        assert_eq!(refused.code(), "changed-after-signing");
    }
    for bit in 0..payload.len() * 8 {
        let refused = check(&with_signatures(&flipped(payload, bit), [sig]), &root).unwrap_err();
        assert_eq!(refused.code(), "untrusted-signer");
    }
    for bit in 0..sig.len() * 8 {
        let refused = check(&with_signatures(payload, [flipped(sig, bit)]), &root).unwrap_err();
        assert_eq!(refused.code(), "untrusted-signer");
    }
}

proptest! {
    #[test]
    fn any_component_is_verified_as_signed_and_refused_when_a_byte_differs(
        component in prop::collection::vec(any::<u8>(), 1..2000), index: prop::sample::Index, flip in 1_u8..,
    ) {
        let envelope = sign(&component, release(), &key("one")).unwrap();
        let root = acme(&["one"], 1);
        prop_assert!(verify(component.clone(), &envelope, &root, now()).is_ok());
        let mut changed = component.clone();
        changed[index.index(component.len())] ^= flip;
        prop_assert!(verify(changed, &envelope, &root, now()).is_err());
        let mut longer = component;
        longer.push(flip);
        prop_assert!(verify(longer, &envelope, &root, now()).is_err());
    }

    /// Damage may leave an envelope good (a space, an unknown field), and never lets another statement in.
    #[test]
    fn a_damaged_envelope_is_refused_or_says_the_same(
        index: prop::sample::Index, cut in 0_usize..4, put in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let original = signed(&["one"]);
        let mut json = original.to_json().into_bytes();
        let start = index.index(json.len());
        let end = (start + cut).min(json.len());
        json.splice(start..end, put);
        if let Ok(envelope) = Envelope::parse(&json)
            && check(&envelope, &acme(&["one"], 1)).is_ok()
        {
            prop_assert_eq!(envelope.payload(), original.payload());
            prop_assert_eq!(&envelope.signatures()[0].sig, &original.signatures()[0].sig);
        }
    }
}
