//! One run of an app: an instance, one request, and what it took.

use crate::bindings::Usage;
use crate::body::{BodyEnd, Early, GuestResponse, Tail};
use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::fault::{Breach, Fault};
use crate::gate::Permit;
use crate::idle::IDLE_MOST;
use crate::instance::Idle;
use crate::load::{App, Mode};
use crate::meter::Figures;
use crate::state::Report;
use crate::store::metered;
use crate::turns::LONG;
use crate::workers::Answer;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

/// One request for an app.
pub(crate) struct Job {
    pub(crate) request_id: String,
    /// When the guest's clocks begin.
    pub(crate) started: Instant,
    pub(crate) request: http::Request<WasiBody>,
    pub(crate) bytes_in: Arc<AtomicU64>,
    pub(crate) tail: Arc<Tail>,
    /// Told when the response's body has ended, or the client has gone.
    pub(crate) ended: oneshot::Receiver<BodyEnd>,
}

/// What became of a run. The permit comes back with it, to be settled.
pub(crate) struct Ran {
    pub(crate) permit: Permit,
    pub(crate) fault: Option<Fault>,
    /// The status that the guest gave; 0 when it gave none.
    pub(crate) status: u16,
    /// How the body ended, when that was before the run did.
    pub(crate) body_end: Option<BodyEnd>,
    /// Still to be told how the body ends.
    pub(crate) ended: oneshot::Receiver<BodyEnd>,
    pub(crate) usage: Usage,
    /// How long it waited for the host.
    pub(crate) waited: Duration,
    /// Goes on counting until the body has ended.
    pub(crate) tail: Arc<Tail>,
    pub(crate) report: Report,
    /// Where the instance came from: `fresh`, `prepared`, `warm` or `shared`.
    pub(crate) instance: &'static str,
}

impl App {
    /// Runs one request. `deliver` gets the response as soon as the guest has given it; its body streams while the run
    /// goes on. Needs a permit, and gives it back in what it returns.
    pub(crate) async fn run(
        self: &Arc<Self>,
        permit: Permit,
        mut job: Job,
        deliver: impl FnOnce(GuestResponse) -> Result<Sent, Fault>,
    ) -> Ran {
        let clock = Arc::new(RunClock::start(job.started));
        // Dropped before the instance, should anything in here panic: then the body must not end as if it were whole.
        let mut panicking = FailOnDrop(Some(job.tail.clone()));
        let request = std::mem::take(&mut job.request);
        let (sender, answer) = futures::channel::oneshot::channel();
        let watch = Watch::new(&job.tail, &mut job.ended, answer, deliver, self.limits.response_body_bytes);
        let (end, instance) = match self.mode {
            Mode::Concurrent(concurrency) => {
                self.run_among_others(concurrency, &clock, &job.request_id, request, sender, watch).await
            }
            _ => self.run_alone(&clock, &job.request_id, request, sender, watch).await,
        };
        panicking.0 = None;
        let RunEnd { fault, status, body_end, report } = end;
        Ran {
            permit,
            fault,
            status,
            body_end,
            ended: job.ended,
            usage: usage(&report.figures, &clock, &job.bytes_in),
            waited: clock.waited(),
            tail: job.tail,
            report,
            instance,
        }
    }

    /// In an instance that has no other request at this time.
    async fn run_alone<D: FnOnce(GuestResponse) -> Result<Sent, Fault>>(
        self: &Arc<Self>,
        clock: &Arc<RunClock>,
        request_id: &str,
        request: http::Request<WasiBody>,
        sender: Answer,
        mut watch: Watch<'_, D>,
    ) -> (RunEnd, &'static str) {
        let mut slot = self.idle.take();
        let instance = match &slot {
            None => "fresh",
            Some(idle) if idle.uses == 0 => "prepared",
            Some(_) => "warm",
        };
        let stop = {
            let work = async {
                match &mut slot {
                    Some(idle) => idle.begin(clock, request_id)?,
                    None => self.instantiate(&mut slot, clock, request_id).await?,
                }
                match &mut slot {
                    Some(idle) => idle.answer(request, sender).await,
                    None => Ok(()),
                }
            };
            let mut work = pin!(metered(clock, &self.limits, Some(self.account.turns.seat()), work));
            poll_fn(|context| {
                loop {
                    let polled = work.as_mut().poll(context);
                    if clock.cpu() >= LONG {
                        self.account.turns.computes_long();
                    }
                    match watch.poll(polled, context) {
                        Watched::Took => {}
                        Watched::Waits => return Poll::Pending,
                        Watched::Over(stop) => return Poll::Ready(stop),
                    }
                }
            })
            .await
        };
        if let Stop::Error(error) = &stop {
            // If it was for want of room, the next request finds some.
            self.runtime.shelves.make_room(EngineKind::Apps, &self.tenant, error);
        }
        let report = slot.as_ref().map(Idle::report).unwrap_or_default();
        let went_well = matches!(stop, Stop::Done);
        let end = watch.end(stop, report);
        if let Some(idle) = slot {
            self.keep(idle, went_well);
        }
        (end, instance)
    }

