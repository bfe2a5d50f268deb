//! The gate: policy, limiter and the order of admission, composed of three signed components into one.
//!
//! The composition is derived, like compiled code: each part was verified by itself and keeps its digest. Instances
//! stay warm, and each is used by one request at a time; one that fails is dropped, and while a gate keeps failing
//! new ones are made with growing pauses.

mod bucket;

use crate::account::{Account, Spent};
use crate::bindings::admission::{self, GateConfig, Quota, RoutePlan};
use crate::bindings::tollgate::gate::types;
use crate::bindings::{Diagnostic, Entry, Facts, Usage};
use crate::cache::CacheError;
use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::fault::Breach;
use crate::idle::Shelf;
use crate::limits::{Limits, TenantTotals};
use crate::link;
use crate::load::{LoadError, Manifest, inspect};
use crate::names::Name;
use crate::runtime::Runtime;
use crate::state::{State, StoreParts};
use crate::store::{armed, metered};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tollgate_trust::{Blake3, Verified};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// What a decision may take. A policy set that needs more is not for every request.
const DECISION_CPU: Duration = Duration::from_millis(100);
const DECISION_WALL: Duration = Duration::from_secs(2);

/// How long a request waits for an instance while all of them decide.
const TURN_WAIT: Duration = Duration::from_secs(2);

const GATE_MEMORY_BYTES: usize = 64 << 20;

/// What it may take to make an instance and configure it: a thousand policies are parsed in about 0.1 s.
const CONFIGURE_CPU: Duration = Duration::from_secs(5);
const CONFIGURE_WALL: Duration = Duration::from_secs(20);

/// How much of what a policy engine says goes into a record.
const POLICIES_MOST: usize = 64;
const REASONS_MOST: usize = 8;
const TEXT_BYTES_MOST: usize = 512;

/// The interfaces that the parts of a gate meet at.
const TYPES: &str = "tollgate:gate/types@0.1.0";
const POLICY: &str = "tollgate:gate/policy@0.1.0";
const LIMITER: &str = "tollgate:gate/limiter@0.1.0";
const ADMISSION: &str = "tollgate:gate/admission@0.1.0";

/// The store that buckets count in. No app may open it.
pub const COUNTS: &str = "limits";

/// The pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The parts of a gate, each verified.
pub struct GateParts {
    /// The order of admission.
    pub gate: Verified,
    /// The policy engine.
    pub policy: Verified,
    /// The rate limiter.
    pub limiter: Verified,
}

impl GateParts {
    /// Tells one choice of parts from another: by their bytes, and by what was signed of their imports, so that those
    /// are compared once for each choice.
    fn digest(&self) -> Blake3 {
        let parts = [&self.gate, &self.policy, &self.limiter];
        let told = parts.map(|part| format!("{} {}\n", part.blake3(), part.release().imports.join(" ")));
        Blake3::of(told.concat().as_bytes())
    }

    /// The parts composed into one component, as bytes; each imports what its role may, or there is none. What runs
    /// gates elsewhere derives its code from this, as this host does.
    ///
    /// # Errors
    /// A part imports more than it may, or the parts do not fit together. `name` and `manifest` are for messages.
    pub fn composed(&self, name: &str, manifest: &Manifest) -> Result<Vec<u8>, LoadError> {
        self.check_imports(name, manifest)?;
        compose(self).map_err(|error| LoadError::Compile {
            name: name.to_owned(),
            source: CacheError::Compile(wasmtime::Error::msg(error.to_string())),
        })
    }

    /// Composed, all parts share one linker: so it is here that a policy engine is kept from the counts, and from
    /// everything else that is not in its facts. Whoever composes them elsewhere has to ask as well.
    ///
    /// # Errors
    /// The part that imports more than its role needs, or is no component; the manifest says where it is configured.
    pub fn check_imports(&self, name: &str, manifest: &Manifest) -> Result<(), LoadError> {
        let parts: [(&str, &Verified, &[&str]); 3] = [
            ("order of admission", &self.gate, &[TYPES, POLICY, LIMITER]),
            ("policy engine", &self.policy, &[TYPES]),
            (
                "rate limiter",
                &self.limiter,
                &[TYPES, "wasi:keyvalue/store@0.2.0-draft2", "wasi:keyvalue/atomics@0.2.0-draft2"],
            ),
        ];
        for (role, part, may) in parts {
            let inspection = inspect(name, part)?;
            if let Some(import) =
                inspection.imports.iter().find(|import| !may.contains(&import.name.as_str()))
            {
                return Err(LoadError::NotGranted {
                    name: name.to_owned(),
                    import: import.name.clone(),
                    manifest: manifest.clone(),
                    help: format!("a {role} may import only {}: remove the import", may.join(", ")),
                });
            }
        }
        Ok(())
    }
}

