//! The runs that one instance has at one time, where it has several.
//!
//! A run's bill, clock, log lines and outgoing requests are one part of the store, and its fuel is another. Both are
//! exchanged whenever the engine says that it enters the guest for another task: so the counters stay the store's own,
//! and each run meets its own limits.
//!
//! What a guest goes on with after its answer stays within that run's own limits, and goes to the tenant's account when
//! the instance ends: its record is written by then, and nothing is free. What is no run's at all is done on a part that
//! is nobody's, which has one run's limits for the life of the instance, but no deadline. Calls into the host that end
//! while no guest is entered are counted for the run that was entered last.

use super::State;
use crate::clock::RunClock;
use crate::engine::TICK;
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
    at_work: Arc<AtWork>,
    /// What runs have taken since their records were made.
    afterwards: Afterwards,
}

/// What whoever polls an instance and whoever waits for it may know of its runs.
pub(crate) struct AtWork {
    /// The present run's clock, its number, and when the present poll of the instance began.
    present: Mutex<(Arc<RunClock>, Option<Number>, Instant)>,
}

impl AtWork {
    pub(crate) fn clock(&self) -> Arc<RunClock> {
        self.present.lock().0.clone()
    }

    pub(crate) fn poll_begins(&self) {
        let mut present = self.present.lock();
        present.2 = Instant::now();
        present.0.poll_begins();
    }

    /// Whether the present poll has lasted for less than a tick, whichever runs it went on with.
    pub(crate) fn poll_is_young(&self) -> bool {
        self.present.lock().2.elapsed() < TICK
    }
}

/// Gas, fuel and calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Afterwards {
    pub(crate) gas: u64,
    pub(crate) fuel: u64,
    pub(crate) host_calls: u64,
}

impl Afterwards {
    fn add(&mut self, now: &Figures, before: (u64, u64, u64)) {
        self.gas = self.gas.saturating_add(now.gas.saturating_sub(before.0));
        self.fuel = self.fuel.saturating_add(now.fuel.saturating_sub(before.1));
        self.host_calls = self.host_calls.saturating_add(now.host_calls.saturating_sub(before.2));
    }
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
    /// What is on the run's record already: gas, fuel and calls. None until it has one.
    recorded: Option<(u64, u64, u64)>,
}

impl Roster {
    /// Has a store follow the engine from one run to the other. What it took so far is its first run's.
    pub(crate) fn keep(store: &mut Store<State>) -> Arc<AtWork> {
        let clock = store.data().meter.clock().clone();
        let at_work = Arc::new(AtWork { present: Mutex::new((clock, None, Instant::now())) });
        store.data_mut().roster = Some(Box::new(Self {
            present: None,
            others: HashMap::new(),
            tasks: HashMap::new(),
            nobodys: None,
            culprit: Culprit::Present,
            at_work: at_work.clone(),
            afterwards: Afterwards::default(),
        }));
        store.call_hook(entering);
        at_work
    }

    /// Whether the present poll of the instance has lasted for less than a tick.
    pub(crate) fn poll_is_young(&self) -> bool {
        self.at_work.poll_is_young()
    }

    /// Lets a task's run take the place of the one before. The fuel to go on with, if it is another; a breach, if the
    /// one before has come past a limit.
    fn turn_to(&mut self, task: GuestTaskId, left: u64, state: &mut State) -> Result<Option<u64>, Breach> {
        let next = self.tasks.get(&task).copied();
        if next == self.present {
            return Ok(None);
        }
        // It may have broken one where no tick was looking.
        let within = state.meter.within(Some(left));
        let before = self.present;
        let fuel = self.go_on_with(next, left, state);
        if within.is_err() {
            self.culprit = before.map_or(Culprit::Nobody, Culprit::Run);
        }
        within.map(|()| fuel)
    }

    fn is_present(&self, number: Option<Number>, state: &State) {
        let mut present = self.at_work.present.lock();
        present.0.clone_from(state.meter.clock());
        present.1 = number;
    }

    /// The task of a run has ended: what it took after its record is known.
    fn is_over(&mut self, number: Number, state: &State) {
        if self.others.get(&number).is_some_and(|own| own.recorded.is_some())
            && let Some(own) = self.others.remove(&number)
        {
            self.adds(&own, state);
        }
    }