    /// Has an instance ready for the next request, if the app declared that: this one, or one that is made now.
    fn keep(self: &Arc<Self>, mut idle: Idle, went_well: bool) {
        match self.mode {
            Mode::Fresh | Mode::Concurrent(_) => {}
            Mode::Serial { reuse } => {
                idle.uses += 1;
                if went_well && idle.uses < reuse {
                    self.idle.put(idle, IDLE_MOST);
                }
            }
            Mode::Reset if idle.proxy.is_none() => {}
            Mode::Reset => {
                drop(idle);
                let app = self.clone();
                tokio::spawn(async move { app.refill().await });
            }
        }
    }
}

/// What was done with a guest's response.
pub(crate) enum Sent {
    /// It is whole, and goes out with its record.
    Whole,
    /// Its body streams to the client.
    Streams,
    /// It has no body for the client. What the guest writes is read all the same, until this is told.
    Drains(oneshot::Receiver<()>),
}

/// What a look at a run comes to.
pub(crate) enum Watched {
    /// Something of the body was taken, so the guest may be able to go on at once: to be polled again.
    Took,
    Waits,
    Over(Stop),
}

/// Why a run is over.
pub(crate) enum Stop {
    Done,
    Fault(Fault),
    Breach(Breach),
    Error(wasmtime::Error),
    Abandoned,
}

impl Stop {
    /// What it is to those who read the response, as far as that can be told without the guest.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Done | Self::Abandoned => None,
            Self::Fault(fault) => Some(*fault),
            Self::Breach(breach) => Some((*breach).into()),
            Self::Error(error) => Some(Fault::of(error, false)),
        }
    }
}

/// A run that is over.
pub(crate) struct RunEnd {
    fault: Option<Fault>,
    status: u16,
    body_end: Option<BodyEnd>,
    report: Report,
}

/// Watches over a run from outside the guest: hands its answer on, and sees how its body ends.
pub(crate) struct Watch<'a, D> {
    pub(crate) tail: &'a Arc<Tail>,
    ended: &'a mut oneshot::Receiver<BodyEnd>,
    answer: futures::channel::oneshot::Receiver<wasmtime::Result<http::Response<WasiBody>>>,
    /// The response, until it is sent.
    early: Option<Early>,
    deliver: Option<D>,
    /// Bytes that the response may have.
    most_bytes: u64,
    answered: bool,
    drains: Option<oneshot::Receiver<()>>,
    no_answer: Option<wasmtime::Error>,
    status: u16,
    body_end: Option<BodyEnd>,
}

impl<'a, D: FnOnce(GuestResponse) -> Result<Sent, Fault>> Watch<'a, D> {
    fn new(
        tail: &'a Arc<Tail>,
        ended: &'a mut oneshot::Receiver<BodyEnd>,
        answer: futures::channel::oneshot::Receiver<wasmtime::Result<http::Response<WasiBody>>>,
        deliver: D,
        most_bytes: u64,
    ) -> Self {
        Self {
            tail,
            ended,
            answer,
            early: None,
            deliver: Some(deliver),
            most_bytes,
            answered: false,
            drains: None,
            no_answer: None,
            status: 0,
            body_end: None,
        }
    }

