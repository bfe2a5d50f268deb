use proptest::prelude::*;

use super::*;

/// A record of usual size with a request id made of `number`.
pub(crate) fn entry(number: u64) -> Entry {
    Entry {
        request_id: format!("{:032x}", u128::from(number) << 64 | 0x3c),
        time: 1_763_714_460_123_456_789 + number,
        tenant: "acme".into(),
        actor: Actor { id: "alice".into(), kind: ActorKind::Client, groups: vec!["staff".into()] },
        action: "GET".into(),
        resource: "acme/shop/front shop.example /cart".into(),
        outcome: Outcome::Answered(200),
        client_address: "192.0.2.7".into(),
        metadata: vec![("app_version".into(), "3".into())],
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        usage: Usage { gas: 90_000, fuel: 81_234, wall_ns: 920_000, bytes_out: 512, ..Usage::default() },
        limits: vec![LimitUse { name: "fuel".into(), used: 81_234, limit: 50_000_000 }],
        policies: vec!["allow-staff".into()],
    }
}

fn text(entry: &Entry) -> String {
    String::from_utf8(canonical(entry).unwrap()).unwrap()
}

#[test]
fn the_canonical_form_of_a_request_is_this() {
    assert_eq!(
        text(&entry(0)),
        concat!(
            r#"{"action":"GET","actor":{"groups":["staff"],"id":"alice","kind":"client"},"#,
            r#""client_address":"192.0.2.7","limits":[{"limit":50000000,"name":"fuel","used":81234}],"#,
            r#""metadata":[{"name":"app_version","value":"3"}],"outcome":{"kind":"answered","status":200},"#,
            r#""policies":["allow-staff"],"request_id":"0000000000000000000000000000003c","#,
            r#""resource":"acme/shop/front shop.example /cart","tenant":"acme","#,
            r#""time":"2025-11-21T08:41:00.123456789Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""usage":{"bytes_in":0,"bytes_out":512,"cpu_ns":0,"fuel":81234,"gas":90000,"host_calls":0,"#,
            r#""memory_bytes":0,"wall_ns":920000},"version":1}"#,
        )
    );
}

#[test]
fn the_canonical_form_of_a_refusal_to_nobody_is_this() {
    let entry = Entry {
        tenant: String::new(),
        actor: Actor { id: "anonymous".into(), kind: ActorKind::Anonymous, groups: vec![] },
        outcome: Outcome::Refused("saturated".into()),
        metadata: vec![],
        usage: Usage::default(),
        limits: vec![],
        policies: vec![],
        time: 0,
        ..entry(1)
    };
    assert_eq!(
        text(&entry),
        concat!(
            r#"{"action":"GET","actor":{"groups":[],"id":"anonymous","kind":"anonymous"},"#,
            r#""client_address":"192.0.2.7","limits":[],"metadata":[],"#,
            r#""outcome":{"detail":"saturated","kind":"refused"},"policies":[],"#,
            r#""request_id":"0000000000000001000000000000003c","#,
            r#""resource":"acme/shop/front shop.example /cart","tenant":"","#,
            r#""time":"1970-01-01T00:00:00.000000000Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""usage":{"bytes_in":0,"bytes_out":0,"cpu_ns":0,"fuel":0,"gas":0,"host_calls":0,"#,
            r#""memory_bytes":0,"wall_ns":0},"version":1}"#,
        )
    );
}

#[test]
fn control_characters_cannot_enter_a_record() {
    let entry = Entry { resource: "a\nb\u{1b}[31m\u{9b}c\u{7f}\0".into(), ..entry(0) };
    assert!(text(&entry).contains("\"a\u{fffd}b\u{fffd}[31m\u{fffd}c\u{fffd}\u{fffd}\""));
}

#[test]
fn texts_are_cut_at_their_bound_and_show_it() {
    let long = Entry { tenant: "é".repeat(65), ..entry(0) };
    let written = parse(&canonical(&long).unwrap()).unwrap();
    assert_eq!(written.tenant, format!("{}…", "é".repeat(62)));
    let fits = Entry { tenant: "é".repeat(64), ..entry(0) };
    assert_eq!(parse(&canonical(&fits).unwrap()).unwrap(), fits);
}

