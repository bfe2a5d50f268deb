use super::*;
use crate::testing::{COMPONENT, at, release};
use proptest::prelude::*;
use serde_json::{Value, json};

fn statement() -> Statement {
    Statement { release: release(), sha256: Sha256::of(COMPONENT), blake3: Some(Blake3::of(COMPONENT)) }
}

fn value() -> Value {
    serde_json::from_slice(&statement().to_json().unwrap()).unwrap()
}

/// The message for the statement with `value` at `pointer`; the last step may be new.
fn message(pointer: &str, new: Value) -> String {
    let mut statement = value();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    statement.pointer_mut(parent).unwrap()[key] = new;
    Statement::parse(statement.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_statement_is_written_in_the_published_form() {
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": "acme:web@1.2.3",
            "digest": {
                "sha256": Sha256::of(COMPONENT).to_string(),
                "blake3": Blake3::of(COMPONENT).to_string(),
            },
        }],
        "predicateType": "https://tollgate.dev/attestations/component-release/v1",
        "predicate": {
            "package": "acme:web",
            "version": "1.2.3",
            "world": "wasi:http/service@0.3.0",
            "imports": ["wasi:clocks/types@0.3.0", "wasi:http/types@0.3.0"],
            "notBefore": "2026-01-01T00:00:00Z",
            "notAfter": "2026-12-31T23:59:59Z",
            "sequence": 7,
        },
    });
    assert_eq!(value(), expected);
}

#[test]
fn fields_and_digests_of_a_later_release_of_ours_are_ignored() {
    let mut later = value();
    later["later"] = json!({ "a": 1 });
    later["predicate"]["minHostAbi"] = json!(3);
    later["subject"][0]["digest"]["sha512"] = json!("whatever");
    later["subject"][0]["uri"] = json!("oci://");
    assert_eq!(Statement::parse(later.to_string().as_bytes()), Ok(statement()));
}

#[test]
fn blake3_may_be_absent() {
    let mut without = statement();
    without.blake3 = None;
    let json = without.to_json().unwrap();
    assert!(!String::from_utf8_lossy(&json).contains("blake3"));
    assert_eq!(Statement::parse(&json), Ok(without));
}

#[test]
fn a_statement_of_another_kind_is_refused() {
    assert_eq!(
        message("/_type", json!("https://in-toto.io/Statement/v0.1")),
        "statement has `_type` `https://in-toto.io/Statement/v0.1`, and only `https://in-toto.io/Statement/v1` is understood"
    );
    assert_eq!(
        message("/predicateType", json!("https://slsa.dev/provenance/v1")),
        "statement has `predicateType` `https://slsa.dev/provenance/v1`, and only `https://tollgate.dev/attestations/component-release/v1` is understood"
    );
}

#[test]
fn the_subject_must_be_the_release_that_the_predicate_describes() {
    let tail = "and it must have one subject, `acme:web@1.2.3`, as its predicate says";
    let subject = value()["subject"][0].clone();
    assert_eq!(message("/subject", json!([])), format!("statement has 0 subjects, {tail}"));
    assert_eq!(message("/subject", json!([subject, subject])), format!("statement has 2 subjects, {tail}"));
    let mut other = subject.clone();
    other["name"] = json!("acme:web@1.2.4");
    assert_eq!(
        message("/subject", json!([other])),
        format!("statement has the subject `acme:web@1.2.4`, {tail}")
    );
}

