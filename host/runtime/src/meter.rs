//! What a run has taken so far, and the moment it takes too much.
//!
//! Every host function begins by borrowing a part of the store's state, and it can only borrow it through
//! [`Meter::cross`] (see `state.rs`): that is the one choke point. A crossing is counted and priced there before any
//! work is done. It has no way to fail by itself, so a breach is noted and the engine's epoch is advanced: the guest
//! traps at its next function or loop head, which comes before it can use the result.

use crate::account::{Account, InstancePlace, TotalReached};
use crate::clock::RunClock;
use crate::fault::Breach;
use crate::gas::{Interface, Schedule};
use crate::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasmtime::{Engine, ResourceLimiter};

/// Bytes that one element of a table takes in the host.
const TABLE_ELEMENT_BYTES: usize = 16;

/// Bytes that cross in streams, which the host drains outside of any call. Priced when the gas is next added up.
#[derive(Clone, Default)]
pub(crate) struct StreamBytes {
    /// Written to stdout and stderr.
    pub(crate) cli: Arc<AtomicU64>,
    /// Of outgoing requests' bodies and their responses'.
    pub(crate) http_outgoing: Arc<AtomicU64>,
}

/// The meter of one store.
pub(crate) struct Meter {
    engine: Engine,
    schedule: Arc<Schedule>,
    limits: Arc<Limits>,
    /// Of the present run.
    bill: Bill,
    memory: Memory,
    /// The instance that this store is for.
    place: Option<InstancePlace>,
}

/// What one run has taken so far, but for the fuel, which the engine counts.
pub(crate) struct Bill {
    clock: Arc<RunClock>,
    calls: [u64; Interface::COUNT],
    calls_total: u64,
    call_gas: u64,
    streams: StreamBytes,
    breach: Option<Breach>,
    /// The most that the store held while it was this run's turn.
    memory_most: usize,
    memory_denied: bool,
    endless: bool,
}

impl Bill {
    /// For a run that has begun by this clock.
    pub(crate) fn new(clock: Arc<RunClock>, streams: StreamBytes) -> Self {
        Self {
            clock,
            calls: [0; Interface::COUNT],
            calls_total: 0,
            call_gas: 0,
            streams,
            breach: None,
            memory_most: 0,
            memory_denied: false,
            endless: false,
        }
    }

    /// For what is no run's: it may go on for as long as the instance does.
    pub(crate) fn has_no_deadline(&mut self) {
        self.endless = true;
    }

    /// The run's clock.
    pub(crate) fn clock(&self) -> &Arc<RunClock> {
        &self.clock
    }
}

/// What is known of a run once it is over, or has been stopped.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) fuel: u64,
    pub(crate) gas: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) host_calls: u64,
    /// Calls into the host by interface, without those that have none.
    pub(crate) calls: Vec<(Interface, u64)>,
    /// The breach that a crossing noted.
    pub(crate) breach: Option<Breach>,
    /// Whether memory was refused.
    pub(crate) memory_denied: bool,
    /// Whether gas is what bounds the fuel.
    pub(crate) gas_bounds_fuel: bool,
}

/// What one store holds. Given back to the tenant's account with the store.
#[derive(Default)]
struct Memory {
    account: Option<Arc<Account>>,
    now: usize,
    /// What the engine asked for last, and may yet fail to get.
    pending: usize,
}

impl Memory {
    /// Counts more, if the sum stays within the limit; an error if it is the tenant's total that it would pass.
    fn hold(&mut self, bytes: usize, limit: usize) -> Result<bool, TotalReached> {
        let Some(sum) = self.now.checked_add(bytes).filter(|sum| *sum <= limit) else {
            return Ok(false);
        };
        if let Some(account) = &self.account {
            account.hold(bytes)?;
        }
        self.now = sum;
        Ok(true)
    }

    fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.now);
        self.now -= bytes;
        if let Some(account) = &self.account {
            account.release(bytes);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.release(self.now);
    }
}

