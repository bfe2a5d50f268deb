use super::*;
use crate::sign::sign;
use crate::testing::{COMPONENT, key, release};
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

fn message(envelope: serde_json::Value) -> String {
    Envelope::parse(envelope.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_published_pre_authentication_encoding_is_reproduced() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
}

#[test]
fn both_alphabets_are_read_with_and_without_padding() {
    // Bytes that need `+` and `/`, and padding, in base64.
    let (payload, sig) = (b"\xfb\xff\xbe\xfb".as_slice(), b"\xff\xef\xfe\xff\x01".as_slice());
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        let json = json!({
            "payload": engine.encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": engine.encode(sig) }],
        });
        let envelope = Envelope::parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(envelope.payload(), payload);
        assert_eq!(envelope.signatures(), [EnvelopeSignature { keyid: None, sig: sig.to_vec() }]);
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let json = json!({
        "payload": "", "payloadType": PAYLOAD_TYPE, "later": [1, {}],
        "signatures": [{ "sig": "", "keyid": "k", "cert": null }],
    });
    assert!(Envelope::parse(json.to_string().as_bytes()).is_ok());
}

#[test]
fn what_is_no_envelope_is_refused_with_a_message() {
    let signature = json!({ "sig": "AA==" });
    let with = |key: &str, value: serde_json::Value| {
        let mut envelope =
            json!({ "payload": "", "payloadType": PAYLOAD_TYPE, "signatures": [signature.clone()] });
        envelope[key] = value;
        message(envelope)
    };
    assert_eq!(
        with("payloadType", json!("text/plain")),
        "envelope has `payloadType` `text/plain`, and only `application/vnd.in-toto+json` is understood"
    );
    assert_eq!(with("signatures", json!([])), "envelope holds 0 signatures, and it must hold 1 to 16");
    assert_eq!(
        with("signatures", json!(vec![signature.clone(); 17])),
        "envelope holds 17 signatures, and it must hold 1 to 16"
    );
    assert_eq!(with("payload", json!("a b")), "envelope has a `payload` that is not base64");
    assert_eq!(with("payload", json!("-_+/")), "envelope has a `payload` that is not base64");
    // The last bits of the last character belong to no byte, and so must be zero.
    assert_eq!(with("signatures", json!([{ "sig": "AB==" }])), "envelope has a `sig` that is not base64");
    for wrong in [json!(null), json!(1), json!({}), json!("x"), json!([null]), json!([["AA=="]]), json!([{}])]
    {
        let message = with("signatures", wrong);
        assert!(message.starts_with("envelope is not well-formed: "), "{message}");
    }
    assert!(with("signatures", json!([{ "sig": "AA==", "keyid": null }])).contains("invalid type: null"));
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let json = format!(
        r#"{{"payload":"","payload":"AA==","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"sig":""}}]}}"#
    );
    let message = Envelope::parse(json.as_bytes()).unwrap_err().to_string();
    assert!(message.starts_with("envelope is not well-formed: duplicate field `payload`"), "{message}");
}

#[test]
fn an_envelope_that_is_too_large_is_not_even_read() {
    let spaces = vec![b' '; MAX_ENVELOPE_BYTES + 1];
    assert_eq!(Envelope::parse(&spaces), Err(EnvelopeError::TooLarge));
    let nested = vec![b'['; MAX_ENVELOPE_BYTES];
    assert!(matches!(Envelope::parse(&nested), Err(EnvelopeError::Json { .. })));
    let mut deep = br#"{"later":"#.to_vec();
    deep.resize(MAX_ENVELOPE_BYTES, b'[');
    assert!(matches!(Envelope::parse(&deep), Err(EnvelopeError::Json { .. })));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(payload: Vec<u8>, sigs in prop::collection::vec((any::<Option<String>>(), any::<Vec<u8>>()), 1..=16)) {
        let mut envelope = Envelope::unsigned(payload);
        for (keyid, sig) in sigs {
            envelope.push(EnvelopeSignature { keyid, sig });
        }
        prop_assert_eq!(Envelope::parse(envelope.to_json().as_bytes()), Ok(envelope));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn no_damage_to_an_envelope_makes_the_parser_panic(at: prop::sample::Index, cut in 0_usize..8, put in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut json = sign(COMPONENT, release(), &key("one")).unwrap().to_json().into_bytes();
        let start = at.index(json.len());
        let end = (start + cut).min(json.len());
        json.splice(start..end, put);
        let _ = Envelope::parse(&json);
    }
}