/// What a gate is to do for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSetting {
    /// The tenant.
    pub tenant: Name,
    /// What the tenant may take in all.
    pub totals: TenantTotals,
    /// What the policy engine is configured with.
    pub policy: Vec<u8>,
    /// The buckets.
    pub buckets: Vec<BucketSetting>,
    /// For each route, the buckets that it draws on.
    pub routes: Vec<(Name, Vec<Name>)>,
    /// What the counts stand on.
    pub backend: crate::Backend,
    /// Where it is configured.
    pub manifest: Manifest,
}

pub use bucket::{BucketSetting, Consistency};

/// What a bucket counts.
pub use types::Unit;

/// What tells one count of a bucket from another.
pub use admission::KeyField;

/// What to do while a gate can't decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureMode {
    /// Nobody passes.
    #[default]
    Closed,
    /// Everybody passes, and the record says so.
    Open,
}

/// Proof that the gate let one request in.
///
/// Made only by [`Gate::admit`]; taken by value to run; ends in exactly one record.
#[must_use = "an admitted request must be run and settled"]
pub struct Permit {
    pub(crate) policies: Vec<String>,
    pub(crate) charges: Vec<admission::Charge>,
    pub(crate) headers: Vec<(String, String)>,
    /// The gate was down, and the route's failure mode is open.
    pub(crate) unchecked: bool,
}

/// Why the gate did not let a request in.
pub use admission::Refusal;

/// Why there is no permit.
pub enum NotAdmitted {
    /// The gate said no, or could not decide.
    Refused(Refusal),
    /// All of the gate's instances were deciding for others.
    Busy,
}

/// Why a call into the gate gave nothing.
enum NoAnswer {
    Busy,
    Failed(String),
}

/// A gate of one tenant, configured.
pub struct Gate {
    tenant: Name,
    pub(crate) account: Arc<Account>,
    parts: StoreParts,
    limits: Arc<Limits>,
    /// Held so that tenants with the same parts find it.
    _code: Arc<Component>,
    pre: InstancePre<State>,
    indices: admission::GuestIndices,
    config: GateConfig,
    idle: Arc<Shelf<Warm>>,
    /// One for each instance that may live.
    turns: Semaphore,
    health: Mutex<Health>,
}

struct Warm {
    store: Store<State>,
    guest: admission::Guest,
}

/// Since when, and how long, nothing is tried.
#[derive(Default)]
struct Health {
    pause: Option<(Instant, Duration)>,
}

impl Runtime {
    /// Composes, compiles and configures a gate, unless one that is the same lives already.
    pub async fn load_gate(
        self: &Arc<Self>,
        parts: GateParts,
        setting: GateSetting,
    ) -> Result<Arc<Gate>, LoadError> {
        let name = format!("{}/gate", setting.tenant);
        let digest = parts.digest();
        let origin = (digest, setting.clone());
        if let Some(gate) = self.living.find(&name, &origin) {
            return Ok(gate);
        }
        let compile = |source| LoadError::Compile { name: name.clone(), source: CacheError::Compile(source) };
        let code = self.gate_code(&name, digest, parts, &setting.manifest).await?;
        let linker = link::gate_linker(&self.engines.gates).map_err(compile)?;
        let pre = linker.instantiate_pre(&code).map_err(compile)?;
        let indices = admission::GuestIndices::new(&pre).map_err(compile)?;
        let store = Name::new(COUNTS).map_err(|error| compile(wasmtime::format_err!("{error}")))?;
        let bucket = self.buckets.bucket(&setting.tenant, &store, setting.backend).map_err(|error| {
            LoadError::Grant { name: name.clone(), grant: "limits".into(), reason: error.to_string() }
        })?;
        let gate = Arc::new(Gate {
            parts: StoreParts::for_host(self, &setting.tenant, [(store, bucket)].into(), None),
            limits: Arc::new(gate_limits()),
            tenant: setting.tenant.clone(),
            account: self.account(&setting.tenant, &setting.totals),
            _code: code,
            pre,
            indices,
            config: config(&setting),
            idle: self.shelves.add(EngineKind::Gates, &setting.tenant),
            turns: Semaphore::new(self.capacity.gate_instances as usize),
            health: Mutex::default(),
        });
        match gate.make().await {
            Ok(warm) => gate.idle.put(warm, usize::MAX),
            Err(GateError::Configuration(diagnostics)) => {
                return Err(LoadError::Configuration {
                    name,
                    diagnostics: diagnostics.iter().map(line).collect(),
                });
            }
            Err(GateError::Engine(error)) => return Err(compile(error)),
        }
        self.living.keep(name, origin, &gate);
        Ok(gate)
    }
}

