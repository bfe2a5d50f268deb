//! Instances that wait for their next request, and which of them go first when others need the room.

use crate::account::TotalReached;
use crate::engine::EngineKind;
use crate::names::Name;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Instances that an app keeps idle, however many it had at one time.
pub(crate) const IDLE_MOST: usize = 8;

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
    fn clear(&self);
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

    fn clear(&self) {
        // Dropped after the lock is.
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
    }
}

/// All shelves of a host.
#[derive(Default)]
pub(crate) struct Shelves(Mutex<Vec<Weak<dyn Evict>>>);

impl Shelves {
    /// An empty shelf for a tenant's instances of an engine.
    pub(crate) fn add<T: Send + 'static>(&self, engine: EngineKind, tenant: &Name) -> Arc<Shelf<T>> {
        let shelf = Arc::new(Shelf { engine, tenant: tenant.clone(), kept: Mutex::default() });
        self.know(&(shelf.clone() as Arc<dyn Evict>));
        shelf
    }

    /// Remembers one more that keeps instances.
    pub(crate) fn know(&self, shelf: &Arc<dyn Evict>) {
        let mut all = self.0.lock();
        // Those that are gone are looked for when the list would have to grow.
        if all.len() == all.capacity() {
            all.retain(|shelf| shelf.strong_count() > 0);
        }
        all.push(Arc::downgrade(shelf));
    }

    /// Makes room, if it was for want of it that an instance could not be made. In an engine's pools: clears the
    /// shelves that nobody has asked for longest, a half of those that have anything on them. Within a tenant's totals:
    /// clears all that the tenant keeps.
    pub(crate) fn make_room(&self, engine: EngineKind, tenant: &Name, error: &wasmtime::Error) -> bool {
        let all = || self.0.lock().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
            clear_half(all().into_iter().filter(|shelf| shelf.engine() == engine));
            true
        } else if error.downcast_ref::<TotalReached>().is_some() {
            let own = |shelf: &Arc<dyn Evict>| shelf.engine() == engine && shelf.tenant() == tenant;
            all().into_iter().filter(own).for_each(|shelf| shelf.clear());
            true
        } else {
            false
        }
    }

    /// How many instances there are on all of them.
    pub(crate) fn kept(&self) -> usize {
        self.0.lock().iter().filter_map(Weak::upgrade).map(|shelf| shelf.kept()).sum()
    }

    /// Clears half of all shelves, those that nobody has asked for longest.
    pub(crate) fn shrink(&self) {
        let all: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        clear_half(all.into_iter());
    }
}

fn clear_half(shelves: impl Iterator<Item = Arc<dyn Evict>>) {
    let mut waiting: Vec<_> = shelves.filter_map(|shelf| Some((shelf.last_used()?, shelf))).collect();
    waiting.sort_by_key(|(since, _)| *since);
    waiting.iter().take(waiting.len().div_ceil(2)).for_each(|(_, shelf)| shelf.clear());
}
