use super::*;
use crate::testing::{acme, at, chain, entry, key, root};
use proptest::prelude::*;

fn message(text: &str) -> String {
    chain(&TrustRoot::parse(text, Path::new("etc/trust.toml")).unwrap_err())
}

/// Two keys, `one` and `two`, and a rule with the given lines.
fn with_rule(rule: &str) -> String {
    format!(
        "{}{}[[packages]]\n{rule}",
        entry("one", &key("one").public()),
        entry("two", &key("two").public())
    )
}

#[test]
fn the_example_of_the_documentation_is_a_trust_file() {
    let root = TrustRoot::parse(include_str!("example.toml"), Path::new("example.toml")).unwrap();
    assert_eq!(root.keys()[0].validity.not_before, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(root.rules()[0].pattern.to_string(), "acme:*");
}

#[test]
fn the_rule_for_one_package_wins_over_the_rule_for_its_namespace() {
    let root = root(
        &["one", "two"],
        "[[packages]]\npattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = 1\n\
         [[packages]]\npattern = \"acme:web\"\nkeys = [\"one\", \"two\"]\nthreshold = 2\n",
    );
    let threshold = |name: &str| root.rule_for(&name.parse().unwrap()).map(|rule| rule.threshold);
    assert_eq!(threshold("acme:web"), Some(2));
    assert_eq!(threshold("acme:web-shop"), Some(1));
    assert_eq!(threshold("acme-corp:web"), None);
}

#[test]
fn a_file_without_rules_trusts_nobody() {
    let root = TrustRoot::parse("", Path::new("trust.toml")).unwrap();
    assert!(root.rule_for(&"acme:web".parse().unwrap()).is_none());
}

#[test]
fn mistakes_in_rules_are_named_with_the_fix() {
    let cases = [
        (
            "pattern = \"*\"\nkeys = [\"one\"]\nthreshold = 1",
            "`packages[0].pattern` cannot be used: `*` is not a package pattern: write one package such as `acme:web`, or a namespace such as `acme:*`",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"oen\"]\nthreshold = 1",
            "`packages[0].keys` names `oen`, which is no key of this file: add it under `[[keys]]`, or name one of `one`, `two`",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"one\", \"one\"]\nthreshold = 2",
            "`packages[0].keys` names `one` twice: a threshold counts keys, so name it once",
        ),
        (
            "pattern = \"acme:*\"\nkeys = []\nthreshold = 1",
            "`packages[0].keys` is empty, so that nobody could sign `acme:*`: name a key, or remove the entry",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"one\", \"two\"]\nthreshold = 3",
            "`packages[0].threshold` is 3, and it must be 1 to 2, the number of keys listed",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = 0",
            "`packages[0].threshold` is 0, and it must be 1 to 1, the number of keys listed",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = -1",
            "`packages[0].threshold` is -1, and it must be 1 to 1, the number of keys listed",
        ),
        (
            "pattern = \"acme:*\"\nkeys = [\"one\"]\nthreshold = 1\n[[packages]]\npattern = \"acme:*\"\nkeys = [\"two\"]\nthreshold = 1",
            "`packages[1].pattern` repeats `acme:*` of `packages[0]`: join the two entries into one",
        ),
    ];
    for (rule, tail) in cases {
        assert_eq!(message(&with_rule(rule)), format!("trust file `etc/trust.toml`: {tail}"));
    }
}

#[test]
fn mistakes_in_keys_are_named_with_the_fix() {
    let (one, two) = (key("one").public(), key("two").public());
    let mut small = entry("one", &one);
    let start = small.find("MCow").unwrap();
    small.replace_range(start..start + 60, "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let private = format!("[[keys]]\nname = \"one\"\npublic-key = \"\"\"{}\"\"\"", *key("one").to_pem());
    let cases = [
        (
            entry("one", &one).replace("\"one\"", "\"o ne\""),
            "`keys[0].name` cannot be used: `o ne` is not a key name: use 1 to 64 letters, digits, `.`, `_`, `-` or `@`",
        ),
        (
            format!("{}{}", entry("one", &one), entry("one", &two)),
            "`keys[1].name` repeats the name `one`: give each key its own",
        ),
        (
            format!("{}{}", entry("one", &one), entry("two", &one)),
            "`keys[1].public-key` is the same key as `one`: remove one of the two entries",
        ),
        (
            small,
            "`keys[0].public-key` of key `one` cannot be used: this public key is weak (a point of small order, or not in canonical form): whoever gave it does not hold a real key, so do not trust it",
        ),
        (
            private,
            "`keys[0].public-key` of key `one` cannot be used: this is a private key where a public key belongs: put the public key here, and if others can read this file, replace the key",
        ),
        (
            "[[keys]]\nname = \"one\"\npublic-key = \"ssh-ed25519 AAAA\"".to_owned(),
            "`keys[0].public-key` of key `one` cannot be used: this is not an Ed25519 public key in PEM form: write the output of `openssl pkey -in <private key> -pubout`",
        ),
        (
            format!("{}not-before = 2026-01-01", entry("one", &one)),
            "`keys[0].not-before` is `2026-01-01`: write a date, a time and an offset, without quotes, such as 2026-11-21T10:00:00Z",
        ),
        (
            format!(
                "{}not-before = 2026-01-02T00:00:00Z\nnot-after = 2026-01-01T00:00:00Z",
                entry("one", &one)
            ),
            "`keys[0].not-after` of key `one` lies before its `not-before`: the key would never be valid",
        ),
    ];
    for (text, tail) in cases {
        assert_eq!(message(&text), format!("trust file `etc/trust.toml`: {tail}"));
    }
}

#[test]
fn mistakes_in_the_toml_are_named_with_their_line() {
    let rule = "pattern = \"acme:*\"\nkeys = [\"one\"]\n";
    let lines = with_rule(rule).matches('\n').count();
    assert_eq!(
        message(&with_rule(&format!("{rule}treshold = 1"))),
        format!(
            "trust file `etc/trust.toml`, line {}: unknown field `treshold`, expected one of `pattern`, `keys`, `threshold`",
            lines + 1
        )
    );
    assert_eq!(
        message(&with_rule(rule)),
        format!("trust file `etc/trust.toml`, line {}: missing field `threshold`", lines - 2)
    );
    assert_eq!(
        message("keys = 1"),
        "trust file `etc/trust.toml`, line 1: invalid type: integer `1`, expected a sequence"
    );
    let quoted = format!("{}not-after = \"2026-01-01T00:00:00Z\"", entry("one", &key("one").public()));
    assert_eq!(
        message(&quoted),
        "trust file `etc/trust.toml`, line 8: invalid type: string \"2026-01-01T00:00:00Z\", expected a TOML datetime"
    );
}

#[test]
fn a_file_that_is_missing_or_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trust.toml");
    let message = || chain(&TrustRoot::read(&path).unwrap_err());
    let start = format!("trust file `{}` cannot be read: ", path.display());
    assert_eq!(message(), format!("{start}No such file or directory (os error 2)"));
    std::fs::write(&path, vec![b'\n'; MAX_TRUST_FILE_BYTES + 1]).unwrap();
    assert_eq!(message(), format!("{start}it has more than 1048576 bytes"));
    let keys: String =
        (0..=MAX_KEYS).map(|n| entry(&format!("k{n}"), &key(&format!("k{n}")).public())).collect();
    std::fs::write(&path, keys).unwrap();
    assert_eq!(
        message(),
        format!("trust file `{}`: `keys` holds 257 entries, and 256 are read at most", path.display())
    );
}

#[test]
fn what_is_read_from_a_file_is_what_is_read_from_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trust.toml");
    std::fs::write(&path, with_rule("pattern = \"acme:*\"\nkeys = [\"one\", \"two\"]\nthreshold = 2\n"))
        .unwrap();
    assert_eq!(TrustRoot::read(&path).unwrap(), acme(&["one", "two"], 2));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = TrustRoot::parse(&text, Path::new("trust.toml"));
    }

    #[test]
    fn no_damage_makes_the_parser_panic(at: prop::sample::Index, put in ".{0,6}") {
        let mut text = with_rule("pattern = \"acme:*\"\nkeys = [\"one\", \"two\"]\nthreshold = 2\n");
        let start = at.index(text.len());
        text.replace_range(start..=start, &put);
        let _ = TrustRoot::parse(&text, Path::new("trust.toml"));
    }
}
