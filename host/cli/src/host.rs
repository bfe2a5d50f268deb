//! A whole host in one value: stores, runtime, gate, apps, audit book and listener, put together from a checked
//! configuration. The command line is not in here, so a test can start a host, ask it, reload it and stop it.

mod book;
mod reload;

pub use book::BookStartError;
pub use reload::{ReloadError, Reloaded};

use crate::config::{self, Config};
use crate::house::{self, Common, HouseError, Loaded, LoadedApp, Papers, Trouble, blocking, read_schedule};
use crate::memory;
use crate::output::chain;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tollgate_runtime::{
    Backend, BucketSetting, COUNTS, Capacity, Compiler, Counters, Entry, Line, Name, NameError, Runtime,
    RuntimeOptions, Unit,
};
use tollgate_server::{
    AuditBook, Check, Hour, LineHandler, ListenError, ListenerOptions, MemoryBuckets, Metrics, OnRecord,
    Outbound, OutboundOptions, Running, Server, ServerOptions, ServerParts, SqliteBuckets, SqliteError,
    StoreLimits, Stores, TlsFiles, UsageTotals, gates_check, line_status, observe_tenants,
};
use tollgate_trust::TrustRoot;

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What the configuration names is not fit.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The state directory can't be used.
    #[error("state directory `{}` can't be used", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database can't be opened.
    #[error("the database in the state directory can't be opened")]
    Database(#[from] SqliteError),
    /// The engine can't start.
    #[error(transparent)]
    Runtime(#[from] tollgate_runtime::StartError),
    /// The audit log can't be opened.
    #[error("the audit log can't be opened")]
    Book(#[from] BookStartError),
    /// Outgoing requests can't be made.
    #[error("outgoing TLS can't be set up: {0}")]
    Outbound(String),
    /// Nothing can be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A host that runs.
pub struct RunningHost {
    shared: Arc<Shared>,
    server: Running,
    /// Removed with the host: compiled code, where there is no state directory.
    _scratch: Option<tempfile::TempDir>,
}

/// What serving and reloading share.
struct Shared {
    runtime: Arc<Runtime>,
    line: Arc<Line>,
    book: Arc<AuditBook>,
    stores: Arc<Stores>,
    state: Mutex<State>,
    /// The trust file as it was when it was last looked at while a reload was under way.
    trust_seen: Mutex<Option<TrustRoot>>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// The configuration in force, and what came of it.
#[derive(Clone)]
struct State {
    config: Arc<Config>,
    apps: Vec<LoadedApp>,
    troubles: Vec<Trouble>,
    /// What runs was signed with.
    papers: Vec<Papers>,
    /// Why the newest file was not taken.
    reload_failure: Option<String>,
}

/// Where a host can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Whether with TLS.
    pub tls: bool,
    /// Where health, metrics and status are.
    pub admin: SocketAddr,
}

/// Starts a host, which has components compiled by `compiler`. Nothing is listened on before everything is loaded.
///
/// # Errors
/// What all tenants need and is not there. What only one tenant brings is left out, and named by
/// [`RunningHost::troubles`].
pub async fn start(config: Config, compiler: Compiler) -> Result<RunningHost, StartError> {
    let (directory, scratch) = directory(&config)?;
    let sqlite = match &config.host.state {
        Some(state) => Some(SqliteBuckets::open(&state.join("tollgate.sqlite"), StoreLimits::default())?),
        None => None,
    };
    let stores = Arc::new(Stores::new(MemoryBuckets::new(StoreLimits::default()), sqlite));
    let outbound = Outbound::new(&OutboundOptions::default())
        .map_err(|error| StartError::Outbound(error.to_string()))?;
    let capacity = config.host.capacity.clone();
    let process_bytes = capacity.process_bytes.min(memory::available().unwrap_or(u64::MAX));
    let runtime = Runtime::start(RuntimeOptions {
        capacity: Capacity { process_bytes, ..capacity },
        schedule: read_schedule(&config)?,
        compiler,
        cache: directory.join("cache"),
        buckets: stores.clone(),
        transport: Arc::new(outbound),
    })?;
    tokio::spawn(memory::watch(Arc::downgrade(&runtime)));
    let config = Arc::new(config);
    let read = config.clone();
    let common = Arc::new(blocking(move || Common::read(&read)).await??);
    let metrics = Arc::new(Metrics::new());
    let book = book::open(&config, &common, &runtime, on_record(&metrics, &stores)).await?;
    let Loaded { house, apps, troubles, papers } = house::load(&runtime, &config).await?;
    troubles.iter().for_each(house::Trouble::log);
    let line = Line::new(house, book.clone());
    observe(&metrics, &line);
    observe_tenants(&metrics, &line);
    let state = Mutex::new(State { config: config.clone(), apps, troubles, papers, reload_failure: None });
    let (trust_seen, turn) = (Mutex::default(), tokio::sync::Mutex::default());
    let shared = Arc::new(Shared { runtime, line, book, stores, state, trust_seen, turn });
    shared.forget_idle_counts(&config).await;
    shared.count_the_hour().await;
    let server = Server::start(server_options(&config), shared.parts(metrics))?;
    Ok(RunningHost { shared, server, _scratch: scratch })
}

/// The state directory, or one that goes when the host does.
fn directory(config: &Config) -> Result<(PathBuf, Option<tempfile::TempDir>), StartError> {
    match &config.host.state {
        Some(state) => {
            let failed = |source| StartError::State { path: state.clone(), source };
            private_directory(state).map_err(failed)?;
            Ok((state.clone(), None))
        }
        None => {
            let scratch = tempfile::tempdir()
                .map_err(|source| StartError::State { path: std::env::temp_dir(), source })?;
            Ok((scratch.path().to_owned(), Some(scratch)))
        }
    }
}

/// Makes a directory that only its owner can enter, unless it is there.
fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn server_options(config: &Config) -> ServerOptions {
    let tls = config.host.tls.as_ref().map(|tls| TlsFiles { chain: tls.cert.clone(), key: tls.key.clone() });
    let listener = ListenerOptions { address: config.host.listen, tls, ..config.host.listener.options() };
    // Few ask here, and one who holds connections open keeps nobody else out.
    let admin = ListenerOptions {
        address: config.host.admin,
        connections: 256,
        connections_per_client: 64,
        ..ListenerOptions::default()
    };
    ServerOptions { listeners: vec![listener], admin: Some(admin), drain: config.host.drain }
}

/// What is done with every durable record beside the log: metrics, and each tenant's sums of the hour.
fn on_record(metrics: &Arc<Metrics>, stores: &Arc<Stores>) -> Arc<OnRecord> {
    let metrics = metrics.clone();
    let usage = stores.sqlite().map(SqliteBuckets::usage_book);
    Arc::new(move |entry: &Entry| {
        metrics.record(entry);
        let Some(usage) = &usage else { return };
        let Ok::<Name, NameError>(tenant) = Name::new(&entry.tenant) else { return };
        let used = UsageTotals {
            requests: 1,
            gas: entry.usage.gas,
            bytes_in: entry.usage.bytes_in,
            bytes_out: entry.usage.bytes_out,
        };
        let hour = Hour::of(UNIX_EPOCH + Duration::from_nanos(entry.time));
        usage.add(&tenant, hour, used);
    })
}

/// Requests of which there is no record, because they named no tenant.
fn observe(metrics: &Metrics, line: &Arc<Line>) {
    type Figure = fn(&Counters) -> &AtomicU64;
    let figures: [(&str, &str, Figure); 2] = [
        ("requests_unreadable", "Requests that could not be understood", |counters| &counters.unreadable),
        ("requests_unrouted", "Requests that no route answers", |counters| &counters.unrouted),
    ];
    for (name, help, figure) in figures {
        let line = Arc::downgrade(line);
        metrics.observe(name, help, move || {
            let count = line.upgrade().map_or(0, |line| figure(line.counters()).load(Ordering::Relaxed));
            i64::try_from(count).unwrap_or(i64::MAX)
        });
    }
}

impl Shared {
    /// What the server asks and shows.
    fn parts(self: &Arc<Self>, metrics: Arc<Metrics>) -> ServerParts {
        let mut checks = vec![gates_check(self.line.clone())];
        if let Some(sqlite) = self.stores.sqlite() {
            let sqlite = sqlite.clone();
            checks.push(Check::new("sqlite", move || {
                let committed = sqlite.check();
                Box::pin(async move { committed.await.map_err(|error| error.to_string()) })
            }));
        }
        let shared = self.clone();
        ServerParts {
            handler: Arc::new(LineHandler::new(self.line.clone())),
            book: Some(self.book.clone()),
            metrics,
            checks,
            status: Box::new(move || shared.status()),
        }
    }

    /// What `/status` shows: the line's figures, and which configuration is in force.
    fn status(&self) -> Value {
        let state = self.state.lock().clone();
        let mut status = line_status(&self.line);
        if let Some(status) = status.as_object_mut() {
            let configuration = json!({
                "file": state.config.file,
                "in_force": if state.reload_failure.is_some() { "the one before" } else { "the newest" },
                "reload_failure": state.reload_failure,
            });
            status.insert("configuration".to_owned(), configuration);
            let memory = self.runtime.memory_used();
            status.insert("memory_bytes".to_owned(), json!({ "used": memory.used, "limit": memory.limit }));
            let (code, idle) = self.runtime.kept();
            status.insert("kept".to_owned(), json!({ "components": code, "idle_instances": idle }));
            status.insert("gas_schedule".to_owned(), json!(self.runtime.schedule().id()));
            status.insert("apps".to_owned(), json!(state.apps));
            status.insert("refused".to_owned(), json!(state.troubles));
        }
        status
    }

    /// What tenants used in this hour before this process began is used.
    async fn count_the_hour(&self) {
        let Some(sqlite) = self.stores.sqlite() else { return };
        let hour = Hour::of(SystemTime::now());
        match sqlite.usage_book().of_hour(hour).await {
            Ok(used) => {
                used.iter().for_each(|(tenant, sums)| self.runtime.count_earlier(tenant, hour.0, sums.gas));
            }
            Err(error) => {
                tracing::error!(target: "tollgate::store", error = chain(&error), "the gas of this hour is counted anew");
            }
        }
    }

    /// Lets counts go once nothing can be owed on them: a caller who invents a new key for each request fills no
    /// store.
    async fn forget_idle_counts(&self, config: &Config) {
        let Ok(store) = Name::new(COUNTS) else { return };
        for tenant in &config.tenants {
            let Some(longest) = tenant.buckets.iter().map(|bucket| longest_debt(tenant, bucket)).max() else {
                continue;
            };
            match (config.gate.store, self.stores.sqlite()) {
                (Backend::Memory, _) => self.stores.memory().forget_idle(&tenant.name, &store, longest),
                (Backend::Sqlite, Some(sqlite)) => {
                    if let Err(error) = sqlite.forget_idle(&tenant.name, &store, longest).await {
                        tracing::error!(target: "tollgate::store", tenant = %tenant.name, error = chain(&error), "idle counts are kept");
                    }
                }
                (Backend::Sqlite, None) => {}
            }
        }
    }
}

/// How long a count of this bucket can be in debt. A request takes no more than its quota; but gas is settled after
/// the run, and then as many runs as there may be at one time can each have used up to their limit.
fn longest_debt(tenant: &config::Tenant, bucket: &BucketSetting) -> Duration {
    let gas = tenant.apps.iter().map(|app| app.limits.gas).max().unwrap_or_default();
    let owed = match bucket.unit {
        Unit::Requests => 0,
        Unit::Gas => u128::from(gas) * tenant.totals.concurrent_requests as u128,
    };
    let windows = 1 + owed.div_ceil(u128::from(bucket.quota.max(1)));
    bucket.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
}

impl RunningHost {
    /// Where it can be reached.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let config = self.config();
        Addresses {
            listen: self.server.addresses().first().copied().unwrap_or(config.host.listen),
            tls: config.host.tls.is_some(),
            admin: self.server.admin_address().unwrap_or(config.host.admin),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.shared.state.lock().config.clone()
    }

    /// The apps that run.
    #[must_use]
    pub fn apps(&self) -> Vec<LoadedApp> {
        self.shared.state.lock().apps.clone()
    }

    /// What was not taken in, and why, as it is said to the operator.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.shared.state.lock().troubles.iter().map(ToString::to_string).collect()
    }

    /// Why the newest file was not taken; none when it was.
    #[must_use]
    pub fn reload_failure(&self) -> Option<String> {
        self.shared.state.lock().reload_failure.clone()
    }

    /// Reads the configuration again, and takes it whole or not at all. Requests under way end as they began.
    ///
    /// # Errors
    /// Why it was not taken; the old one is in force.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.shared.reload(self.server.certificates()).await
    }

    /// Looks at the trust file, and takes out of service at once what may not run by it any more, without waiting for a
    /// reload that is under way and may have much to compile. Requests under way end. What two looks in a row have not
    /// seen does not count yet.
    pub async fn look_at_trust(&self) {
        self.shared.look_at_trust().await;
    }

    /// Stops: takes no more connections, lets requests end, at most for the configured time, and closes the book.
    /// Returns whether every request came to its end.
    pub async fn drain(&self) -> bool {
        let whole = self.server.drain().await;
        if let Some(sqlite) = self.shared.stores.sqlite()
            && let Err(error) = sqlite.usage_book().flush().await
        {
            tracing::error!(target: "tollgate::store", error = chain(&error), "sums of this hour are lost");
        }
        whole
    }
}