    /// To be asked after each poll of the run's work, with what that gave.
    pub(crate) fn poll(
        &mut self,
        polled: Poll<Result<wasmtime::Result<()>, Breach>>,
        context: &mut Context<'_>,
    ) -> Watched {
        if self.early.is_none() && !self.answered {
            match Pin::new(&mut self.answer).poll(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(Ok(response))) => {
                    self.status = response.status().as_u16();
                    self.early = Some(Early::of(response));
                }
                // What ended the run says more than that there was no answer.
                Poll::Ready(Ok(Err(error))) if polled.is_pending() => {
                    self.tail.fail(Fault::of(&error, false));
                    return Watched::Over(Stop::Error(error));
                }
                Poll::Ready(Ok(Err(error))) => (self.answered, self.no_answer) = (true, Some(error)),
                Poll::Ready(Err(_)) => self.answered = true,
            }
        }
        // Of a run that ends badly, a response that was not sent is not sent any more.
        if matches!(polled, Poll::Pending | Poll::Ready(Ok(Ok(()))))
            && let Some(mut early) = self.early.take()
        {
            if early.take(context) && polled.is_pending() {
                self.early = Some(early);
                return Watched::Took;
            }
            if let Err(fault) = self.send(early.goes(polled.is_ready(), self.most_bytes)) {
                self.tail.fail(fault);
                return Watched::Over(Stop::Fault(fault));
            }
        }
        match polled {
            Poll::Ready(Ok(Ok(()))) if self.no_answer.is_some() => {
                return Watched::Over(self.no_answer.take().map_or(Stop::Done, Stop::Error));
            }
            Poll::Ready(Ok(Ok(()))) if self.deliver.is_some() => {
                return Watched::Over(Stop::Fault(Fault::NoResponse));
            }
            Poll::Ready(Ok(Ok(()))) => return Watched::Over(Stop::Done),
            Poll::Ready(Ok(Err(error))) => {
                self.tail.fail(Fault::of(&error, false));
                return Watched::Over(Stop::Error(error));
            }
            Poll::Ready(Err(breach)) => {
                self.tail.fail(breach.into());
                return Watched::Over(Stop::Breach(breach));
            }
            Poll::Pending => {}
        }
        if self.body_end.is_none() {
            match Pin::new(&mut *self.ended).poll(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(BodyEnd::Whole)) => self.body_end = Some(BodyEnd::Whole),
                Poll::Ready(Ok(BodyEnd::Cut(fault))) => {
                    self.body_end = Some(BodyEnd::Cut(fault));
                    return Watched::Over(Stop::Fault(fault));
                }
                Poll::Ready(_) => {
                    self.body_end = Some(BodyEnd::Abandoned);
                    return Watched::Over(Stop::Abandoned);
                }
            }
        }
        Watched::Waits
    }

    fn send(&mut self, response: GuestResponse) -> Result<(), Fault> {
        self.answered = true;
        let Some(deliver) = self.deliver.take() else { return Ok(()) };
        if let Sent::Drains(drained) = deliver(response)? {
            self.drains = Some(drained);
        }
        Ok(())
    }

    /// Whether the response is out, to its last byte. To be asked after [`Watch::poll`].
    pub(crate) fn is_answered(&mut self, context: &mut Context<'_>) -> bool {
        let drained = self.drains.as_mut().is_some_and(|drains| Pin::new(drains).poll(context).is_ready());
        drained || matches!(self.body_end, Some(BodyEnd::Whole))
    }

    /// The run is over. To be told before the instance is dropped: its body must not end as if it were whole.
    pub(crate) fn end(self, stop: Stop, report: Report) -> RunEnd {
        let fault = fault(&stop, &report.figures);
        if let Some(fault) = fault {
            self.tail.fail(fault);
        }
        RunEnd { fault, status: self.status, body_end: self.body_end, report }
    }
}

/// Fails a body when dropped.
struct FailOnDrop(Option<Arc<Tail>>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        if let Some(tail) = &self.0 {
            tail.fail(Fault::Host);
        }
    }
}

/// Why the run ended badly, if it did.
fn fault(stop: &Stop, figures: &Figures) -> Option<Fault> {
    let Stop::Error(error) = stop else {
        // Its last call may have broken a limit, with no tick after it to say so.
        let noted = figures.breach.filter(|_| matches!(stop, Stop::Done)).map(Fault::from);
        return noted.or_else(|| stop.fault());
    };
    let fault = figures.breach.map_or_else(|| Fault::of(error, figures.memory_denied), Fault::from);
    tracing::info!(target: "tollgate::run", code = fault.code(), error = format!("{error:#}"), "the guest failed");
    let gas = fault == Fault::OutOfFuel && figures.gas_bounds_fuel;
    Some(if gas { Fault::OutOfGas } else { fault })
}

fn usage(figures: &Figures, clock: &RunClock, bytes_in: &AtomicU64) -> Usage {
    Usage {
        gas: figures.gas,
        fuel: figures.fuel,
        memory_bytes: figures.memory_bytes,
        cpu: clock.cpu().as_nanos() as u64,
        wall: clock.started().elapsed().as_nanos() as u64,
        host_calls: figures.host_calls,
        bytes_in: bytes_in.load(Relaxed),
        bytes_out: 0,
    }
}