impl Meter {
    pub(crate) fn new(
        engine: &Engine,
        schedule: Arc<Schedule>,
        limits: Arc<Limits>,
        clock: Arc<RunClock>,
    ) -> Self {
        Self {
            engine: engine.clone(),
            bill: Bill { call_gas: schedule.instance(), ..Bill::new(clock, StreamBytes::default()) },
            schedule,
            limits,
            memory: Memory::default(),
            place: None,
        }
    }

    /// On the account of a tenant: its totals bound this store too.
    pub(crate) fn on_account(mut self, account: &Arc<Account>) -> Result<Self, TotalReached> {
        self.place = Some(account.instance()?);
        self.memory.account = Some(account.clone());
        Ok(self)
    }

    /// With the counts of what crosses in the guest's streams.
    pub(crate) fn with_streams(mut self, streams: StreamBytes) -> Self {
        self.bill.streams = streams;
        self
    }

    /// Begins the next run of a reused instance: all counts from zero, but the memory that it still holds.
    pub(crate) fn begin(&mut self, clock: Arc<RunClock>, limits: Arc<Limits>) {
        self.limits = limits;
        let streams = self.bill.streams.clone();
        streams.cli.store(0, Relaxed);
        streams.http_outgoing.store(0, Relaxed);
        self.bill = Bill { memory_most: self.memory.now, ..Bill::new(clock, streams) };
    }

    /// Goes on with another run, where one instance has several at one time. This one's bill takes its place.
    pub(crate) fn turn_to(&mut self, bill: &mut Bill) {
        std::mem::swap(&mut self.bill, bill);
        self.bill.memory_most = self.bill.memory_most.max(self.memory.now);
    }

    /// Begins the run of an instance that was made for it before: what making it took is part of the run.
    pub(crate) fn begin_pristine(&mut self, clock: Arc<RunClock>) {
        clock.charge(self.bill.clock.cpu());
        self.bill.clock = clock;
    }

    /// Counts and prices one call into the host.
    pub(crate) fn cross(&mut self, interface: Interface) {
        if let Some(count) = self.bill.calls.get_mut(interface as usize) {
            *count += 1;
        }
        self.bill.calls_total += 1;
        self.charge(self.schedule.call(interface));
        if self.bill.calls_total > self.limits.host_calls {
            self.break_off(Breach::HostCalls);
        }
    }

    /// Prices bytes that cross with a call that was already counted.
    pub(crate) fn bytes(&mut self, interface: Interface, bytes: usize) {
        self.charge(self.schedule.bytes(interface, bytes as u64));
    }

    fn charge(&mut self, gas: u64) {
        self.bill.call_gas = self.bill.call_gas.saturating_add(gas);
        self.check_gas();
    }

    fn check_gas(&mut self) {
        if self.bill.call_gas > self.limits.gas {
            self.break_off(Breach::Gas);
        }
    }

    fn break_off(&mut self, breach: Breach) {
        if self.bill.breach.is_none() {
            self.bill.breach = Some(breach);
            self.engine.increment_epoch();
        }
    }

    /// The fuel that a run begins with: no more than its gas would buy.
    pub(crate) fn fuel_at_start(&self) -> u64 {
        self.limits.fuel.min(self.limits.gas / self.schedule.fuel(1).max(1))
    }

    fn gas_bounds_fuel(&self) -> bool {
        self.fuel_at_start() < self.limits.fuel
    }

    /// What the engine asks at every tick: may the guest go on, having this much fuel left? None if the engine does
    /// not count it.
    pub(crate) fn tick(&mut self, fuel_left: Option<u64>) -> Result<(), Breach> {
        let bill = &self.bill;
        if !bill.endless && bill.clock.started().elapsed() > self.limits.deadline {
            return Err(bill.breach.unwrap_or(Breach::Deadline));
        }
        self.within(fuel_left)
    }

