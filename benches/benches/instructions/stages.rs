//! The stages, each with what it needs and nothing else: no clock, no thread, no disk.

use benchkit::TEN_POLICIES;
use http::Request;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use tollgate_audit::{Log, Signer};
use tollgate_limiter::{Bucket, Charge, Limiter, StoreError, Swap, Unit};
use tollgate_policy::Engine;
use tollgate_runtime::{FailureMode, HostPattern, Name, Peer, Route, doors};

/// A stage by its name, and what does it so many times.
type Stage = (&'static str, fn(u64));

pub(crate) const STAGES: [Stage; 4] =
    [("facts", facts), ("policy", policy), ("limiter", limiter), ("audit", audit)];

/// A request's head becomes what the gate sees and what the app gets.
fn facts(times: u64) {
    let name = |text| Name::new(text).unwrap();
    let route = Route {
        tenant: name("acme"),
        name: name("web"),
        host: HostPattern::Any,
        path: String::new(),
        methods: Vec::new(),
        app_name: name("web"),
        app: None,
        headers: vec![http::header::ACCEPT],
        failure: FailureMode::Closed,
    };
    let peer = Peer { address: [192, 0, 2, 7].into(), tls: false };
    let head = Request::get("/articles/7?page=2").header("host", "acme.test").header("accept", "text/html");
    let (parts, ()) = head.body(()).unwrap().into_parts();
    for _ in 0..times {
        assert!(black_box(doors::facts(parts.clone(), &peer, &route, &[])).is_ok());
    }
}

/// Ten policies decide.
fn policy(times: u64) {
    let config = serde_json::json!({ "policies": TEN_POLICIES, "entities": [] }).to_string();
    let mut engine = Engine::new();
    engine.configure(config.as_bytes()).unwrap();
    let facts = tollgate_policy::Facts {
        received_at: NOW,
        tenant: "acme".into(),
        app: "web".into(),
        route: "web".into(),
        component: "0".repeat(64),
        method: "GET".into(),
        scheme: "https".into(),
        host: "acme.test".into(),
        path: "/articles/7".into(),
        query: Some("page=2".into()),
        client_address: "192.0.2.7".into(),
        actor: tollgate_policy::Actor {
            id: "alice".into(),
            kind: tollgate_policy::ActorKind::Client,
            groups: vec!["staff".into()],
        },
        headers: vec![("accept".into(), "text/html".into())],
        body_length: None,
        trace_id: "0".repeat(32),
    };
    for _ in 0..times {
        assert!(matches!(black_box(engine.decide(&facts)), tollgate_policy::Verdict::Allow(_)));
    }
}

/// A request draws on two buckets.
fn limiter(times: u64) {
    let bucket = |name: &str| Bucket {
        name: name.into(),
        unit: Unit::Requests,
        quota: 1_000_000_000,
        window: 60 * SECOND,
    };
    let limiter = Limiter::new(vec![bucket("burst"), bucket("day")]).unwrap();
    let charge = |bucket: &str| Charge { bucket: bucket.into(), key: "alice".into(), cost: 1 };
    let charges = [charge("burst"), charge("day")];
    let mut counts = Counts::default();
    for number in 0..times {
        assert!(black_box(limiter.take(&mut counts, &charges, NOW + number)).is_ok());
    }
}

/// 32 records are appended together.
fn audit(times: u64) {
    let mut log = Log::open(ORIGIN, Tiles::default(), Key).unwrap();
    let mut number = 0;
    for _ in 0..times {
        let entries: Vec<_> = (0..32)
            .map(|_| {
                number += 1;
                entry(number)
            })
            .collect();
        black_box(log.append(&entries)).unwrap();
    }
}

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_795_000_000 * SECOND;
const ORIGIN: &str = "tollgate.bench/audit";

fn entry(number: u64) -> tollgate_audit::Entry {
    tollgate_audit::Entry {
        request_id: format!("{number:032x}"),
        time: NOW + number,
        tenant: "acme".into(),
        actor: tollgate_audit::Actor {
            id: "alice".into(),
            kind: tollgate_audit::ActorKind::Client,
            groups: vec!["staff".into()],
        },
        action: "GET".into(),
        resource: "acme/web/web acme.test /articles/7".into(),
        outcome: tollgate_audit::Outcome::Answered(200),
        client_address: "192.0.2.7".into(),
        metadata: vec![("component".into(), "0".repeat(64)), ("mode".into(), "fresh".into())],
        trace_id: format!("{number:032x}"),
        usage: tollgate_audit::Usage { gas: 90_000, fuel: 40_000, ..Default::default() },
        limits: vec![tollgate_audit::LimitUse { name: "fuel".into(), used: 40_000, limit: SECOND }],
        policies: vec!["staff-read".into()],
    }
}

/// Counters in memory.
#[derive(Default)]
struct Counts(BTreeMap<String, Vec<u8>>);

impl tollgate_limiter::Store for Counts {
    type Cas = (String, Option<Vec<u8>>);

    fn begin(&mut self, key: &str) -> Result<Self::Cas, StoreError> {
        Ok((key.to_owned(), self.0.get(key).cloned()))
    }

    fn current(&mut self, cas: &Self::Cas) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(cas.1.clone())
    }

    fn swap(&mut self, cas: Self::Cas, value: &[u8]) -> Result<Swap<Self::Cas>, StoreError> {
        self.0.insert(cas.0, value.to_vec());
        Ok(Swap::Done)
    }
}

/// A log's values in memory.
#[derive(Default)]
struct Tiles(RefCell<BTreeMap<String, Vec<u8>>>);

impl tollgate_audit::Store for Tiles {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.borrow().get(key).cloned())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        self.0.borrow_mut().extend(values.iter().cloned());
        Ok(())
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        keys.iter().for_each(|key| drop(self.0.borrow_mut().remove(key)));
        Ok(())
    }
}

/// A key that signs nothing: the host signs, and what that takes is not the audit component's.
struct Key;

impl Signer for Key {
    fn verifier_key(&self) -> String {
        tollgate_audit::note::VerifierKey::new(ORIGIN, [7; 32]).unwrap().to_string()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(vec![7; 64])
    }
}
