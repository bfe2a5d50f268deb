//! One run of an app: an instance, one request, and what it took.

use crate::bindings::Usage;
use crate::body::{BodyEnd, Tail};
use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::fault::{Breach, Fault};
use crate::gas::Interface;
use crate::gate::Permit;
use crate::grants::{Access, Files, Grants};
use crate::http::Outgoing;
use crate::instance::Idle;
use crate::load::{App, LoadError, Mode};
use crate::meter::{Meter, StreamBytes};
use crate::state::{Parts, State};
use crate::stdio::{GuestLog, LogCounts, StreamName};
use crate::store::{armed, metered};
use crate::turns::LONG;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime_wasi::{FsPerms, WasiCtx};
use wasmtime_wasi_http::WasiBody;

/// Instances that an app keeps idle, however many it had at one time.
const IDLE_MOST: usize = 8;

/// How long it may take, when an app is loaded, to make two instances for mode `reset`.
const PROVE_WITHIN: Duration = Duration::from_secs(5);

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
    pub(crate) calls: Vec<(Interface, u64)>,
    pub(crate) outgoing_requests: u32,
    pub(crate) log: LogCounts,
    /// Where the instance came from: `fresh`, `prepared` or `warm`.
    pub(crate) instance: &'static str,
}

impl App {
    /// Runs one request. `head` gets the response as soon as the guest has given it; its body streams while the run
    /// goes on. Needs a permit, and gives it back in what it returns.
    pub(crate) async fn run(
        self: &Arc<Self>,
        permit: Permit,
        mut job: Job,
        head: impl FnOnce(http::Response<WasiBody>) -> Result<(), Fault>,
    ) -> Ran {
        let clock = Arc::new(RunClock::start(job.started));
        let mut slot = self.idle.take();
        let instance = match &slot {
            None => "fresh",
            Some(idle) if idle.uses == 0 => "prepared",
            Some(_) => "warm",
        };
        let log = match &slot {
            Some(idle) => idle.log.clone(),
            None => GuestLog::new(&self.tenant, &self.name, &self.limits, &job.request_id),
        };
        // Dropped before the instance, should anything in here panic: then the body must not end as if it were whole.
        let mut panicking = FailOnDrop(Some(job.tail.clone()));
        let mut status = 0;
        let (sender, mut answer) = futures::channel::oneshot::channel();
        let request = std::mem::take(&mut job.request);
        let (stop, body_end) = {
            let work = async {
                match &mut slot {
                    Some(idle) => {
                        idle.begin(&clock, &job.request_id)?;
                    }
                    None => self.instantiate(&mut slot, &clock, &log).await?,
                }
                match &mut slot {
                    Some(idle) => idle.answer(request, sender).await,
                    None => Ok(()),
                }
            };
            let mut work = pin!(metered(&clock, &self.limits, Some(self.account.turns.seat()), work));
            let mut head = Some(head);
            let mut body_end = None;
            let mut no_answer = None;
            let stop = poll_fn(|context| {
                let polled = work.as_mut().poll(context);
                if clock.cpu() >= LONG {
                    self.account.turns.computes_long();
                }
                if let Some(deliver) = head.take() {
                    match Pin::new(&mut answer).poll(context) {
                        Poll::Pending => head = Some(deliver),
                        Poll::Ready(Ok(Ok(response))) => {
                            status = response.status().as_u16();
                            if let Err(fault) = deliver(response) {
                                job.tail.fail(fault);
                                return Poll::Ready(Stop::Fault(fault));
                            }
                        }
                        // What ended the run says more than that there was no answer.
                        Poll::Ready(Ok(Err(error))) if polled.is_pending() => {
                            job.tail.fail(Fault::of(&error, false));
                            return Poll::Ready(Stop::Error(error));
                        }
                        Poll::Ready(Ok(Err(error))) => no_answer = Some(error),
                        Poll::Ready(Err(_)) => {}
                    }
                }
                match polled {
                    Poll::Ready(Ok(Ok(()))) if no_answer.is_some() => {
                        return Poll::Ready(no_answer.take().map_or(Stop::Done, Stop::Error));
                    }
                    Poll::Ready(Ok(Ok(()))) if head.is_some() => {
                        return Poll::Ready(Stop::Fault(Fault::NoResponse));
                    }
                    Poll::Ready(Ok(Ok(()))) => return Poll::Ready(Stop::Done),
                    Poll::Ready(Ok(Err(error))) => {
                        job.tail.fail(Fault::of(&error, false));
                        return Poll::Ready(Stop::Error(error));
                    }
                    Poll::Ready(Err(breach)) => {
                        job.tail.fail(breach.into());
                        return Poll::Ready(Stop::Breach(breach));
                    }
                    Poll::Pending => {}
                }
                if body_end.is_none() {
                    match Pin::new(&mut job.ended).poll(context) {
                        Poll::Pending => {}
                        Poll::Ready(Ok(BodyEnd::Whole)) => body_end = Some(BodyEnd::Whole),
                        Poll::Ready(Ok(BodyEnd::Cut(fault))) => {
                            body_end = Some(BodyEnd::Cut(fault));
                            return Poll::Ready(Stop::Fault(fault));
                        }
                        Poll::Ready(_) => {
                            body_end = Some(BodyEnd::Abandoned);
                            return Poll::Ready(Stop::Abandoned);
                        }
                    }
                }
                Poll::Pending
            })
            .await;
            (stop, body_end)
        };
        panicking.0 = None;
        if let Stop::Error(error) = &stop {
            // If it was for want of room, the next request finds some.
            self.runtime.shelves.make_room(EngineKind::Apps, &self.tenant, error);
        }
        let fault = self.fault(&stop, slot.as_ref());
        if let Some(fault) = fault {
            job.tail.fail(fault);
        }
        let ran = Ran {
            permit,
            fault,
            status,
            body_end,
            ended: job.ended,
            usage: usage(slot.as_ref(), &clock, &job.bytes_in),
            waited: clock.waited(),
            tail: job.tail,
            calls: slot.as_ref().map(|idle| idle.store.data().meter.calls().collect()).unwrap_or_default(),
            outgoing_requests: slot.as_ref().map_or(0, |idle| idle.store.data().outgoing_requests()),
            log: log.end(),
            instance,
        };
        if let Some(idle) = slot {
            self.keep(idle, matches!(stop, Stop::Done));
        }
        ran
    }

