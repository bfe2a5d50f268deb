use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

// The example of the signed-note standard.
const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

#[test]
fn the_example_of_the_standard_verifies() {
    let key: VerifierKey = VKEY.parse().unwrap();
    assert_eq!(key.to_string(), VKEY);
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok("This is an example message.\n"));
}

#[test]
fn a_note_of_our_own_verifies_and_a_changed_one_does_not() {
    let signing = SigningKey::from_bytes(&[7; 32]);
    let key = VerifierKey::new("log.example/audit", signing.verifying_key().to_bytes()).unwrap();
    let text = "log.example/audit\n0\nroot\n";
    let note = assemble(text, &key, &signing.sign(text.as_bytes()).to_bytes());
    assert_eq!(Note::parse(note.as_bytes()).unwrap().verify(&key), Ok(text));
    for place in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let held = Note::parse(&bytes).is_ok_and(|n| n.verify(&key).is_ok());
            assert!(!held, "bit {bit} of byte {place} may be flipped");
        }
    }
}

#[test]
fn a_note_of_another_key_is_unsigned_and_other_keys_lines_are_ignored() {
    let one = SigningKey::from_bytes(&[1; 32]);
    let two = SigningKey::from_bytes(&[2; 32]);
    let key = |s: &SigningKey| VerifierKey::new("log.example", s.verifying_key().to_bytes()).unwrap();
    let mut note = assemble("text\n", &key(&one), &one.sign(b"text\n").to_bytes());
    assert_eq!(Note::parse(note.as_bytes()).unwrap().verify(&key(&two)), Err(NoteError::Unsigned(key(&two))));
    note.push_str("\u{2014} witness.example AAAAAAE=\n");
    assert_eq!(Note::parse(note.as_bytes()).unwrap().verify(&key(&one)), Ok("text\n"));
}

#[test]
fn what_is_no_verifier_key_is_refused() {
    for text in [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U",
    ] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    for note in [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n\n- a AAAAAAE=\n",
        "text\n\n\u{2014} a AAAAAAE=",
        "a\tb\n\n\u{2014} a AAAAAAE=\n",
    ] {
        assert!(Note::parse(note.as_bytes()).is_err(), "{note:?}");
    }
}
