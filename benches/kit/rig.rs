//! A runtime with its stores, and signed guests to load into it; no listener.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::Case;
use tollgate_runtime::{
    Actor, ActorKind, App, AppSpec, AuditLog, Backend, BucketSetting, Capacity, Compiler, Consistency, Entry,
    Facts, Gate, GateParts, GateSetting, Grants, KeyField, Limits, Manifest, Mode, Name, Outcome, Permit,
    Runtime, RuntimeOptions, Schedule, TenantTotals, Unit, Usage, doors,
};
use tollgate_server::{
    LogBucket, LogKey, LogStore, MemoryBuckets, Outbound, OutboundOptions, StoreLimits, Stores,
};
use tollgate_trust::{TrustRoot, Verified, verify_file};

/// What a benchmark loads components into.
pub struct Rig {
    runtime: Arc<Runtime>,
    site: testkit::Site,
}

/// A rig, with the guest `hello` signed and the gate's components too.
pub async fn rig() -> Rig {
    let site = Case::guest("hello").write();
    let stores = Stores::new(MemoryBuckets::new(StoreLimits::default()), None);
    let runtime = Runtime::start(RuntimeOptions {
        capacity: Capacity { instances: 200, ..Capacity::default() },
        schedule: Schedule::default(),
        compiler: Compiler::Here,
        cache: site.path().join("state/cache"),
        buckets: Arc::new(stores),
        transport: Arc::new(Outbound::new(&OutboundOptions::default()).unwrap()),
    })
    .unwrap();
    Rig { runtime, site }
}

impl Rig {
    fn verified(&self, file: &str) -> Verified {
        let root = TrustRoot::read(&self.site.path().join("trust.toml")).unwrap();
        verify_file(&self.site.path().join(file), 64 << 20, &root, jiff::Timestamp::now()).unwrap()
    }

    fn manifest(&self) -> Manifest {
        Manifest { file: self.site.file(), table: "tenants.acme".into() }
    }

    /// The app `hello` in a fresh instance for each request.
    pub async fn app(&self, name: &str) -> Arc<App> {
        let spec = AppSpec {
            tenant: Name::new("acme").unwrap(),
            name: Name::new(name).unwrap(),
            grants: Grants::default(),
            totals: TenantTotals::default(),
            limits: Limits::default(),
            mode: Mode::Fresh,
            manifest: self.manifest(),
        };
        self.runtime.load_app(self.verified("acme-web.wasm"), spec).await.unwrap()
    }

    /// A gate with these policies and so many buckets, on the route `web`.
    pub async fn gate(&self, policies: &str, buckets: usize) -> Arc<Gate> {
        let parts = GateParts {
            gate: self.verified("gate/gate.wasm"),
            policy: self.verified("gate/policy.wasm"),
            limiter: self.verified("gate/limiter.wasm"),
        };
        let names: Vec<Name> = (0..buckets).map(|n| Name::new(&format!("bucket-{n}")).unwrap()).collect();
        let setting = |name: &Name| BucketSetting {
            name: name.clone(),
            unit: Unit::Requests,
            quota: 1_000_000_000,
            window: Duration::from_secs(60),
            key: vec![KeyField::Actor],
            reserve: 0,
            consistency: Consistency::Exact,
        };
        let policy = serde_json::json!({ "policies": policies, "entities": [] }).to_string();
        let setting = GateSetting {
            tenant: Name::new("acme").unwrap(),
            totals: TenantTotals::default(),
            policy: policy.into_bytes(),
            buckets: names.iter().map(setting).collect(),
            routes: vec![(Name::new("web").unwrap(), names)],
            backend: Backend::Memory,
            manifest: self.manifest(),
        };
        self.runtime.load_gate(parts, setting).await.unwrap()
    }

    /// The facts of a request; another path and id for each number.
    pub fn facts(&self, number: u64) -> Facts {
        Facts {
            request_id: format!("{number:032x}"),
            received_at: 1_795_000_000_000_000_000 + number,
            tenant: "acme".into(),
            app: "web".into(),
            route: "web".into(),
            component: "0".repeat(64),
            method: "GET".into(),
            scheme: "https".into(),
            host: "acme.test".into(),
            path: format!("/articles/{number}"),
            query: Some("page=2".into()),
            client_address: "192.0.2.7".into(),
            actor: Actor { id: "alice".into(), kind: ActorKind::Client, groups: vec!["staff".into()] },
            headers: vec![("accept".into(), "text/html".into()), ("x-plan".into(), "gold".into())],
            body_length: None,
            trace_id: format!("{number:032x}"),
        }
    }

    /// A new audit log in this directory.
    pub async fn audit(&self, directory: &Path) -> AuditLog {
        let key = LogKey::read(&self.site.path().join("log.key"), ORIGIN).unwrap();
        let store = Arc::new(LogBucket::new(Arc::new(LogStore::open(directory).unwrap())));
        self.runtime.load_audit(self.verified("gate/audit.wasm"), Arc::new(key), store, ORIGIN).await.unwrap()
    }

    /// Has the gate settle what it let in, with the figures and words that a run's record has.
    pub async fn settle(&self, gate: &Gate, facts: &Facts, permit: Permit) -> Entry {
        let limits = FIGURES.map(|name| (name.to_owned(), 40_000, 1_000_000_000)).to_vec();
        let metadata = WORDS.map(|(name, word)| (name.to_owned(), word.to_owned())).to_vec();
        doors::settle(gate, facts, permit, limits, metadata).await.unwrap()
    }

    /// A record as a request makes it.
    pub fn entry(&self, number: u64) -> Entry {
        let facts = self.facts(number);
        Entry {
            request_id: facts.request_id,
            time: facts.received_at,
            tenant: facts.tenant,
            actor: facts.actor,
            action: facts.method,
            resource: format!("acme/web/web {} {}", facts.host, facts.path),
            outcome: Outcome::Answered(200),
            client_address: facts.client_address,
            metadata: vec![("component".into(), facts.component), ("mode".into(), "fresh".into())],
            trace_id: facts.trace_id,
            usage: Usage {
                gas: 90_000,
                fuel: 40_000,
                memory_bytes: 1_114_112,
                cpu: 80_000,
                wall: 120_000,
                host_calls: 12,
                bytes_in: 0,
                bytes_out: 13,
            },
            limits: vec![("fuel".into(), 40_000, 1_000_000_000), ("gas".into(), 90_000, 2_000_000_000)],
            policies: vec!["staff-read".into()],
        }
    }
}

/// What a record says of a run's limits, and of the run.
const FIGURES: [&str; 11] = [
    "fuel",
    "gas",
    "cpu-ms",
    "deadline-ms",
    "host-wait-ms",
    "memory-bytes",
    "request-body-bytes",
    "response-body-bytes",
    "host-calls",
    "outgoing-requests",
    "log-lines",
];
const WORDS: [(&str, &str); 6] = [
    ("component", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("gas-schedule", "tollgate-1"),
    ("mode", "fresh"),
    ("instance", "fresh"),
    ("calls.clocks", "2"),
    ("calls.http", "9"),
];

const ORIGIN: &str = "tollgate.bench/audit";