    /// As [`Meter::tick`], of what a run does, and not of how long it has been there.
    pub(crate) fn within(&self, fuel_left: Option<u64>) -> Result<(), Breach> {
        let bill = &self.bill;
        if let Some(breach) = bill.breach {
            return Err(breach);
        }
        if bill.clock.cpu_in_poll() > self.limits.cpu {
            return Err(Breach::Cpu);
        }
        if self.gas(bill, self.fuel_used(fuel_left)) > self.limits.gas {
            return Err(Breach::Gas);
        }
        Ok(())
    }

    /// Whether the guest has had its thread for less than a tick.
    pub(crate) fn poll_is_young(&self) -> bool {
        self.bill.clock.poll_is_young()
    }

    /// Fuel used so far, from what is left.
    pub(crate) fn fuel_used(&self, left: Option<u64>) -> u64 {
        left.map_or(0, |left| self.fuel_at_start().saturating_sub(left))
    }

    fn gas(&self, bill: &Bill, fuel_used: u64) -> u64 {
        let fuel = self.schedule.fuel(fuel_used);
        let memory = self.schedule.memory(bill.memory_most as u64);
        let bytes = |interface, count: &AtomicU64| self.schedule.bytes(interface, count.load(Relaxed));
        fuel.saturating_add(memory)
            .saturating_add(bill.call_gas)
            .saturating_add(bytes(Interface::Cli, &bill.streams.cli))
            .saturating_add(bytes(Interface::HttpOutgoing, &bill.streams.http_outgoing))
    }

    /// What the present run has taken, having this much fuel left.
    pub(crate) fn figures(&self, fuel_left: Option<u64>) -> Figures {
        self.figures_of(&self.bill, fuel_left)
    }

    /// As [`Meter::figures`], of a run whose turn it is not.
    pub(crate) fn figures_of(&self, bill: &Bill, fuel_left: Option<u64>) -> Figures {
        let fuel = self.fuel_used(fuel_left);
        Figures {
            fuel,
            gas: self.gas(bill, fuel),
            memory_bytes: bill.memory_most as u64,
            host_calls: bill.calls_total,
            calls: Interface::ALL.into_iter().zip(bill.calls).filter(|(_, count)| *count > 0).collect(),
            breach: bill.breach,
            memory_denied: bill.memory_denied,
            gas_bounds_fuel: self.gas_bounds_fuel(),
        }
    }

    /// The clock of the present run.
    pub(crate) fn clock(&self) -> &Arc<RunClock> {
        self.bill.clock()
    }

    /// Calls into the host, in all.
    pub(crate) fn calls_total(&self) -> u64 {
        self.bill.calls_total
    }

    /// The prices in force.
    pub(crate) fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The memory that is held now, in bytes.
    pub(crate) fn memory_now(&self) -> usize {
        self.memory.now
    }

    /// Counts memory that the host holds for the guest, if the sum stays within the limit and the tenant's total.
    #[must_use]
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let held = self.try_hold(bytes);
        self.bill.memory_denied |= held.is_err();
        held.unwrap_or(false)
    }

    fn try_hold(&mut self, bytes: usize) -> Result<bool, TotalReached> {
        let held = self.memory.hold(bytes, self.limits.memory_bytes)?;
        self.bill.memory_denied |= !held;
        self.bill.memory_most = self.bill.memory_most.max(self.memory.now);
        Ok(held)
    }

    /// Gives back what [`Meter::hold`] counted.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.memory.release(bytes);
    }

    /// As [`Meter::hold`], for what the engine asks before it grows a memory or table, and may then fail to.
    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let held = self.try_hold(bytes)?;
        self.memory.pending = if held { bytes } else { 0 };
        Ok(held)
    }
}

/// One sum over every memory and table of the store: a component with many memories has one limit.
impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        let pending = std::mem::take(&mut self.memory.pending);
        self.memory.release(pending);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_grow_failed(error)
    }
}
