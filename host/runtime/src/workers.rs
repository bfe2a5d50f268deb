//! Instances that have several requests at one time, each driven by a task of its own.

use crate::account::{Account, Spent};
use crate::body::Tail;
use crate::engine::EngineKind;
use crate::fault::{Breach, Fault};
use crate::idle::{Departures, Evict, IDLE_MOST};
use crate::names::Name;
use crate::state::runs::{Afterwards, AtWork, Number, Roster, RunPart, begun, ended, enter, exit};
use crate::state::{Report, State};
use crate::store::give_way;
use crate::threads::turns_in_all;
use crate::turns::LONG;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Instant;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Notify, mpsc, oneshot};
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

/// How many requests an instance may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// At one time.
    pub at_once: u32,
    /// Before it is dropped.
    pub reuse: u32,
}

/// After so many polls in a row that lasted for a tick, an instance computes for long, whichever runs it was for.
const LONG_POLLS: u32 = 10;

/// Where the guest's response, or that there is none, is sent to.
pub(crate) type Answer = futures::channel::oneshot::Sender<wasmtime::Result<http::Response<WasiBody>>>;

/// One request on its way into an instance.
pub(crate) struct Visit {
    pub(crate) number: Number,
    pub(crate) request: http::Request<WasiBody>,
    pub(crate) answer: Answer,
    /// None for the one that the instance was made for: the store has its part already.
    pub(crate) part: Option<RunPart>,
    pub(crate) tail: Arc<Tail>,
    /// To be told when the response is out, or nobody waits for it any more.
    pub(crate) leave: oneshot::Receiver<()>,
    pub(crate) left: oneshot::Sender<Left>,
}

/// What a visit came to.
pub(crate) struct Left {
    pub(crate) report: Report,
    pub(crate) lost: Lost,
}

/// Whether the instance is gone.
pub(crate) enum Lost {
    No,
    ByAnother,
    ByThis(wasmtime::Error),
}

/// Who waits for the end of a visit. Dropped without a word, nobody knows what became of the guest: then its response
/// is not whole.
struct Waiting {
    tail: Arc<Tail>,
    left: Option<oneshot::Sender<Left>>,
}

impl Waiting {
    fn tell(mut self, left: Left) {
        if let Some(waiting) = self.left.take() {
            // Nobody waits any more.
            let _ = waiting.send(left);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.left.is_some() {
            self.tail.fail(Fault::Host);
        }
    }
}

/// An instance at work, for those who send it requests.
struct Worker {
    visits: mpsc::UnboundedSender<Visit>,
    desk: Arc<Desk>,
    /// The threads that it is on.
    threads: Id,
}

/// An instance on its way out, from the beginning: tells that it has gone.
struct Leaving {
    desk: Arc<Desk>,
    departures: Arc<Departures>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.desk.stay.swap(GONE, Relaxed) == GOES {
            self.departures.ends();
        }
    }
}

/// What [`Desk::stay`] may be.
const STAYS: u8 = 0;
const GOES: u8 = 1;
const GONE: u8 = 2;

/// What an instance at work and those who send it requests know of each other.
struct Desk {
    under_way: AtomicU32,
    taken: AtomicU32,
    /// Whether it takes no more.
    closed: AtomicBool,
    /// Whether it is in the middle of computing, and whether it waits for its turn to.
    computes: AtomicBool,
    in_line: AtomicBool,
    /// Told when it does not answer.
    stuck: Notify,
    /// Wakes it: what waits in it for others may have wakers that nobody hears.
    waker: AtomicWaker,
    /// Polls that have ended.
    polls: AtomicU64,
    /// Whether it is to go, having nothing to do; whether it has gone.
    stay: AtomicU8,
    last_used: Mutex<Instant>,
}

/// The instances of one app at work.
pub(crate) struct Workers {
    tenant: Name,
    all: Mutex<Vec<Arc<Worker>>>,
    departures: Arc<Departures>,
}

