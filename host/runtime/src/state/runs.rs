//! The runs that one instance has at one time, where it has several.
//!
//! A run's bill, clock, log lines and outgoing requests are one part of the store, and its fuel is another. Both are
//! exchanged whenever the engine says that it enters the guest for another task: so the counters stay the store's own,
//! and each run meets its own limits.
//!
//! What is not any run's (what a guest goes on with after its answers) is done on a part that is nobody's, within the
//! limits of one run, and billed to the run that ends next: nothing is free. Calls into the host that end while no
//! guest is entered are counted for the run that was entered last.

use super::State;
use crate::clock::RunClock;
use crate::fault::Breach;
use crate::http::Sending;
use crate::limits::Limits;
use crate::meter::{Bill, Figures, StreamBytes};
use crate::stdio::{LogCounts, LogRun};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::GuestTaskId;
use wasmtime::{CallHook, Store, StoreContextMut};

/// What belongs to one of several runs that an instance has at one time.
pub(crate) struct RunPart {
    pub(crate) bill: Bill,
    pub(super) sending: Sending,
    pub(super) log: LogRun,
}

impl RunPart {
    /// For a run that begins now, in an instance that is there.
    pub(crate) fn new(clock: &Arc<RunClock>, limits: &Limits, request_id: &str) -> Self {
        let log = LogRun::of(request_id);
        let streams = StreamBytes { cli: log.bytes.clone(), http_outgoing: Arc::default() };
        let sending = Sending::until(clock.started() + limits.deadline, streams.http_outgoing.clone());
        Self { bill: Bill::new(clock.clone(), streams), sending, log }
    }

    /// Takes over what another has taken, but for the fuel.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.bill.absorb(&other.bill);
        self.sending.sent = self.sending.sent.saturating_add(other.sending.sent);
    }
}

/// What a run has taken, once it is over or has been stopped.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) outgoing_requests: u32,
    pub(crate) log: LogCounts,
}

/// The runs of one instance.
pub(crate) struct Roster {
    /// Whose part the store has now; none when it has nobody's.
    present: Option<Number>,
    others: HashMap<Number, Parked>,
    /// Which run a task is of. The engine gives a task's name to another once it has ended.
    tasks: HashMap<GuestTaskId, Number>,
    /// Nobody's part, while the store has somebody's.
    nobodys: Option<Parked>,
    culprit: Culprit,
    /// The present part's clock, for whoever polls the instance.
    clock: Arc<Mutex<Arc<RunClock>>>,
}

/// Who ended an instance.
#[derive(Clone, Copy)]
enum Culprit {
    /// Whoever's turn it was.
    Present,
    /// A run that was seen to break a limit after its turn, or could not begin.
    Run(Number),
    /// What the guest does for nobody.
    Nobody,
}

/// One of an instance's runs, in the order in which they came.
pub(crate) type Number = u32;

/// A part that the store does not have now.
struct Parked {
    part: RunPart,
    fuel_left: u64,
}

impl Roster {
    /// Has a store follow the engine from one run to the other. What it took so far is its first run's. Returns the
    /// clock of whichever run is present.
    pub(crate) fn keep(store: &mut Store<State>) -> Arc<Mutex<Arc<RunClock>>> {
        let clock = Arc::new(Mutex::new(store.data().meter.clock().clone()));
        store.data_mut().roster = Some(Box::new(Self {
            present: None,
            others: HashMap::new(),
            tasks: HashMap::new(),
            nobodys: None,
            culprit: Culprit::Present,
            clock: clock.clone(),
        }));
        store.call_hook(entering);
        clock
    }

    /// Lets a task's run take the place of the one before. The fuel to go on with, if it is another; a breach, if the
    /// one before has computed too long.
    fn turn_to(&mut self, task: GuestTaskId, left: u64, state: &mut State) -> Result<Option<u64>, Breach> {
        let next = self.tasks.get(&task).copied();
        if next == self.present {
            return Ok(None);
        }
        let over = state.meter.clock().cpu_in_poll() > state.meter.limits().cpu;
        let before = self.present;
        let fuel = self.go_on_with(next, left, state);
        if over {
            self.culprit = before.map_or(Culprit::Nobody, Culprit::Run);
            return Err(Breach::Cpu);
        }
        Ok(fuel)
    }