    /// Makes an instance, as for a request, and drops it: tells whether the app can run, and what that takes.
    ///
    /// # Errors
    /// Why no instance can be made.
    pub async fn try_instance(&self) -> Result<(), Fault> {
        self.prepare().await.map(drop)
    }

    /// Makes an instance before there is a request for it, within the limits of a run.
    async fn prepare(&self) -> Result<Idle, Fault> {
        let clock = Arc::new(RunClock::start(Instant::now()));
        let log = GuestLog::new(&self.tenant, &self.name, &self.limits, "none");
        let mut slot = None;
        let made = self.instantiate(&mut slot, &clock, &log);
        let made = metered(&clock, &self.limits, Some(self.account.turns.seat()), made).await;
        if clock.cpu() >= LONG {
            self.account.turns.computes_long();
        }
        match made {
            Ok(Ok(())) => slot.ok_or(Fault::Host),
            Ok(Err(error)) => Err(Fault::of(&error, false)),
            Err(breach) => Err(breach.into()),
        }
    }

    /// For mode `reset`: makes two instances, which must be alike, and keeps them. What can't be made at all is for
    /// the first request to find out: it will say why.
    pub(crate) async fn prove_reset(&self) -> Result<(), LoadError> {
        if self.mode != Mode::Reset {
            return Ok(());
        }
        let both = async { Ok::<_, Fault>((self.prepare().await?, self.prepare().await?)) };
        let (one, other) = match timeout(PROVE_WITHIN, both).await.unwrap_or(Err(Fault::Deadline)) {
            Ok(both) => both,
            Err(fault) => {
                self.unprepared.store(true, Relaxed);
                tracing::warn!(target: "tollgate::run", tenant = %self.tenant, app = %self.name, %fault, "no instances could be prepared");
                return Ok(());
            }
        };
        if let Some(difference) = one.pristine().difference(other.pristine()) {
            let name = format!("{}/{}", self.tenant, self.name);
            return Err(LoadError::NotPristine { name, difference });
        }
        let pristine = self.pristine.get_or_init(|| one.pristine());
        [one, other].into_iter().filter(|idle| idle.pristine() == *pristine).for_each(|idle| {
            self.idle.put(idle, IDLE_MOST);
        });
        Ok(())
    }

