use super::*;
use proptest::prelude::*;
use tollgate_trust::SigningKey;
use tollgate_trust::attest;

fn record() -> Record {
    let core = Verbatim { at: 0, bytes: 4, input: "gate".into(), offset: 5 };
    Record {
        inputs: vec![
            Input { release: Some("acme:app@1.0.0".into()), ..Input::of("app", b"app bytes") },
            Input::of("gate", b"gate core"),
        ],
        deriver: Deriver { name: "tollgate-derive".into(), version: "0.1.0".into() },
        target: Target::Cloudflare,
        gas: Some(Gas { schedule: "tollgate-2026-11".into(), blake3: Blake3::of(b"schedule") }),
        options: BTreeMap::from([("start-limit".into(), "1000".into())]),
        outputs: vec![
            Output { verbatim: vec![core], ..Output::of("app.core0.wasm", b"core") },
            Output::of("app.wasm", b"whole"),
        ],
    }
}

#[test]
fn a_record_is_the_same_as_bytes_and_back() {
    let json = record().to_json().unwrap();
    assert_eq!(Record::parse(&json), Ok(record()));
    let statement = record().to_statement().unwrap();
    assert_eq!(Record::from_statement(&statement), Ok(record()));
    let without = Record { gas: None, ..record() };
    assert!(!String::from_utf8(without.to_json().unwrap()).unwrap().contains("gas"));
}

#[test]
fn only_canonical_bytes_are_read() {
    let json = String::from_utf8(record().to_json().unwrap()).unwrap();
    let deriver = json.find("\"deriver\"").unwrap();
    let odd = [
        format!(" {json}"),
        json.replace("\"target\":", "\"target\": "),
        json.replace("\"target\":\"cloudflare\"", "\"target\":\"cloudfl\\u0061re\""),
        format!("{{\"target\":\"server\",{}", &json[1..]),
        json.replace("{\"deriver\"", "{\"gas\":null,\"deriver\""),
        json.replace("\"options\":{", "\"options\":{\"start-limit\":\"2\","),
        json.replace("\"bytes\":9", "\"bytes\":9.0"),
        json.replace("\"target\"", "\"targets\""),
        format!("{}\"also\":1,{}", &json[..deriver], &json[deriver..]),
    ];
    for text in odd {
        assert!(Record::parse(text.as_bytes()).is_err(), "{text}");
    }
    let array = json
        .replace("{\"name\":\"tollgate-derive\",\"version\":\"0.1.0\"}", "[\"tollgate-derive\",\"0.1.0\"]");
    assert_eq!(Record::parse(array.as_bytes()), Err(RecordError::NotCanonical));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["", "/etc/passwd", "../up", "a/../b", "a//b", "a\\b", "c:d", "tab\t", "./a"] {
        let odd = Record { outputs: vec![Output::of(path, b"x")], ..record() };
        assert!(matches!(odd.to_json(), Err(RecordError::Field { .. })), "{path}");
    }
    let unsorted = Record { inputs: record().inputs.into_iter().rev().collect(), ..record() };
    assert!(matches!(unsorted.to_json(), Err(RecordError::Field { field: "inputs", .. })));
}

#[test]
fn a_range_lies_within_the_output_and_within_an_input_that_is_there() {
    let range = record().outputs[0].verbatim[0].clone();
    let odd = [
        Verbatim { at: 1, ..range.clone() },
        Verbatim { offset: 6, ..range.clone() },
        Verbatim { offset: u64::MAX, ..range.clone() },
        Verbatim { bytes: 0, ..range.clone() },
        Verbatim { input: "gat".into(), ..range.clone() },
    ];
    let with = |verbatim: Vec<Verbatim>| Record {
        outputs: vec![Output { verbatim, ..Output::of("app.core0.wasm", b"core") }],
        ..record()
    };
    for range in odd {
        let refused = with(vec![range.clone()]).to_json();
        assert!(matches!(refused, Err(RecordError::Field { field: "verbatim", .. })), "{range:?}");
    }
    assert!(with(vec![range.clone()]).to_json().is_ok());
    assert!(with(vec![range.clone(), range]).to_json().is_err(), "one range twice");
}

#[test]
fn a_record_is_signed_and_nobody_else_can_have_signed_it() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let envelope = attest::sign(record().to_statement().unwrap(), &key).unwrap();
    let payload = attest::verify(&envelope, &[other.public(), key.public()], 1).unwrap();
    assert_eq!(Record::from_statement(payload), Ok(record()));
    assert!(attest::verify(&envelope, &[other.public()], 1).is_err());
}

#[test]
fn a_statement_that_names_other_files_than_its_record_is_refused() {
    let statement = String::from_utf8(record().to_statement().unwrap()).unwrap();
    let other = statement.replacen("\"name\":\"app.wasm\"", "\"name\":\"appp.wasm\"", 1);
    assert_eq!(Record::from_statement(other.as_bytes()), Err(RecordError::Statement("subject")));
    let kind = statement.replace(PREDICATE_TYPE, "https://example.com/other");
    assert_eq!(Record::from_statement(kind.as_bytes()), Err(RecordError::Statement("predicateType")));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, place: prop::sample::Index, byte: u8) {
        let _ = Record::parse(&bytes);
        let mut json = record().to_statement().unwrap();
        let place = place.index(json.len());
        json[place] = byte;
        if let Ok(read) = Record::from_statement(&json) {
            prop_assert_eq!(read.to_statement().unwrap(), json);
        }
    }
}