    fn adds(&mut self, own: &Parked, state: &State) {
        if let Some(recorded) = own.recorded {
            self.afterwards.add(&state.meter.figures_of(&own.part.bill, Some(own.fuel_left)), recorded);
        }
    }

    fn go_on_with(&mut self, next: Option<Number>, left: u64, state: &mut State) -> Option<u64> {
        let mut parked = match &next {
            Some(number) => self.others.remove(number),
            None => self.nobodys.take(),
        }?;
        state.meter.clock().poll_ends();
        state.turn_to(&mut parked.part);
        state.meter.clock().poll_begins();
        self.is_present(next, state);
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
        Some(part) => Parked { part, fuel_left: full, recorded: None },
        None => {
            let fuel_left = store.get_fuel()?;
            store.set_fuel(full)?;
            let state = store.data_mut();
            let clock = Arc::new(RunClock::start(Instant::now()));
            let mut part = RunPart::new(&clock, state.meter.limits(), "none");
            part.bill.has_no_deadline();
            state.meter.clock().poll_ends();
            state.turn_to(&mut part);
            clock.poll_begins();
            if let Some(roster) = &state.roster {
                roster.is_present(None, state);
            }
            Parked { part, fuel_left, recorded: None }
        }
    };
    if let Some(roster) = &mut store.data_mut().roster {
        roster.others.insert(number, parked);
    }
    Ok(())
}

/// Tells which task a run's is; none when the guest could not be called for it, which ends the instance.
pub(crate) fn begun(mut store: StoreContextMut<'_, State>, number: Number, task: Option<GuestTaskId>) {
    let state = store.data_mut();
    let Some(mut roster) = state.roster.take() else { return };
    match task {
        Some(task) => {
            if let Some(before) = roster.tasks.insert(task, number) {
                roster.is_over(before, state);
            }
        }
        None => roster.culprit = Culprit::Run(number),
    }
    state.roster = Some(roster);
}

/// What a run has taken, whose response is out. Its task may go on for a while.
pub(crate) fn exit(mut store: StoreContextMut<'_, State>, number: Number) -> wasmtime::Result<Report> {
    let left = store.get_fuel()?;
    let state = store.data_mut();
    let Some(mut roster) = state.roster.take() else { return Ok(Report::default()) };
    let fuel = if roster.present == Some(number) { roster.go_on_with(None, left, state) } else { None };
    let report = match roster.others.get_mut(&number) {
        Some(own) => {
            let report = state.report_of(&mut own.part, Some(own.fuel_left));
            let figures = &report.figures;
            own.recorded = Some((figures.gas, figures.fuel, figures.host_calls));
            report
        }
        None => Report::default(),
    };
    state.roster = Some(roster);
    if let Some(fuel) = fuel {
        store.set_fuel(fuel)?;
    }
    Ok(report)
}

/// What each of these runs has taken in an instance that is over, which of them ended it, and what others took after
/// their records were made.
pub(crate) fn ended(
    store: &mut Store<State>,
    numbers: impl Iterator<Item = Number>,
) -> (Vec<(Number, Report)>, Option<Number>, Afterwards) {
    let left = store.get_fuel().unwrap_or(0);
    let state = store.data_mut();
    let Some(mut roster) = state.roster.take() else { return (Vec::new(), None, Afterwards::default()) };
    let culprit = match roster.culprit {
        Culprit::Present => roster.present,
        Culprit::Run(number) => Some(number),
        Culprit::Nobody => None,
    };
    if roster.present.is_some() {
        roster.go_on_with(None, left, state);
    } else {
        let nobodys = state.meter.figures(Some(left));
        roster.afterwards.add(&nobodys, (0, 0, 0));
    }
    let report = |number| match roster.others.remove(&number) {
        Some(mut own) => (number, state.report_of(&mut own.part, Some(own.fuel_left))),
        None => (number, Report::default()),
    };
    let reports = numbers.map(report).collect();
    for (_, own) in std::mem::take(&mut roster.others) {
        roster.adds(&own, state);
    }
    (reports, culprit, roster.afterwards)
}