    /// Has an instance ready for the next request, if the app declared that: this one, or one that is made now.
    fn keep(self: &Arc<Self>, mut idle: Idle, went_well: bool) {
        match self.mode {
            Mode::Fresh => {}
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

    /// One more prepared instance, if there is room for it, and if it is what the first one was.
    async fn refill(&self) {
        // One at a time, and none where it went wrong: what nobody asked for must not be a way to work for nothing.
        let full = self.idle.len() >= IDLE_MOST || self.runtime.pressure.refuses();
        if full || self.unprepared.load(Relaxed) || self.refilling.swap(true, Relaxed) {
            return;
        }
        self.refill_one().await;
        self.refilling.store(false, Relaxed);
    }

    async fn refill_one(&self) {
        let idle = match self.prepare().await {
            Ok(idle) => idle,
            // There was no room just now.
            Err(Fault::Saturated) => return,
            Err(fault) => {
                self.unprepared.store(true, Relaxed);
                tracing::warn!(target: "tollgate::run", tenant = %self.tenant, app = %self.name, %fault, "no more instances are prepared");
                return;
            }
        };
        let made = idle.pristine();
        match self.pristine.get_or_init(|| made).difference(made) {
            None => self.idle.put(idle, IDLE_MOST),
            Some(difference) => {
                self.unprepared.store(true, Relaxed);
                tracing::error!(
                    target: "tollgate::run",
                    tenant = %self.tenant,
                    app = %self.name,
                    difference,
                    "an instance was not as it was first made, and is not used; no more are prepared"
                );
            }
        }
    }

    /// Makes an instance, in the slot from the first instruction on: what a start function took that was stopped is in
    /// there too. When the pool is full, what other apps keep idle goes first.
    async fn instantiate(
        &self,
        slot: &mut Option<Idle>,
        clock: &Arc<RunClock>,
        log: &Arc<GuestLog>,
    ) -> wasmtime::Result<()> {
        match self.instantiate_once(slot, clock, log).await {
            // Once only, and only where nothing has run yet: no start function gets its limits twice.
            Err(error)
                if slot.as_ref().is_none_or(|idle| idle.pristine().is_untouched())
                    && self.runtime.shelves.make_room(EngineKind::Apps, &self.tenant, &error) =>
            {
                *slot = None;
                self.instantiate_once(slot, clock, log).await
            }
            made => made,
        }
    }

    async fn instantiate_once(
        &self,
        slot: &mut Option<Idle>,
        clock: &Arc<RunClock>,
        log: &Arc<GuestLog>,
    ) -> wasmtime::Result<()> {
        let store = self.store(clock, log)?;
        let idle = slot.insert(Idle { store, proxy: None, log: log.clone(), uses: 0 });
        idle.proxy = Some(self.pre.instantiate_async(&mut idle.store).await?);
        Ok(())
    }

    /// A store with everything that the app was given, and every limit armed.
    fn store(&self, clock: &Arc<RunClock>, log: &Arc<GuestLog>) -> wasmtime::Result<Store<State>> {
        let engine = &self.runtime.engines.apps;
        let streams = StreamBytes { cli: log.bytes(), http_outgoing: Arc::default() };
        let meter = Meter::new(engine, self.runtime.schedule.clone(), self.limits.clone(), clock.clone());
        let state = State::new(Parts {
            meter: meter.with_streams(streams.clone()).on_account(&self.account)?,
            wasi: wasi(&self.grants, log)?,
            outgoing: Outgoing {
                tenant: self.tenant.clone(),
                grant: self.grants.http.clone(),
                connections: self.connections,
                account: Some(self.account.clone()),
                transport: self.runtime.transport.clone(),
                limits: self.limits.clone(),
                deadline: clock.started() + self.limits.deadline,
                sent: 0,
                bytes: streams.http_outgoing,
            },
            stores: self.stores.clone(),
            config: self.config.clone(),
            signer: None,
        });
        armed(engine, state)
    }

    /// Why the run ended badly, if it did.
    fn fault(&self, stop: &Stop, slot: Option<&Idle>) -> Option<Fault> {
        let meter = slot.map(|idle| &idle.store.data().meter);
        let denied = meter.is_some_and(Meter::memory_denied);
        let noted = meter.and_then(Meter::breach);
        let fault = match stop {
            Stop::Done | Stop::Abandoned => return None,
            Stop::Fault(fault) => *fault,
            Stop::Breach(breach) => (*breach).into(),
            Stop::Error(error) => {
                let fault = noted.map_or_else(|| Fault::of(error, denied), Fault::from);
                let gas_bounds = meter.is_some_and(Meter::gas_bounds_fuel);
                tracing::info!(target: "tollgate::run", code = fault.code(), error = format!("{error:#}"), "the guest failed");
                if fault == Fault::OutOfFuel && gas_bounds { Fault::OutOfGas } else { fault }
            }
        };
        Some(fault)
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

/// Why a run is over.
enum Stop {
    Done,
    Fault(Fault),
    Breach(Breach),
    Error(wasmtime::Error),
    Abandoned,
}

fn usage(slot: Option<&Idle>, clock: &RunClock, bytes_in: &AtomicU64) -> Usage {
    let mut usage = Usage {
        gas: 0,
        fuel: 0,
        memory_bytes: 0,
        cpu: clock.cpu().as_nanos() as u64,
        wall: clock.started().elapsed().as_nanos() as u64,
        host_calls: 0,
        bytes_in: bytes_in.load(Relaxed),
        bytes_out: 0,
    };
    if let Some(idle) = slot {
        let meter = &idle.store.data().meter;
        usage.fuel = meter.fuel_used(idle.store.get_fuel().ok());
        usage.gas = meter.gas(usage.fuel);
        usage.memory_bytes = meter.memory_most() as u64;
        usage.host_calls = meter.calls_total();
    }
    usage
}

/// The WASI context that these grants make.
fn wasi(grants: &Grants, log: &Arc<GuestLog>) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    builder.stdout(log.stream(StreamName::Stdout)).stderr(log.stream(StreamName::Stderr));
    for (name, value) in &grants.environment {
        builder.env(name, value);
    }
    if let Some(Files::Directory { path, access }) = &grants.files {
        let may = match access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        builder.preopened_dir(path, "/", may)?;
    }
    builder.max_random_size(64 << 10);
    Ok(builder.build())
}
