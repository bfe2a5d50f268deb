//! What one host has once: engines, cache, prices and the adapter's services.

use crate::cache::{CacheError, CompileCache};
use crate::compile::Compiler;
use crate::engine::{EngineKind, Engines};
use crate::gas::Schedule;
use crate::idle::Shelves;
use crate::limits::Capacity;
use crate::seams::{Buckets, Transport};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;
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
    /// What apps and gates keep for their next request.
    pub(crate) shelves: Shelves,
}

/// A runtime that can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The compile cache can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The engine can't be made: mostly too much address space asked for.
    #[error("the engine can't start with this capacity: {0:#}")]
    Engine(wasmtime::Error),
}

impl Runtime {
    /// Starts the engines, and opens the compile cache.
    pub fn start(options: RuntimeOptions) -> Result<Arc<Self>, StartError> {
        let engines = Engines::start(&options.capacity, &options.schedule).map_err(StartError::Engine)?;
        Ok(Arc::new(Self {
            cache: CompileCache::open(&options.cache)?,
            engines,
            compiler: options.compiler,
            capacity: options.capacity,
            schedule: Arc::new(options.schedule),
            compile_turn: Semaphore::new(1),
            buckets: options.buckets,
            transport: options.transport,
            code: Mutex::default(),
            shelves: Shelves::default(),
        }))
    }

    /// The gas schedule in force.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}