/// A place in an instance, for one request. Given back when dropped.
pub(crate) struct Entry {
    worker: Arc<Worker>,
    pub(crate) number: Number,
}

impl Entry {
    fn of(worker: &Arc<Worker>) -> Self {
        let desk = &worker.desk;
        desk.under_way.fetch_add(1, Relaxed);
        *desk.last_used.lock() = Instant::now();
        Self { worker: worker.clone(), number: desk.taken.fetch_add(1, Relaxed) }
    }
}

impl Entry {
    /// The instance's polls so far.
    pub(crate) fn polls(&self) -> u64 {
        self.worker.desk.polls.load(Relaxed)
    }

    /// Has it polled, if it does not compute.
    pub(crate) fn ask(&self) {
        self.worker.desk.waker.wake();
    }

    /// Sends the request in. If the instance is gone, `left` is, too.
    pub(crate) fn send(&self, visit: Visit) {
        let _ = self.worker.visits.send(visit);
    }

    /// Has the instance take no more: something of this request may still be in it.
    pub(crate) fn close(&self) {
        self.worker.desk.closed.store(true, Relaxed);
    }

    /// Whether the instance is at work for somebody, or will be in its turn: then it answers later, within the limits of
    /// whoever it works for.
    pub(crate) fn is_at_work(&self) -> bool {
        self.worker.desk.computes.load(Relaxed) || self.worker.desk.in_line.load(Relaxed)
    }

    /// Ends an instance that does not answer.
    pub(crate) fn give_up(&self) {
        self.worker.desk.stuck.notify_one();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.desk.under_way.fetch_sub(1, Relaxed);
    }
}

impl Workers {
    pub(crate) fn of(tenant: &Name, departures: Arc<Departures>) -> Arc<Self> {
        Arc::new(Self { tenant: tenant.clone(), all: Mutex::default(), departures })
    }

    /// A place in an instance that is there, on the threads of whoever asks. One that computes is left alone as long as
    /// there may be another.
    pub(crate) fn enter(&self, concurrency: Concurrency) -> Option<Entry> {
        let threads = Handle::current().id();
        let mut all = self.all.lock();
        let mut idle = 0;
        all.retain(|worker| {
            idle += usize::from(worker.desk.is_idle());
            let stays = worker.is_open(concurrency) && (idle <= IDLE_MOST || !worker.desk.is_idle());
            if !stays {
                worker.desk.evict(&self.departures);
            }
            stays
        });
        let has_room = |worker: &&Arc<Worker>| {
            worker.threads == threads && worker.desk.under_way.load(Relaxed) < concurrency.at_once
        };
        let ready = all.iter().filter(has_room).find(|worker| !worker.desk.computes.load(Relaxed));
        let worker = match ready {
            Some(worker) => worker,
            None if all.iter().filter(|worker| worker.threads == threads).count() < turns_in_all() => {
                return None;
            }
            None => all.iter().filter(has_room).min_by_key(|worker| worker.desk.under_way.load(Relaxed))?,
        };
        Some(Entry::of(worker))
    }
}

impl Workers {
    /// Has an instance work that was just made, for the run that it was made for. Others get to it by
    /// [`Workers::show`], once that run is in it.
    pub(crate) fn engage(&self, mut store: Store<State>, proxy: Proxy, account: &Arc<Account>) -> Entry {
        let at_work = Roster::keep(&mut store);
        let (visits, arriving) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            under_way: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            computes: AtomicBool::new(false),
            in_line: AtomicBool::new(false),
            stuck: Notify::new(),
            waker: AtomicWaker::new(),
            polls: AtomicU64::new(0),
            stay: AtomicU8::new(STAYS),
            last_used: Mutex::new(Instant::now()),
        });
        let threads = Handle::current().id();
        let worker = Arc::new(Worker { visits, desk: desk.clone(), threads });
        // Dropped after the store is, also when the work panics.
        let leaving = Leaving { desk: desk.clone(), departures: self.departures.clone() };
        let working = work(store, proxy, arriving, desk, at_work, account.clone());
        tokio::spawn(async move {
            let _leaving = leaving;
            working.await;
        });
        Entry::of(&worker)
    }

    /// Lets others in.
    pub(crate) fn show(&self, entry: &Entry) {
        self.all.lock().push(entry.worker.clone());
    }
}

