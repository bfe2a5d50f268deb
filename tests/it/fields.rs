//! The structured fields that the host sends (RFC 9651): `ratelimit` and `ratelimit-policy`, as
//! draft-ietf-httpapi-ratelimit-headers has them; and `retry-after` (RFC 9110, section 10.2.3).

use http::Request;
use sfv::{BareItem, List, ListEntry, Parser};
use testkit::{Answer, Case};
use tollgate::config::Config;

/// A member of a list: a name, and parameters in their order.
type Member = (String, Vec<(String, BareItem)>);

/// The members of a list of Strings, as a client of the RFC reads them. All parsing is strict: what does not parse
/// must be ignored as a whole (RFC 9651, section 4.2), so a client would have no figures at all.
#[track_caller]
fn members(answer: &Answer, field: &str) -> Vec<Member> {
    let text = answer.header(field).unwrap_or_else(|| panic!("no `{field}`"));
    let list: List = Parser::new(text).parse().unwrap_or_else(|error| panic!("`{text}`: {error}"));
    let member = |entry: &ListEntry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list in `{text}`") };
        let BareItem::String(name) = &item.bare_item else { panic!("no String in `{text}`") };
        let parameters = item.params.iter().map(|(key, value)| (key.as_str().to_owned(), value.clone()));
        (name.as_str().to_owned(), parameters.collect())
    };
    list.iter().map(member).collect()
}

fn integer(value: &BareItem) -> i64 {
    let BareItem::Integer(number) = value else { panic!("{value:?} is no Integer") };
    i64::from(*number)
}

/// The integer of this key, which must be there.
fn parameter(member: &Member, key: &str) -> i64 {
    let (_, value) = member.1.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("no `{key}`"));
    integer(value)
}

/// Names at the edges of what a bucket may be called.
fn longest() -> String {
    format!("0-{}", "z".repeat(61))
}

fn buckets() -> Case {
    let bucket = |name: &str, more: &str| format!("[buckets.{name}]\nkey = [\"actor\"]\n{more}\n");
    let tables = [
        bucket("burst", "unit = \"requests\"\nquota = 2\nwindow = \"90s\""),
        bucket("gas", "unit = \"gas\"\nquota = 900000000000000\nwindow = \"1h\"\nreserve = 2000000"),
        bucket("\"7\"", "unit = \"requests\"\nquota = 1000\nwindow = \"1500ms\""),
        bucket(&format!("{:?}", longest()), "unit = \"requests\"\nquota = 1000\nwindow = \"365d\""),
    ];
    Case::guest("echo")
        .tables(&tables.concat())
        .route(&format!("buckets = [\"burst\", \"gas\", \"7\", {:?}]", longest()))
}

#[test]
fn every_answer_says_in_structured_fields_what_may_be_asked_and_what_is_left() {
    let host = buckets().start();
    let names = ["burst".to_owned(), "gas".to_owned(), "7".to_owned(), longest()];
    for (left, status) in [(1, 200), (0, 200), (0, 429)] {
        let answer = host.ask(Request::get("/")).expect_status(status);
        let (policy, limit) = (members(&answer, "ratelimit-policy"), members(&answer, "ratelimit"));
        let of = |members: &[Member]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(of(&policy), names);
        // Everything that is known is told, and nothing of a bucket that the policy does not name.
        assert!(of(&limit).iter().all(|name| names.contains(name)), "{limit:?}");
        for (member, (quota, window)) in
            policy.iter().zip([(2, 90), (900_000_000_000_000, 3_600), (1_000, 2), (1_000, 31_536_000)])
        {
            assert_eq!((parameter(member, "q"), parameter(member, "w")), (quota, window), "{member:?}");
        }
        let burst = limit.iter().find(|(name, _)| name == "burst").unwrap();
        assert_eq!(parameter(burst, "r"), left);
        for member in &limit {
            assert!(parameter(member, "r") >= 0 && parameter(member, "t") >= 0, "{member:?}");
        }
        if status == 429 {
            let seconds: u32 = answer.header("retry-after").unwrap().parse().expect("whole seconds");
            assert!((1..=90).contains(&seconds), "{seconds}");
            assert!(i64::from(seconds) <= parameter(burst, "t"), "{seconds}, {burst:?}");
        }
    }
}

#[test]
fn a_name_that_would_need_escaping_in_a_field_is_no_name_of_a_bucket() {
    let too_long = "x".repeat(64);
    for name in [
        "a\\\"b",
        "a\\\\b",
        "a b",
        "a\\tb",
        "a\\nb",
        "a\\r\\nset-cookie: b",
        "a\\u0000b",
        "a\\u007fb",
        "ä",
        "\u{1f600}",
        "a,b",
        "a;q=9",
        "a=b",
        "Burst",
        "a.b",
        "a_b",
        "-a",
        "a-",
        "",
        too_long.as_str(),
    ] {
        let table = format!(
            "[buckets.\"{name}\"]\nunit = \"requests\"\nquota = 2\nwindow = \"1m\"\nkey = [\"actor\"]"
        );
        let site = Case::guest("echo").tables(&table).route(&format!("buckets = [\"{name}\"]")).write();
        assert!(Config::read(&site.file()).is_err(), "`{name}` was taken");
    }
}

/// What RFC 9651 has for the texts of structured fields, so that the reader above is known to be as strict.
#[test]
fn the_reader_of_these_tests_is_as_strict_as_the_rfc() {
    for (section, text, well) in [
        ("4.2", "\"a\";q=1", true),
        ("4.2", "  \"a\";q=1  ", true),
        ("4.2.1", "\"a\";q=1 ,\t\"b\"", true),
        ("4.2.1", "\"a\",", false),
        ("4.2.1", "\"a\" \"b\"", false),
        ("3.3.3", "\"a\\\"b\"", true),
        ("3.3.3", "\"a\\b\"", false),
        ("3.3.3", "\"a\tb\"", false),
        ("3.3.3", "\"\u{e4}\"", false),
        ("3.3.3", "\"a", false),
        ("3.3.1", "\"a\";q=999999999999999", true),
        ("3.3.1", "\"a\";q=-999999999999999", true),
        ("3.3.1", "\"a\";q=1000000000000000", false),
        ("3.3.1", "\"a\";q=+1", false),
        ("3.1.2", "\"a\";Q=1", false),
        ("3.1.2", "\"a\";1q=1", false),
        ("3.1.2", "\"a\" ;q=1", false),
        ("3.1.2", "\"a\"; q=1", true),
    ] {
        assert_eq!(Parser::new(text).parse::<List>().is_ok(), well, "{section}: {text}");
    }
}
