//! The two engines, and the clock that drives their epochs.
//!
//! Tenants' apps run in one with fuel and epochs; gate components, which are not billed, in one with epochs alone.
//! Both come out of one constructor together with their ticker: an engine without a ticker would have limits that
//! never fire.

use crate::gas::{Operators, Schedule};
use crate::limits::Capacity;
use crate::threads::cores;
use std::thread;
use std::time::Duration;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};

/// One tick of the epoch. A CPU limit is held to within one tick, and a guest that computes gives its thread back at each:
/// so it is also how long a neighbour's step may have to wait for a core.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Stack for guest code, and for the fiber that it and the host's functions run on.
const WASM_STACK_BYTES: usize = 512 << 10;
const FIBER_STACK_BYTES: usize = 1 << 20;

/// Core modules, memories and tables that one component may bring on average; interpreters bring tens of the first
/// and a few of the others.
const CORE_INSTANCES: u32 = 20;
const MEMORIES: u32 = 3;
const TABLES: u32 = 4;

/// The most that any one component may bring: so a single instance can't take what many others need. A Python
/// component has about 30 core instances, and 1 memory.
const CORE_INSTANCES_MOST: u32 = 100;
const MEMORIES_MOST: u32 = 8;
const TABLES_MOST: u32 = 32;

/// Elements of one table: a Python component has about 30,000 functions in its.
const TABLE_ELEMENTS: usize = 100_000;

/// The engines of one host.
pub(crate) struct Engines {
    pub(crate) apps: Engine,
    pub(crate) gates: Engine,
}

impl Engines {
    /// Makes both engines and starts their tickers.
    pub(crate) fn start(capacity: &Capacity, schedule: &Schedule) -> wasmtime::Result<Self> {
        let mut apps = config(EngineKind::Apps, schedule.operators());
        apps.allocation_strategy(pool(capacity.instances, capacity));
        let mut gates = config(EngineKind::Gates, schedule.operators());
        gates.allocation_strategy(pool(capacity.gate_instances.saturating_mul(16), capacity));
        let engines = Self { apps: Engine::new(&apps)?, gates: Engine::new(&gates)? };
        ticker(&engines)?;
        Ok(engines)
    }
}

/// Which of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EngineKind {
    /// For tenants' apps: with fuel.
    Apps,
    /// For gate components: without.
    Gates,
}

impl EngineKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::Gates => "gates",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Apps, Self::Gates].into_iter().find(|kind| kind.name() == name)
    }
}

/// Compiles for an engine, without the memory that an engine reserves for instances: that changes no code.
pub(crate) fn compile_only(
    kind: EngineKind,
    operators: &Operators,
    bytes: &[u8],
) -> wasmtime::Result<Vec<u8>> {
    Engine::new(&config(kind, operators))?.precompile_component(bytes)
}

/// Everything that decides what code is made.
pub(crate) fn config(kind: EngineKind, operators: &Operators) -> Config {
    let mut config = Config::new();
    if kind == EngineKind::Apps {
        config.consume_fuel(true).operator_cost(operators.cost());
    }
    config
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        // Half of the engine's advisories of the last year are in these; no guest toolchain of ours needs one.
        .wasm_features(
            WasmFeatures::GC
                | WasmFeatures::EXCEPTIONS
                | WasmFeatures::LEGACY_EXCEPTIONS
                | WasmFeatures::FUNCTION_REFERENCES
                | WasmFeatures::THREADS
                | WasmFeatures::SHARED_EVERYTHING_THREADS
                | WasmFeatures::STACK_SWITCHING
                | WasmFeatures::MEMORY64
                | WasmFeatures::CUSTOM_PAGE_SIZES,
            false,
        )
        // The same bytes give the same results on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES);
    config
}

/// How many slots that nobody uses stay laid out for the component that had them last. More would hold memory for
/// components that nobody asks for; where it is another's turn, laying one out anew takes some microseconds.
fn warm_slots() -> u32 {
    cores().saturating_mul(8) as u32
}

fn pool(instances: u32, capacity: &Capacity) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(CORE_INSTANCES_MOST)
        .max_memories_per_component(MEMORIES_MOST)
        .max_tables_per_component(TABLES_MOST)
        .max_memory_size(capacity.memory_bytes)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(warm_slots())
        // Freed slots are not kept back to be cleared together: one that waits for that when its component is dropped
        // would hold the component's code for as long as nobody else needs the slot.
        .decommit_batch_size(1)
        .linear_memory_keep_resident(capacity.resident_bytes)
        .table_keep_resident(capacity.resident_bytes)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Advances both epochs once a tick, until the engines are gone.
fn ticker(engines: &Engines) -> wasmtime::Result<()> {
    let (apps, gates) = (engines.apps.weak(), engines.gates.weak());
    let tick = move || {
        apps.upgrade()?.increment_epoch();
        gates.upgrade()?.increment_epoch();
        Some(())
    };
    thread::Builder::new().name("tollgate-epoch".into()).spawn(move || {
        while tick().is_some() {
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