    fn go_on_with(&mut self, next: Option<Number>, left: u64, state: &mut State) -> Option<u64> {
        let mut parked = match &next {
            Some(number) => self.others.remove(number),
            None => self.nobodys.take(),
        }?;
        state.meter.clock().poll_ends();
        state.turn_to(&mut parked.part);
        state.meter.clock().poll_begins();
        self.clock.lock().clone_from(state.meter.clock());
        let fuel = std::mem::replace(&mut parked.fuel_left, left);
        match std::mem::replace(&mut self.present, next) {
            Some(number) => drop(self.others.insert(number, parked)),
            None => self.nobodys = Some(parked),
        }
        Some(fuel)
    }
}

/// What the engine does before it enters the guest, or goes back into it.
fn entering(mut context: StoreContextMut<'_, State>, hook: CallHook) -> wasmtime::Result<()> {
    if matches!(hook, CallHook::ReturningFromWasm) {
        return Ok(());
    }
    let Some(task) = context.async_call_stack()?.last() else { return Ok(()) };
    let left = context.get_fuel()?;
    let state = context.data_mut();
    let Some(mut roster) = state.roster.take() else { return Ok(()) };
    let turn = roster.turn_to(task, left, state);
    state.roster = Some(roster);
    match turn? {
        Some(fuel) => context.set_fuel(fuel),
        None => Ok(()),
    }
}

/// Puts a run on the roster: its own part, or the one that the store has since it was made.
pub(crate) fn enter(
    mut store: StoreContextMut<'_, State>,
    number: Number,
    part: Option<RunPart>,
) -> wasmtime::Result<()> {
    let full = store.data().meter.fuel_at_start();
    let parked = match part {
        Some(part) => Parked { part, fuel_left: full },
        None => {
            let left = store.get_fuel()?;
            store.set_fuel(full)?;
            Parked { part: renewed(store.data_mut()), fuel_left: left }
        }
    };
    if let Some(roster) = &mut store.data_mut().roster {
        roster.others.insert(number, parked);
    }
    Ok(())
}

/// Tells which task a run's is; none when the guest could not be called for it, which ends the instance.
pub(crate) fn begun(mut store: StoreContextMut<'_, State>, number: Number, task: Option<GuestTaskId>) {
    let Some(roster) = &mut store.data_mut().roster else { return };
    match task {
        Some(task) => drop(roster.tasks.insert(task, number)),
        None => roster.culprit = Culprit::Run(number),
    }
}

/// Takes a run off the roster, and tells what it took: with what was nobody's since the last one left.
pub(crate) fn exit(mut store: StoreContextMut<'_, State>, number: Number) -> wasmtime::Result<Report> {
    let left = store.get_fuel()?;
    let full = store.data().meter.fuel_at_start();
    let state = store.data_mut();
    let Some(mut roster) = state.roster.take() else { return Ok(Report::default()) };
    let nobodys_left = match roster.present {
        None => left,
        Some(_) => roster.go_on_with(None, left, state).unwrap_or(full),
    };
    let own = roster.others.remove(&number);
    roster.tasks.retain(|_, other| *other != number);
    state.roster = Some(roster);
    let nobodys = renewed(state);
    let report = match own {
        Some(mut own) => {
            own.part.absorb(&nobodys);
            let fuel_left = own.fuel_left.saturating_sub(full.saturating_sub(nobodys_left));
            state.report_of(&mut own.part, Some(fuel_left))
        }
        None => Report::default(),
    };
    store.set_fuel(full)?;
    Ok(report)
}

/// Gives the store a new part that is nobody's, and returns the one it had.
fn renewed(state: &mut State) -> RunPart {
    let clock = Arc::new(RunClock::start(Instant::now()));
    let mut part = RunPart::new(&clock, state.meter.limits(), "none");
    state.meter.clock().poll_ends();
    state.turn_to(&mut part);
    state.meter.clock().poll_begins();
    if let Some(roster) = &state.roster {
        roster.clock.lock().clone_from(&clock);
    }
    part
}

/// What each of these runs has taken in an instance that is gone, and which of them ended it.
pub(crate) fn ended(
    store: &mut Store<State>,
    numbers: impl Iterator<Item = Number>,
) -> (Vec<(Number, Report)>, Option<Number>) {
    let left = store.get_fuel().ok();
    let state = store.data_mut();
    let Some(mut roster) = state.roster.take() else { return (Vec::new(), None) };
    let report = |number| match roster.others.remove(&number) {
        Some(mut own) => (number, state.report_of(&mut own.part, Some(own.fuel_left))),
        None if roster.present == Some(number) => (number, state.report(left)),
        None => (number, Report::default()),
    };
    let reports = numbers.map(report).collect();
    let culprit = match roster.culprit {
        Culprit::Present => roster.present,
        Culprit::Run(number) => Some(number),
        Culprit::Nobody => None,
    };
    (reports, culprit)
}
