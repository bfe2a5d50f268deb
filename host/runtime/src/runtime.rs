//! What one host has once: engines, cache, prices and the adapter's services.

use crate::account::Account;
use crate::cache::{CacheError, CompileCache};
use crate::clean;
use crate::compile::Compiler;
use crate::engine::{EngineKind, Engines};
use crate::gas::Schedule;
use crate::gauge::{Gauge, Used};
use crate::idle::Shelves;
use crate::kept::Kept;
use crate::limits::{Capacity, TenantTotals};
use crate::names::Name;
use crate::place::Hall;
use crate::pressure::{Pressure, Relief};
use crate::seams::{Buckets, Transport};
use crate::threads::Background;
use crate::turns::Turns;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tollgate_trust::Blake3;
use wasmtime::component::Component;

/// What a runtime is made of.
pub struct RuntimeOptions {
    /// How much the host may take.
    pub capacity: Capacity,
    /// What work costs.
    pub schedule: Schedule,
    /// What compiles components.
    pub compiler: Compiler,
    /// The directory for compiled code. Made if it is not there; must be closed to other users.
    pub cache: PathBuf,
    /// Where key-value stores come from.
    pub buckets: Arc<dyn Buckets>,
    /// What sends outgoing requests.
    pub transport: Arc<dyn Transport>,
}

/// What one host has once.
pub struct Runtime {
    pub(crate) capacity: Capacity,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) engines: Engines,
    pub(crate) compiler: Compiler,
    pub(crate) cache: CompileCache,
    pub(crate) compile_turn: Semaphore,
    pub(crate) buckets: Arc<dyn Buckets>,
    pub(crate) transport: Arc<dyn Transport>,
    /// Code that is in use, by engine and digest: tenants with the same bytes share one mapping.
    pub(crate) code: Mutex<HashMap<(EngineKind, Blake3), Weak<Component>>>,
    /// Apps and gates that live, for the next configuration.
    pub(crate) living: Kept,
    /// What apps and gates keep for their next request.
    pub(crate) shelves: Shelves,
    /// Every tenant of whom anything lives.
    accounts: Mutex<HashMap<Name, Weak<Account>>>,
    /// The memory that all tenants' instances hold.
    memory: Arc<Gauge>,
    hall: Arc<Hall>,
    turns: Arc<Turns>,
    pub(crate) pressure: Pressure,
    pub(crate) background: Background,
}

/// A runtime that can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The compile cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A slot of the pool kept something of the instance before.
    #[error("the pool does not clear its slots on this machine: {0}")]
    Unclean(&'static str),
    /// There are no threads to load components on.
    #[error("no threads can be had: {0}")]
    Threads(std::io::Error),
    /// The engine can't be made: mostly too much address space asked for.
    #[error("the engine can't start with this capacity: {0:#}")]
    Engine(wasmtime::Error),
}

impl Runtime {
    /// Starts the engines, and opens the compile cache.
    pub fn start(options: RuntimeOptions) -> Result<Arc<Self>, StartError> {
        let engines = Engines::start(&options.capacity, &options.schedule).map_err(StartError::Engine)?;
        for engine in [&engines.apps, &engines.gates] {
            if let Some(what) = clean::proved(engine).map_err(StartError::Engine)? {
                return Err(StartError::Unclean(what));
            }
        }
        Ok(Arc::new(Self {
            cache: CompileCache::open(&options.cache)?,
            engines,
            compiler: options.compiler,
            // The rest is for the host itself.
            memory: Gauge::up_to(options.capacity.process_bytes / 8 * 7),
            hall: Hall::new(options.capacity.instances as usize),
            turns: Turns::of_this_machine(),
            accounts: Mutex::default(),
            background: Background::new().map_err(StartError::Threads)?,
            pressure: Pressure::new(options.capacity.process_bytes),
            capacity: options.capacity,
            schedule: Arc::new(options.schedule),
            compile_turn: Semaphore::new(1),
            buckets: options.buckets,
            transport: options.transport,
            code: Mutex::default(),
            living: Kept::default(),
            shelves: Shelves::default(),
        }))
    }

    /// Does work that takes long on a thread of lower priority, where it delays nobody's requests.
    ///
    /// # Errors
    ///
    /// The work panicked, or the host is stopping.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.background.aside(work).await
    }

    /// Does what is made of many steps, such as loading a whole configuration, on a thread of lower priority.
    ///
    /// # Errors
    ///
    /// The work panicked, or the host is stopping.
    pub async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.background.apart(work).await
    }

    /// Takes a reading of the memory that this process uses. Near the end of what it may have, idle instances go; at
    /// the end, no more requests are taken until there is room again.
    pub fn memory_in_use(&self, bytes: u64) {
        let refused = self.pressure.refuses();
        if self.pressure.read(bytes) == Relief::Shrink {
            self.shelves.shrink();
        }
        if refused != self.pressure.refuses() {
            let limit = self.capacity.process_bytes;
            let refuses = !refused;
            tracing::warn!(target: "tollgate::memory", bytes, limit, refuses, "memory");
        }
    }

    /// How many components' code is in use, and how many instances wait for their next request.
    pub fn kept(&self) -> (usize, usize) {
        let code = self.code.lock().values().filter(|code| code.strong_count() > 0).count();
        (code, self.shelves.kept())
    }

    /// The memory that this process uses, as it was last read, and may use.
    pub fn memory_used(&self) -> Used {
        self.pressure.used()
    }

    /// The account of a tenant. One that is there keeps its totals, until a house with others is taken.
    pub(crate) fn account(&self, tenant: &Name, totals: &TenantTotals) -> Arc<Account> {
        let mut accounts = self.accounts.lock();
        if let Some(account) = accounts.get(tenant).and_then(Weak::upgrade) {
            return account;
        }
        accounts.retain(|_, account| account.strong_count() > 0);
        let account = Arc::new({
            let storage = self.buckets.storage(tenant);
            Account::new(totals, &self.memory, &self.hall, &self.turns, storage)
        });
        accounts.insert(tenant.clone(), Arc::downgrade(&account));
        account
    }

    /// Counts gas that a tenant's requests took before this process began, in this hour since the Unix epoch, if the
    /// tenant is served here.
    pub fn count_earlier(&self, tenant: &Name, hour: u32, gas: u64) {
        let account = self.accounts.lock().get(tenant).and_then(Weak::upgrade);
        if let Some(account) = account {
            account.count_earlier(hour.into(), gas);
        }
    }

    /// The gas schedule in force.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}