#[test]
fn each_field_says_what_it_must_hold() {
    let cases = [
        ("package", json!("web"), "`web`, and it must be `namespace:name` in lower-case kebab-case"),
        ("version", json!("1.2"), "`1.2`, and it must be a semantic version such as `1.2.3`"),
        ("world", json!(""), "``, and it must be a name of 1 to 256 printable ASCII characters"),
        ("world", json!("a\nb"), "`a\\nb`, and it must be a name of 1 to 256 printable ASCII characters"),
        ("imports", json!(["b", "a"]), "`a`, and it must be a sorted list that holds each name once"),
        ("imports", json!(["a", "a"]), "`a`, and it must be a sorted list that holds each name once"),
        ("imports", json!(["é"]), "`é`, and it must be a name of 1 to 256 printable ASCII characters"),
        ("imports", json!(vec!["a"; 1025]), "`1025 names`, and it must be a list of at most 1024 names"),
        (
            "notBefore",
            json!("today"),
            "`today`, and it must be a time such as `2026-11-21T10:00:00Z` (RFC 3339)",
        ),
        (
            "notAfter",
            json!("2026-11-21"),
            "`2026-11-21`, and it must be a time such as `2026-11-21T10:00:00Z` (RFC 3339)",
        ),
        (
            "notAfter",
            json!("2025-12-31T23:59:59Z"),
            "`2025-12-31T23:59:59Z`, and it must be a time that is not before `notBefore`",
        ),
        (
            "sequence",
            json!(1_u64 << 53),
            "`9007199254740992`, and it must be a number of at most 9007199254740991",
        ),
        ("supersedes", json!("AB"), "`AB`, and it must be 64 lower-case hexadecimal digits"),
    ];
    for (field, new, tail) in cases {
        assert_eq!(message(&format!("/predicate/{field}"), new), format!("statement has `{field}` {tail}"));
    }
    assert_eq!(
        message("/subject/0/digest", json!({ "sha256": "00" })),
        "statement has `sha256` `00`, and it must be 64 lower-case hexadecimal digits"
    );
}

#[test]
fn wrong_types_and_missing_fields_are_refused() {
    for (pointer, new) in [
        ("/subject", json!({})),
        ("/predicate", json!([])),
        ("/predicate", json!(null)),
        ("/predicate/imports", json!("a")),
        ("/predicate/notAfter", json!(null)),
        ("/predicate/notBefore", json!(1)),
        ("/predicate/sequence", json!(-1)),
        ("/predicate/sequence", json!(1.5)),
        ("/predicate/sequence", json!("7")),
        ("/predicate/supersedes", json!(null)),
        ("/subject/0/digest", json!({ "blake3": "00" })),
        ("/subject/0/digest", json!(["00"])),
    ] {
        let message = message(pointer, new);
        assert!(message.starts_with("statement is not well-formed: "), "{pointer}: {message}");
    }
}

#[test]
fn a_digest_that_is_there_twice_is_refused() {
    let digest = Sha256::of(b"other").to_string();
    let json = value().to_string().replacen(r#""sha256":"#, &format!(r#""sha256":"{digest}","sha256":"#), 1);
    let message = Statement::parse(json.as_bytes()).unwrap_err().to_string();
    assert!(message.contains("duplicate field `sha256`"), "{message}");
}

#[test]
fn a_release_that_no_reader_would_take_is_not_written() {
    let refused = |change: fn(&mut Release)| {
        let mut statement = statement();
        change(&mut statement.release);
        statement.to_json().is_err()
    };
    assert!(refused(|release| release.world.clear()));
    assert!(refused(|release| release.imports.reverse()));
    assert!(refused(|release| release.not_after = Some(at("2025-01-01T00:00:00Z"))));
    assert!(refused(|release| release.not_before = jiff::Timestamp::MIN));
    assert!(refused(|release| release.sequence = MAX_SEQUENCE + 1));
}

fn releases() -> impl Strategy<Value = Release> {
    let times = (0_i64..200_000_000_000, prop::option::of(0_i64..1_000_000_000));
    let names = prop::collection::btree_set("[ -~]{1,40}", 0..10);
    (0_u64..9, "[ -~]{1,40}", names, times, 0..=MAX_SEQUENCE, any::<Option<[u8; 32]>>()).prop_map(
        |(major, world, imports, (start, length), sequence, supersedes)| Release {
            package: "acme:web".parse().unwrap(),
            version: semver::Version::new(major, 0, 0),
            world,
            imports: imports.into_iter().collect(),
            not_before: jiff::Timestamp::from_second(start).unwrap(),
            not_after: length.map(|length| jiff::Timestamp::from_second(start + length).unwrap()),
            sequence,
            supersedes: supersedes.map(Sha256::from_bytes),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(release in releases(), component: Vec<u8>, blake3: bool) {
        let blake3 = blake3.then(|| Blake3::of(&component));
        let statement = Statement { release, sha256: Sha256::of(&component), blake3 };
        prop_assert_eq!(Statement::parse(&statement.to_json().unwrap()), Ok(statement));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = Statement::parse(&bytes);
    }

    #[test]
    fn no_damage_makes_the_parser_panic(at: prop::sample::Index, cut in 0_usize..8, put in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut json = statement().to_json().unwrap();
        let start = at.index(json.len());
        let end = (start + cut).min(json.len());
        json.splice(start..end, put);
        let _ = Statement::parse(&json);
    }
}
