//! Mode `concurrent`: a run in an instance that may have other requests at the same time.
//!
//! The instance is driven by a task of its own (`workers.rs`), and each run is on its own bill there (`state/runs.rs`).
//! From here a run is watched: its answer, its body, the wall clock, the wait for the host. One that waits too long is
//! sent away alone, and the instance takes no more. One that computes too long, breaks another limit or traps takes the
//! instance with it, and the others get [`Fault::InstanceLost`].

use crate::body::GuestResponse;
use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::fault::{Breach, Fault};
use crate::instance::Idle;
use crate::limits::Limits;
use crate::load::App;
use crate::run::{RunEnd, Sent, Stop, Watch, Watched};
use crate::state::Report;
use crate::state::runs::RunPart;
use crate::store::metered;
use crate::turns::LONG;
use crate::workers::{Answer, Concurrency, Entry, Left, Lost, Visit};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};
use wasmtime_wasi_http::WasiBody;

/// How long an instance that is not at work may take to say what one of its runs took. One that does not answer stands still in a call
/// into the host that holds all of it.
const ANSWERS_WITHIN: Duration = Duration::from_millis(50);

impl App {
    /// In an instance that may have other requests, too.
    pub(crate) async fn run_among_others<D: FnOnce(GuestResponse) -> Result<Sent, Fault>>(
        &self,
        concurrency: Concurrency,
        clock: &Arc<RunClock>,
        request_id: &str,
        request: http::Request<WasiBody>,
        answer: Answer,
        mut watch: Watch<'_, D>,
    ) -> (RunEnd, &'static str) {
        let (entry, part, instance) = match self.workers.enter(concurrency) {
            Some(entry) => (entry, Some(RunPart::new(clock, &self.limits, request_id)), "shared"),
            None => match self.engage(clock, request_id).await {
                Ok(entry) => (entry, None, "fresh"),
                Err((stop, report)) => return (watch.end(stop, report), "fresh"),
            },
        };
        let (leave, leaving) = oneshot::channel();
        let (left, mut end) = oneshot::channel();
        let number = entry.number;
        let visit = Visit { number, request, answer, part, tail: watch.tail.clone(), leave: leaving, left };
        let is_first = visit.part.is_none();
        entry.send(visit);
        if is_first {
            self.workers.show(&entry);
        }

        let mut timer = pin!(sleep_until(clock.started().into()));
        let stop = poll_fn(|context| {
            loop {
                match watch.poll(Poll::Pending, context) {
                    Watched::Took => {}
                    Watched::Waits => break,
                    Watched::Over(stop) => return Poll::Ready(Ok(stop)),
                }
            }
            if watch.is_answered(context) {
                return Poll::Ready(Ok(Stop::Done));
            }
            if let Poll::Ready(end) = Pin::new(&mut end).poll(context) {
                return Poll::Ready(Err(end));
            }
            late(clock, &self.limits, timer.as_mut(), context).map(|breach| Ok(Stop::Breach(breach)))
        })
        .await;
        let (stop, left) = match stop {
            Err(end) => (None, end),
            Ok(stop) => {
                if let Some(fault) = stop.fault() {
                    watch.tail.fail(fault);
                }
                if !matches!(stop, Stop::Done) {
                    // Its guest may still be at it.
                    entry.close();
                }
                // If nobody is there to hear it, the other end is gone as well.
                let _ = leave.send(());
                let polls = entry.polls();
                entry.ask();
                let end = loop {
                    match timeout(ANSWERS_WITHIN, &mut end).await {
                        Ok(end) => break end,
                        // It was polled since, and one of its guests waits for the host in a way that holds all of it.
                        // Of two polls the first may have begun before.
                        Err(_)
                            if !matches!(stop, Stop::Done)
                                && entry.polls() > polls + 1
                                && !entry.is_at_work() =>
                        {
                            entry.give_up();
                        }
                        Err(_) => entry.ask(),
                    }
                };
                (Some(stop), end)
            }
        };
        let left = left.unwrap_or_else(|_| Left { report: Report::default(), lost: Lost::ByAnother });
        let stop = match (stop, left.lost) {
            (Some(Stop::Done) | None, Lost::ByThis(error)) => Stop::Error(error),
            (None, Lost::ByAnother) => Stop::Fault(Fault::InstanceLost),
            (Some(stop), _) => stop,
            (None, Lost::No) => Stop::Fault(Fault::NoResponse),
        };
        (watch.end(stop, left.report), instance)
    }

    /// Makes an instance, as a part of this run, and has it work.
    async fn engage(&self, clock: &Arc<RunClock>, request_id: &str) -> Result<Entry, (Stop, Report)> {
        let mut slot = None;
        let made = self.instantiate(&mut slot, clock, request_id);
        let made = metered(clock, &self.limits, Some(self.account.turns.seat()), made).await;
        if clock.cpu() >= LONG {
            self.account.turns.computes_long();
        }
        let stop = match made {
            Ok(Ok(())) => match slot.take() {
                Some(Idle { store, proxy: Some(proxy), .. }) => {
                    return Ok(self.workers.engage(store, proxy, &self.account));
                }
                _ => Stop::Fault(Fault::Host),
            },
            Ok(Err(error)) => {
                // If it was for want of room, the next request finds some.
                self.runtime.shelves.make_room(EngineKind::Apps, &self.tenant, &error);
                Stop::Error(error)
            }
            Err(breach) => Stop::Breach(breach),
        };
        Err((stop, slot.as_ref().map(Idle::report).unwrap_or_default()))
    }
}

/// Whether a run has lasted, or waited for the host, for too long; if not, sees to it that it is asked again.
fn late(
    clock: &RunClock,
    limits: &Limits,
    mut timer: Pin<&mut tokio::time::Sleep>,
    context: &mut Context<'_>,
) -> Poll<Breach> {
    let deadline = clock.started() + limits.deadline;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Poll::Ready(Breach::Deadline);
        }
        let waited = clock.waiting();
        if waited >= limits.host_wait {
            return Poll::Ready(Breach::HostWait);
        }
        let next = deadline.min(now + limits.host_wait.saturating_sub(waited));
        if timer.deadline() != next.into() {
            timer.as_mut().reset(next.into());
        }
        ready!(timer.as_mut().poll(context));
    }
}