impl Evict for Workers {
    fn engine(&self) -> EngineKind {
        EngineKind::Apps
    }

    fn tenant(&self) -> &Name {
        &self.tenant
    }

    fn kept(&self) -> usize {
        self.all.lock().iter().filter(|worker| worker.desk.is_idle()).count()
    }

    fn last_used(&self) -> Option<Instant> {
        let all = self.all.lock();
        all.iter().filter(|worker| worker.desk.is_idle()).map(|worker| *worker.desk.last_used.lock()).max()
    }

    fn clear(&self) -> bool {
        self.all.lock().retain(|worker| {
            let idle = worker.desk.is_idle();
            if idle {
                worker.desk.evict(&self.departures);
            }
            !idle
        });
        // They go a moment later.
        false
    }
}

impl Worker {
    fn is_open(&self, concurrency: Concurrency) -> bool {
        let taken = self.desk.taken.load(Relaxed);
        let closed = self.desk.closed.load(Relaxed) || self.visits.is_closed();
        !closed && taken < concurrency.reuse
    }
}

impl Desk {
    /// Has an instance that does nothing go at once, without a turn of its tenant's.
    fn evict(&self, departures: &Departures) {
        departures.begins();
        if self.stay.compare_exchange(STAYS, GOES, Relaxed, Relaxed).is_err() {
            // It was told before, or has gone by itself.
            departures.ends();
        }
        self.stuck.notify_one();
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Relaxed) == 0
    }
}

