//! A store with every limit armed, and the loop that polls it under the three clocks.

use crate::clock::RunClock;
use crate::fault::Breach;
use crate::limits::Limits;
use crate::state::State;
use crate::turns::Seat;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tokio::time::{Instant, sleep_until};
use wasmtime::{Engine, Store, UpdateDeadline};

/// Makes a store whose limits hold from the first instruction, start functions included.
pub(crate) fn armed(engine: &Engine, state: State) -> wasmtime::Result<Store<State>> {
    let limits = state.meter.limits().clone();
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits.host_call_bytes);
    store.set_max_component_handles(limits.handles);
    arm_fuel(&mut store)?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let left = context.get_fuel().ok();
        let state = context.data_mut();
        state.meter.tick(left)?;
        // Who has waited for long is late at once: that is no reason to give the thread back again.
        Ok(if state.poll_is_young() { UpdateDeadline::Continue(1) } else { UpdateDeadline::Yield(1) })
    });
    Ok(store)
}

/// Code keeps its fuel to itself until it calls, returns or has used this much, and what it kept is lost when it is
/// stopped in a loop. This is about half a millisecond of work.
const FUEL_SEEN_EVERY: u64 = 8_000_000;

/// Fills the fuel up for the next run. An engine that does not count fuel has none to fill.
pub(crate) fn arm_fuel(store: &mut Store<State>) -> wasmtime::Result<()> {
    let fuel = store.data().meter.fuel_at_start();
    if store.get_fuel().is_ok() {
        store.set_fuel(fuel)?;
        store.fuel_async_yield_interval(Some(FUEL_SEEN_EVERY))?;
    }
    Ok(())
}

/// Lets other threads have this core that wait for it. The system would let the one that has it go on for some
/// milliseconds, and a neighbour's request takes several such steps.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

/// Polls work that enters a guest, in its tenant's turns and under its clocks. When it breaks a limit the work is dropped
/// where it stands, and the breach is the answer: this holds also while the guest sleeps in the host.
pub(crate) async fn metered<T>(
    clock: &RunClock,
    limits: &Limits,
    seat: Option<Seat<'_>>,
    work: impl Future<Output = T>,
) -> Result<T, Breach> {
    let end = Instant::from_std(clock.started() + limits.deadline);
    let patient = limits.host_wait >= limits.deadline;
    let mut timer = pin!(sleep_until(end));
    let mut work = pin!(work);
    let mut seat = seat;
    poll_fn(|context| {
        match seat.as_mut().map_or(Poll::Ready(None), |seat| seat.poll_turn(context)) {
            Poll::Pending => clock.stands_in_line(),
            Poll::Ready(turn) => {
                clock.poll_begins();
                let polled = work.as_mut().poll(context);
                let was_long = !clock.poll_is_young();
                let cpu = clock.poll_ends();
                if let Some(seat) = &mut seat {
                    seat.computed(cpu);
                }
                drop(turn);
                if was_long {
                    give_way();
                }
                if let Poll::Ready(done) = polled {
                    return Poll::Ready(Ok(done));
                }
            }
        }
        if clock.cpu() > limits.cpu {
            return Poll::Ready(Err(Breach::Cpu));
        }
        if !patient {
            if clock.waited() >= limits.host_wait {
                return Poll::Ready(Err(Breach::HostWait));
            }
            let left = limits.host_wait.saturating_sub(clock.waited());
            timer.as_mut().reset(end.min(Instant::now() + left));
        }
        if timer.as_mut().poll(context).is_ready() {
            let late = Instant::now() >= end;
            return Poll::Ready(Err(if late { Breach::Deadline } else { Breach::HostWait }));
        }
        Poll::Pending
    })
    .await
}