impl Runtime {
    /// The code of a gate of these parts. Most tenants have the same.
    async fn gate_code(
        self: &Arc<Self>,
        name: &str,
        digest: Blake3,
        parts: GateParts,
        manifest: &Manifest,
    ) -> Result<Arc<Component>, LoadError> {
        if let Some(code) = self.shared(EngineKind::Gates, digest) {
            return Ok(code);
        }
        // Away from the threads that serve; and should something panic over a tenant's bytes, only this gate is lost.
        let failed = |error: String| LoadError::Compile {
            name: name.to_owned(),
            source: CacheError::Compile(wasmtime::Error::msg(error)),
        };
        let (named, manifest) = (name.to_owned(), manifest.clone());
        let composed = self.aside(move || parts.composed(&named, &manifest));
        let composed = composed.await.map_err(|error| failed(format!("it can't be composed: {error}")))??;
        self.compile(name, EngineKind::Gates, digest, composed.into()).await
    }
}

/// What a policy engine says goes into a record, as far as a record has room for it: a tenant's own engine may say
/// anything.
fn bounded(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Denied(denied) => Refusal::Denied(admission::Denied {
            policies: few(denied.policies),
            errors: denied.errors.into_iter().take(REASONS_MOST).map(short).collect(),
        }),
        Refusal::Limited(limited) => {
            Refusal::Limited(admission::RefusedRate { policies: few(limited.policies), ..limited })
        }
        Refusal::Failed(reason) => Refusal::Failed(short(reason)),
    }
}

fn few(policies: Vec<String>) -> Vec<String> {
    policies.into_iter().take(POLICIES_MOST).map(short).collect()
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MOST));
    text
}

/// One line for one diagnostic.
fn line(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message.clone();
    if let Some(place) = &diagnostic.place {
        text = format!("`{place}`: {text}");
    }
    if let Some(line) = diagnostic.line {
        text = format!("line {line}: {text}");
    }
    text
}

/// Why a gate instance could not be made or used.
enum GateError {
    Configuration(Vec<Diagnostic>),
    Engine(wasmtime::Error),
}

impl From<wasmtime::Error> for GateError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

impl Gate {
    /// Asks the gate. One call into one warm instance.
    ///
    /// A gate with more to do than it can is not a failed gate: whatever the failure mode, nobody gets around a
    /// policy by asking more often.
    pub async fn admit(&self, facts: &Facts, failure: FailureMode) -> Result<Permit, NotAdmitted> {
        let answered =
            self.with(async |warm: &mut Warm| warm.guest.call_admit(&mut warm.store, facts).await).await;
        match answered {
            Ok(Ok(permit)) => {
                let admission::Permit { policies, charges, headers } = permit;
                Ok(Permit { policies: few(policies), charges, headers, unchecked: false })
            }
            Err(NoAnswer::Busy) => Err(NotAdmitted::Busy),
            Ok(Err(Refusal::Failed(reason))) | Err(NoAnswer::Failed(reason))
                if failure == FailureMode::Open =>
            {
                tracing::error!(target: "tollgate::gate", reason, "the gate failed, and the route lets everybody in");
                Ok(Permit { policies: Vec::new(), charges: Vec::new(), headers: Vec::new(), unchecked: true })
            }
            Ok(Err(refusal)) => Err(NotAdmitted::Refused(bounded(refusal))),
            Err(NoAnswer::Failed(reason)) => Err(NotAdmitted::Refused(Refusal::Failed(short(reason)))),
        }
    }