/// Drives an instance until nobody sends it requests any more, or one of them ends it.
async fn work(
    mut store: Store<State>,
    proxy: Proxy,
    mut visits: mpsc::UnboundedReceiver<Visit>,
    desk: Arc<Desk>,
    at_work: Arc<AtWork>,
    account: Arc<Account>,
) {
    let turns = &account.turns;
    let limits = store.data().meter.limits().clone();
    let schedule = store.data().meter.schedule().clone();
    // Dropped before the store, whatever happens.
    let waiting = Mutex::new(HashMap::new());
    let ended = {
        let inside = async |accessor: &Accessor<State>| {
            let mut under_way = FuturesUnordered::new();
            poll_fn(|context| {
                loop {
                    if desk.closed.load(Relaxed) {
                        visits.close();
                    }
                    match under_way.poll_next_unpin(context) {
                        Poll::Ready(Some(Ok(()))) => continue,
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(None) | Poll::Pending => {}
                    }
                    match visits.poll_recv(context) {
                        Poll::Ready(Some(visit)) => under_way.push(attend(accessor, &proxy, visit, &waiting)),
                        Poll::Ready(None) if under_way.is_empty() => return Poll::Ready(Ok(())),
                        _ => return Poll::Pending,
                    }
                }
            })
            .await
        };
        let mut work = pin!(store.run_concurrent(inside));
        let mut stuck = pin!(desk.stuck.notified());
        let mut seat = turns.seat();
        let mut long_polls = 0;
        poll_fn(|context| {
            desk.waker.register(context.waker());
            if stuck.as_mut().poll(context).is_ready() {
                stuck.set(desk.stuck.notified());
                context.waker().wake_by_ref();
                match (desk.stay.load(Relaxed) == GOES, desk.is_idle()) {
                    (true, true) => return Poll::Ready(Ok(())),
                    (true, false) => {}
                    (false, _) => return Poll::Ready(Err(Breach::HostWait.into())),
                }
            }
            let turn = seat.poll_turn(context);
            desk.in_line.store(turn.is_pending(), Relaxed);
            let Poll::Ready(turn) = turn else {
                at_work.clock().stands_in_line();
                return Poll::Pending;
            };
            at_work.poll_begins();
            desk.computes.store(true, Relaxed);
            let polled = work.as_mut().poll(context);
            let last = at_work.clock();
            // One that gave the thread back after a tick goes on at once.
            let was_long = !at_work.poll_is_young();
            desk.computes.store(was_long, Relaxed);
            seat.computed(last.poll_ends());
            desk.polls.fetch_add(1, Relaxed);
            drop(turn);
            long_polls = if was_long { long_polls + 1 } else { 0 };
            if was_long {
                give_way();
            }
            if last.cpu() >= LONG || long_polls >= LONG_POLLS {
                turns.computes_long();
            }
            match polled {
                Poll::Ready(ended) => Poll::Ready(ended.flatten()),
                Poll::Pending if last.cpu() > limits.cpu => Poll::Ready(Err(Breach::Cpu.into())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    desk.closed.store(true, Relaxed);
    visits.close();
    let afterwards = lost(&mut store, waiting.into_inner(), ended.err());
    account.spend(Spent {
        gas: afterwards.gas,
        gas_for_fuel: schedule.fuel(afterwards.fuel),
        host_calls: afterwards.host_calls,
        ..Spent::default()
    });
    while let Ok(visit) = visits.try_recv() {
        visit.tail.fail(Fault::InstanceLost);
        // Nobody waits any more.
        let _ = visit.left.send(Left { report: Report::default(), lost: Lost::ByAnother });
    }
}

/// One request, from its entry into the instance to the end of its response.
async fn attend(
    accessor: &Accessor<State>,
    proxy: &Proxy,
    visit: Visit,
    waiting: &Mutex<HashMap<Number, Waiting>>,
) -> wasmtime::Result<()> {
    let Visit { number, request, answer, part, tail, mut leave, left } = visit;
    waiting.lock().insert(number, Waiting { tail, left: Some(left) });
    let prepared = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        enter(store.as_context_mut(), number, part)?;
        let prepared = Prepared::new(store.as_context_mut(), proxy, request, State::http_uncounted, answer);
        let task = prepared.as_ref().ok().map(|prepared| match prepared {
            Prepared::P2 { call, .. } => call.task(),
            Prepared::P3 { call, .. } => call.task(),
        });
        begun(store, number, task);
        prepared
    })?;
    let mut run = pin!(prepared.run(accessor, pending()));
    let mut answered = false;
    poll_fn(|context| {
        if !answered && let Poll::Ready(sent) = run.as_mut().poll(context) {
            sent?;
            answered = true;
        }
        // Also when whoever would have told it is gone.
        Pin::new(&mut leave).poll(context).map(|_| wasmtime::error::Ok(()))
    })
    .await?;
    let report = accessor.with(|mut access| exit(access.as_context_mut(), number))?;
    if let Some(who) = waiting.lock().remove(&number) {
        who.tell(Left { report, lost: Lost::No });
    }
    Ok(())
}

/// Tells everybody who has a request in an instance that it is gone, and the one who ended it, why.
/// Returns what the instance did after its answers.
fn lost(
    store: &mut Store<State>,
    mut waiting: HashMap<Number, Waiting>,
    mut error: Option<wasmtime::Error>,
) -> Afterwards {
    let (reports, culprit, afterwards) = ended(store, waiting.keys().copied());
    if let Some(error) =
        error.as_ref().filter(|_| culprit.is_none_or(|number| !waiting.contains_key(&number)))
    {
        tracing::info!(target: "tollgate::run", error = format!("{error:#}"), "an instance failed between its requests");
    }
    for (number, report) in reports {
        let Some(who) = waiting.remove(&number) else { continue };
        let own = if culprit == Some(number) { error.take() } else { None };
        who.tail.fail(own.as_ref().map_or(Fault::InstanceLost, |error| Fault::of(error, false)));
        who.tell(Left { report, lost: own.map_or(Lost::ByAnother, Lost::ByThis) });
    }
    afterwards
}
