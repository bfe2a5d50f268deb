//! A gate that a house can hold and nobody asks: a table is made of tenants, and each tenant has a gate.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tollgate_runtime::{
    Backend, Capacity, Compiler, Gate, GateParts, GateSetting, Manifest, Name, Runtime, RuntimeOptions,
    Schedule, TenantTotals,
};
use tollgate_server::{MemoryBuckets, Outbound, OutboundOptions, StoreLimits, Stores};
use tollgate_trust::root::key_entry;
use tollgate_trust::{Release, SigningKey, TrustRoot, Verified, sign, verify};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The one gate of this process.
pub(super) fn any() -> Arc<Gate> {
    static GATE: OnceLock<Arc<Gate>> = OnceLock::new();
    GATE.get_or_init(load).clone()
}

fn load() -> Arc<Gate> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let runtime = Runtime::start(RuntimeOptions {
        capacity: Capacity { instances: 1, memory_bytes: 1 << 20, gate_instances: 1, ..Capacity::default() },
        schedule: Schedule::default(),
        compiler: Compiler::Here,
        cache: cache.path().join("cache"),
        buckets: Arc::new(Stores::new(MemoryBuckets::new(StoreLimits::default()), None)),
        transport: Arc::new(Outbound::new(&OutboundOptions::default()).unwrap()),
    })
    .unwrap();
    let setting = GateSetting {
        totals: TenantTotals::default(),
        tenant: Name::new("acme").unwrap(),
        policy: Vec::new(),
        buckets: Vec::new(),
        routes: Vec::new(),
        backend: Backend::Memory,
        manifest: Manifest { file: PathBuf::new(), table: String::new() },
    };
    tokio.block_on(runtime.load_gate(parts(), setting)).unwrap()
}

/// Each takes its configuration, and would trap if it were asked for more.
fn parts() -> GateParts {
    let gate = r#"(module
        (import "tollgate:gate/policy@0.1.0" "configure" (func (param i32 i32 i32)))
        (import "tollgate:gate/limiter@0.1.0" "configure" (func (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tollgate:gate/admission@0.1.0#configure")
            (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 16))
        (func (export "tollgate:gate/admission@0.1.0#admit") (param i32) (result i32) unreachable)
        (func (export "tollgate:gate/admission@0.1.0#settle") (param i32) (result i32) unreachable))"#;
    let policy = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tollgate:gate/policy@0.1.0#configure") (param i32 i32) (result i32) (i32.const 16))
        (func (export "tollgate:gate/policy@0.1.0#decide") (param i32) (result i32) unreachable))"#;
    let limiter = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tollgate:gate/limiter@0.1.0#configure")
            (param i32 i32 i32 i32) (result i32) (i32.const 16))
        (func (export "tollgate:gate/limiter@0.1.0#take") (param i32 i32 i64) (result i32) unreachable)
        (func (export "tollgate:gate/limiter@0.1.0#settle") (param i32 i32 i64) (result i32) unreachable))"#;
    let key = SigningKey::generate().unwrap();
    GateParts {
        gate: part("gatekeeper", gate, &key),
        policy: part("policy-engine", policy, &key),
        limiter: part("rate-limiter", limiter, &key),
    }
}

/// A component of this world, signed and verified.
fn part(world: &str, text: &str, key: &SigningKey) -> Verified {
    let wit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    for package in ["deps/keyvalue", "platform"] {
        resolve.push_path(wit.join(package)).unwrap();
    }
    let (package, _) = resolve.push_path(wit.join("gate")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let bytes = ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap();
    let imports = tollgate_runtime::Inspection::of(&bytes).unwrap().imports;
    let release = Release {
        package: "house:part".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        world: "tollgate:gate/gate@0.1.0".into(),
        imports: imports.into_iter().map(|import| import.name).collect(),
        not_before: jiff::Timestamp::UNIX_EPOCH,
        not_after: None,
        sequence: 1,
        supersedes: None,
    };
    let rule = "[[packages]]\npattern = \"house:*\"\nkeys = [\"house\"]\nthreshold = 1\n";
    let root = key_entry(&"house".parse().unwrap(), &key.public()) + rule;
    let root = TrustRoot::parse(&root, std::path::Path::new("trust.toml")).unwrap();
    let envelope = sign(&bytes, release, key).unwrap();
    verify(bytes, &envelope, &root, jiff::Timestamp::now()).unwrap()
}