    /// Settles what was taken, and has the record made. What was taken is worth a second attempt, once the gate is
    /// asked again.
    pub(crate) async fn settle(&self, facts: &Facts, ending: &admission::Ending) -> Result<Entry, String> {
        let settled = self.settle_once(facts, ending).await;
        if settled.is_ok() || ending.charges.is_empty() {
            return settled;
        }
        let pause = self.health.lock().pause;
        if let Some((until, _)) = pause {
            tokio::time::sleep_until(until.into()).await;
        }
        self.settle_once(facts, ending).await
    }

    async fn settle_once(&self, facts: &Facts, ending: &admission::Ending) -> Result<Entry, String> {
        let settled = self
            .with(async |warm: &mut Warm| warm.guest.call_settle(&mut warm.store, facts, ending).await)
            .await;
        settled.map_err(|unanswered| match unanswered {
            NoAnswer::Busy => "the gate was busy".into(),
            NoAnswer::Failed(reason) => reason,
        })
    }

    /// What it runs in.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.parts.runtime()
    }

    /// Puts what a request took on the tenant's account.
    pub(crate) fn spent(&self, usage: &Usage) {
        let schedule = self.parts.runtime().schedule();
        self.account.spend(Spent {
            requests: 1,
            gas: usage.gas,
            gas_for_fuel: schedule.fuel(usage.fuel),
            gas_for_memory: schedule.memory(usage.memory_bytes),
            host_calls: usage.host_calls,
        });
    }

    /// Whether the gate would be asked now: it could decide when it was last asked, or the pause after that is over.
    pub fn is_up(&self) -> bool {
        self.health.lock().pause.is_none_or(|(until, _)| Instant::now() >= until)
    }

    /// Lends a warm instance to one call. It is given back only if the call went well.
    async fn with<R>(&self, call: impl AsyncFnOnce(&mut Warm) -> wasmtime::Result<R>) -> Result<R, NoAnswer> {
        let _turn = match self.turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => match timeout(TURN_WAIT, self.turns.acquire()).await {
                Ok(Ok(turn)) => turn,
                _ => return Err(NoAnswer::Busy),
            },
        };
        let mut warm = match self.idle.take() {
            Some(warm) => warm,
            None => self.make_unless_paused().await?,
        };
        let clock = Arc::new(RunClock::rough(Instant::now()));
        warm.store.data_mut().meter.begin(clock.clone(), self.limits.clone());
        warm.store.set_epoch_deadline(1);
        let answered =
            metered(&clock, &self.limits, Some(self.account.turns.first_seat()), call(&mut warm)).await;
        // Only by a breach: the clock of a call takes every wait of less than a tick for work.
        if matches!(answered, Err(Breach::Cpu)) {
            self.account.turns.computes_long();
        }
        let failed = match answered {
            Ok(Ok(answer)) => {
                self.health.lock().pause = None;
                // No more than there are turns.
                self.idle.put(warm, usize::MAX);
                return Ok(answer);
            }
            Ok(Err(error)) => format!("{error:#}"),
            // It was not asked for most of that time.
            Err(Breach::Deadline | Breach::HostWait) if clock.lined() >= DECISION_WALL / 2 => {
                return Err(NoAnswer::Busy);
            }
            Err(breach) => breach.to_string(),
        };
        drop(warm);
        self.failed(&failed);
        Err(NoAnswer::Failed(failed))
    }

    /// Notes a failure: until the pause is over no new instance is made.
    fn failed(&self, reason: &str) {
        let mut health = self.health.lock();
        let pause = health.pause.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        health.pause = Some((Instant::now() + pause, pause));
        tracing::error!(target: "tollgate::gate", tenant = %self.tenant, reason, ?pause, "a gate instance failed");
    }

    async fn make_unless_paused(&self) -> Result<Warm, NoAnswer> {
        let pause = self.health.lock().pause;
        if let Some((until, _)) = pause
            && Instant::now() < until
        {
            return Err(NoAnswer::Failed("the gate failed, and is not tried again yet".into()));
        }
        self.make().await.map_err(|error| {
            let reason = match error {
                // Others have all instances that there may be: that is no failure of this gate's.
                GateError::Engine(error)
                    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() =>
                {
                    return NoAnswer::Busy;
                }
                GateError::Configuration(diagnostics) => {
                    diagnostics.iter().map(line).collect::<Vec<_>>().join("; ")
                }
                GateError::Engine(error) => format!("{error:#}"),
            };
            self.failed(&reason);
            NoAnswer::Failed(reason)
        })
    }

    /// Makes a configured instance. When the pool is full, those go that other tenants have not asked for longest.
    async fn make(&self) -> Result<Warm, GateError> {
        match self.make_once().await {
            Err(GateError::Engine(error))
                if self
                    .parts
                    .runtime()
                    .shelves
                    .make_room(EngineKind::Gates, &self.tenant, &error)
                    .is_some() =>
            {
                self.make_once().await
            }
            made => made,
        }
    }

    async fn make_once(&self) -> Result<Warm, GateError> {
        let clock = Arc::new(RunClock::rough(Instant::now()));
        let limits = Arc::new(Limits {
            cpu: CONFIGURE_CPU,
            deadline: CONFIGURE_WALL,
            host_wait: CONFIGURE_WALL,
            ..(*self.limits).clone()
        });
        let state = self.parts.state(&limits, clock.clone());
        let work = async {
            let mut store = armed(self.pre.engine(), state)?;
            let instance = self.pre.instantiate_async(&mut store).await?;
            let guest = self.indices.load(&mut store, &instance)?;
            let mut warm = Warm { store, guest };
            match warm.guest.call_configure(&mut warm.store, &self.config).await? {
                Ok(()) => Ok(warm),
                Err(diagnostics) => Err(GateError::Configuration(diagnostics)),
            }
        };
        match metered(&clock, &limits, Some(self.account.turns.first_seat()), work).await {
            Ok(made) => made,
            Err(breach) => Err(GateError::Engine(wasmtime::Error::new(breach))),
        }
    }
}