#[test]
fn counts_beyond_a_double_say_the_largest_exact_one() {
    let usage = Usage { gas: u64::MAX, fuel: (1 << 53) - 1, ..Usage::default() };
    let written = text(&Entry { usage, ..entry(0) });
    assert!(written.contains(r#""fuel":9007199254740991,"gas":9007199254740991,"#));
}

#[test]
fn an_entry_that_does_not_fit_is_refused() {
    let metadata = |count| vec![("n".repeat(128), "v".repeat(1024)); count];
    let entry = |count| Entry { metadata: metadata(count), ..entry(0) };
    assert!(canonical(&entry(32)).is_ok());
    assert!(matches!(canonical(&entry(64)), Err(TooLarge { bytes }) if bytes > MAX_ENTRY_BYTES));
}

#[test]
fn other_writings_of_a_record_are_refused() {
    let good = text(&entry(0));
    assert!(parse(good.as_bytes()).is_ok());
    for (from, to) in [
        (",\"tenant\"", ", \"tenant\""),
        ("\"status\":200", "\"status\":2e2"),
        ("\"status\":200", "\"status\":70000"),
        ("\"status\":200", "\"detail\":\"x\",\"status\":200"),
        ("\"kind\":\"answered\"", "\"kind\":\"denied\""),
        ("\"kind\":\"client\"", "\"kind\":\"Client\""),
        ("acme/shop", "acme\\/shop"),
        ("acme/shop", "acme\\u0000shop"),
        ("\"version\":1", "\"version\":2"),
        ("\"version\":1", "\"version\":1,\"version\":1"),
        ("\"version\":1", "\"more\":1,\"version\":1"),
        ("\"gas\":90000", "\"gas\":9007199254740992"),
        ("\"gas\":90000", "\"gas\":090000"),
        ("08:41", "24:41"),
    ] {
        let other = good.replacen(from, to, 1);
        assert_ne!(other, good, "{from}");
        assert!(parse(other.as_bytes()).is_err(), "{to}");
    }
    for bytes in [&b""[..], b"{}", b"null", b"[", b"\xff", &b"[".repeat(60_000)] {
        assert!(parse(bytes).is_err());
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<u16>().prop_map(Outcome::Answered),
        Just(Outcome::Denied),
        Just(Outcome::Limited),
        any::<String>().prop_map(Outcome::Refused),
        any::<String>().prop_map(Outcome::Failed),
        Just(Outcome::Abandoned),
        Just(Outcome::Interrupted),
    ]
}

prop_compose! {
    fn any_entry()(
        texts: [String; 8],
        numbers: [u64; 11],
        outcome in any_outcome(),
        kind in prop::sample::select(vec![ActorKind::Anonymous, ActorKind::Client, ActorKind::Host]),
        lists in prop::array::uniform3(prop::collection::vec(any::<String>(), 0..4)),
    ) -> Entry {
        let [request_id, tenant, id, action, resource, client_address, trace_id, name] = texts;
        let [time, gas, fuel, memory_bytes, cpu_ns, wall_ns, host_calls, bytes_in, bytes_out, used, limit] = numbers;
        let [groups, metadata, policies] = lists;
        Entry {
            request_id, time, tenant, action, resource, outcome, client_address, trace_id, policies,
            actor: Actor { id, kind, groups },
            metadata: metadata.into_iter().map(|value| (name.clone(), value)).collect(),
            usage: Usage { gas, fuel, memory_bytes, cpu_ns, wall_ns, host_calls, bytes_in, bytes_out },
            limits: vec![LimitUse { name, used, limit }],
        }
    }
}

proptest! {
    #[test]
    fn every_record_is_what_rfc_8785_makes_of_it(entry in any_entry()) {
        let bytes = canonical(&entry).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(serde_jcs::to_vec(&value).unwrap(), bytes);
    }

    #[test]
    fn every_record_reads_back_as_itself(entry in any_entry()) {
        let bytes = canonical(&entry).unwrap();
        let read = parse(&bytes).unwrap();
        prop_assert_eq!(canonical(&read).unwrap(), bytes.clone());
        prop_assert!(!String::from_utf8(bytes).unwrap().contains(char::is_control));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        prop_assert!(parse(&bytes).is_err());
    }
}
