//! Instances that wait for their next request, and which of them go first when others need the room.
//!
//! What waits on a shelf goes at once. An instance of mode `concurrent` has a task of its own, which ends it a moment
//! after it was told to go: see [`Departures`].

use crate::account::TotalReached;
use crate::engine::EngineKind;
use crate::names::Name;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::timeout_at;

/// Instances that an app keeps idle, however many it had at one time.
pub(crate) const IDLE_MOST: usize = 8;

/// How long a request waits for instances that were told to go.
const GONE_WITHIN: Duration = Duration::from_millis(100);

/// The waiting instances of one app or gate, each with the time when it was last used.
pub(crate) struct Shelf<T> {
    engine: EngineKind,
    tenant: Name,
    kept: Mutex<Vec<(Instant, T)>>,
}

impl<T> Shelf<T> {
    /// The one that was used last.
    pub(crate) fn take(&self) -> Option<T> {
        self.kept.lock().pop().map(|(_, instance)| instance)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.kept.lock().len()
    }

    /// Keeps an instance that was used just now, unless so many are kept already.
    pub(crate) fn put(&self, instance: T, most: usize) {
        let mut kept = self.kept.lock();
        if kept.len() < most {
            kept.push((Instant::now(), instance));
        }
    }
}

/// A shelf, whatever is on it.
pub(crate) trait Evict: Send + Sync {
    fn engine(&self) -> EngineKind;
    fn tenant(&self) -> &Name;
    fn kept(&self) -> usize;
    fn last_used(&self) -> Option<Instant>;
    /// Has all that waits go; whether something has gone by now.
    fn clear(&self) -> bool;
}

impl<T: Send> Evict for Shelf<T> {
    fn engine(&self) -> EngineKind {
        self.engine
    }

    fn tenant(&self) -> &Name {
        &self.tenant
    }

    fn kept(&self) -> usize {
        self.len()
    }

    fn last_used(&self) -> Option<Instant> {
        self.kept.lock().last().map(|(since, _)| *since)
    }

    fn clear(&self) -> bool {
        // Dropped after the lock is.
        let kept = std::mem::take(&mut *self.kept.lock());
        !kept.is_empty()
    }
}

/// Instances that were told to go and have not gone yet.
#[derive(Default)]
pub(crate) struct Departures {
    going: AtomicUsize,
    one_gone: Notify,
}

impl Departures {
    /// One was told to go.
    pub(crate) fn begins(&self) {
        self.going.fetch_add(1, Relaxed);
    }

    /// One that was told has gone.
    pub(crate) fn ends(&self) {
        self.going.fetch_sub(1, Relaxed);
        self.one_gone.notify_waiters();
    }
}

/// All shelves of a host.
#[derive(Default)]
pub(crate) struct Shelves {
    all: Mutex<Vec<Weak<dyn Evict>>>,
    departures: Arc<Departures>,
}

/// A wait for room, in all no longer than [`GONE_WITHIN`]. Begun before an attempt that may find none, so that no
/// departure in between is missed.
pub(crate) struct Wait<'a> {
    departures: &'a Departures,
    gone: Pin<Box<Notified<'a>>>,
    end: Instant,
}

impl<'a> Wait<'a> {
    fn new(departures: &'a Departures) -> Self {
        let gone = Self::next(departures);
        Self { departures, gone, end: Instant::now() + GONE_WITHIN }
    }

    fn next(departures: &'a Departures) -> Pin<Box<Notified<'a>>> {
        let mut gone = Box::pin(departures.one_gone.notified());
        gone.as_mut().enable();
        gone
    }

    /// Whether to try again: at once where something was cleared, else after the next departure, if one comes.
    pub(crate) async fn for_room(&mut self, cleared: bool) -> bool {
        if cleared {
            return Instant::now() < self.end;
        }
        let comes = self.departures.going.load(Relaxed) > 0
            && timeout_at(self.end.into(), self.gone.as_mut()).await.is_ok();
        self.gone = Self::next(self.departures);
        comes
    }
}

impl Shelves {
    /// An empty shelf for a tenant's instances of an engine.
    pub(crate) fn add<T: Send + 'static>(&self, engine: EngineKind, tenant: &Name) -> Arc<Shelf<T>> {
        let shelf = Arc::new(Shelf { engine, tenant: tenant.clone(), kept: Mutex::default() });
        self.know(&(shelf.clone() as Arc<dyn Evict>));
        shelf
    }

    /// Remembers one more that keeps instances.
    pub(crate) fn know(&self, shelf: &Arc<dyn Evict>) {
        let mut all = self.all.lock();
        // Those that are gone are looked for when the list would have to grow.
        if all.len() == all.capacity() {
            all.retain(|shelf| shelf.strong_count() > 0);
        }
        all.push(Arc::downgrade(shelf));
    }

    /// What instances that were told to go are counted in.
    pub(crate) fn departures(&self) -> Arc<Departures> {
        self.departures.clone()
    }

    /// Begins to wait for room.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait::new(&self.departures)
    }

    /// Makes room, if it was for want of it that an instance could not be made. In an engine's pools: clears the
    /// shelves that nobody has asked for longest, a half of those that have anything on them. Within a tenant's totals:
    /// clears all that the tenant keeps. None where it was something else; else whether there is more room by now.
    pub(crate) fn make_room(
        &self,
        engine: EngineKind,
        tenant: &Name,
        error: &wasmtime::Error,
    ) -> Option<bool> {
        let all = || self.all.lock().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
            Some(clear_half(all().into_iter().filter(|shelf| shelf.engine() == engine)))
        } else if error.downcast_ref::<TotalReached>().is_some() {
            let own = |shelf: &Arc<dyn Evict>| shelf.engine() == engine && shelf.tenant() == tenant;
            Some(clear(all().into_iter().filter(own)))
        } else {
            None
        }
    }

    /// How many instances there are on all of them.
    pub(crate) fn kept(&self) -> usize {
        self.all.lock().iter().filter_map(Weak::upgrade).map(|shelf| shelf.kept()).sum()
    }

    /// Clears half of all shelves, those that nobody has asked for longest.
    pub(crate) fn shrink(&self) {
        let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        clear_half(all.into_iter());
    }
}

/// Whether something has gone by now.
fn clear_half(shelves: impl Iterator<Item = Arc<dyn Evict>>) -> bool {
    let mut waiting: Vec<_> = shelves.filter_map(|shelf| Some((shelf.last_used()?, shelf))).collect();
    waiting.sort_by_key(|(since, _)| *since);
    let half = waiting.len().div_ceil(2);
    clear(waiting.into_iter().take(half).map(|(_, shelf)| shelf))
}

/// Whether something has gone by now.
fn clear(shelves: impl Iterator<Item = Arc<dyn Evict>>) -> bool {
    shelves.filter(|shelf| shelf.clear()).count() > 0
}