/// What every gate instance is bound by.
fn gate_limits() -> Limits {
    Limits {
        cpu: DECISION_CPU,
        deadline: DECISION_WALL,
        host_wait: DECISION_WALL,
        memory_bytes: GATE_MEMORY_BYTES,
        fuel: u64::MAX / 2,
        gas: u64::MAX / 2,
        host_calls: u64::MAX / 2,
        ..Limits::default()
    }
}

fn config(setting: &GateSetting) -> GateConfig {
    let quota = |bucket: &BucketSetting| Quota {
        bucket: types::Bucket {
            name: bucket.name.as_str().into(),
            unit: bucket.unit,
            quota: bucket.quota,
            window: u64::try_from(bucket.window.as_nanos()).unwrap_or(u64::MAX),
        },
        key: bucket.key.clone(),
        reserve: bucket.reserve,
    };
    let plan = |(route, buckets): &(Name, Vec<Name>)| RoutePlan {
        route: format!("{}/{route}", setting.tenant),
        buckets: buckets.iter().map(|name| name.as_str().into()).collect(),
    };
    GateConfig {
        policy: setting.policy.clone(),
        quotas: setting.buckets.iter().map(quota).collect(),
        routes: setting.routes.iter().map(plan).collect(),
        store: COUNTS.into(),
    }
}

/// Plugs the policy engine and the limiter into the order of admission.
fn compose(parts: &GateParts) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut graph = CompositionGraph::new();
    let mut part = |name: &str, component: &Verified| {
        let package = Package::from_bytes(name, None, component.bytes().to_vec(), graph.types_mut())?;
        let package = graph.register_package(package)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(graph.instantiate(package))
    };
    let policy = part("tollgate:policy", &parts.policy)?;
    let limiter = part("tollgate:limiter", &parts.limiter)?;
    let gate = part("tollgate:gatekeeper", &parts.gate)?;
    let decides = graph.alias_instance_export(policy, POLICY)?;
    graph.set_instantiation_argument(gate, POLICY, decides)?;
    let counts = graph.alias_instance_export(limiter, LIMITER)?;
    graph.set_instantiation_argument(gate, LIMITER, counts)?;
    let admits = graph.alias_instance_export(gate, ADMISSION)?;
    graph.export(admits, ADMISSION)?;
    Ok(graph.encode(EncodeOptions::default())?)
}
