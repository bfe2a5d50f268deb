//! Places to run: how many requests run at the same time, of one tenant and of all, and how many may wait.
//!
//! The host's places are shared fairly. As long as there are plenty, a tenant may have as many as its plan says; the
//! last of them go only to tenants that have less than their share. So one tenant's flood finds an end before the
//! others' requests do. Whoever waits is served by tenant: first the one with the fewest that run.

use crate::limits::TenantTotals;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

/// One place of so many is kept for tenants that have less than their share.
const KEPT: usize = 8;

/// The places of the whole host.
pub(crate) struct Hall {
    places: usize,
    /// Tenants with places.
    tenants: AtomicUsize,
    state: Mutex<HallState>,
}

#[derive(Default)]
struct HallState {
    running: usize,
    /// Tenants of whom something runs.
    active: usize,
    /// Tenants of whom somebody waits.
    waiting: Vec<Arc<Places>>,
}

/// The places of one tenant.
pub(crate) struct Places {
    hall: Arc<Hall>,
    /// Locked after the hall's state, never before.
    state: Mutex<PlacesState>,
}

#[derive(Default)]
struct PlacesState {
    most: usize,
    may_wait: usize,
    longest_wait: Duration,
    running: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// A place, held until the request is settled: a streaming body keeps it too.
pub(crate) struct Place(Arc<Places>);

/// No place, and no room to wait or no time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saturated;

impl Hall {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, tenants: AtomicUsize::new(0), state: Mutex::default() })
    }

    /// The places of one more tenant.
    pub(crate) fn places(self: &Arc<Self>, totals: &TenantTotals) -> Arc<Places> {
        self.tenants.fetch_add(1, Relaxed);
        let places = Places { hall: self.clone(), state: Mutex::default() };
        places.limit(totals);
        Arc::new(places)
    }

    /// Whether a tenant that has so many may have one more.
    fn may_enter(&self, state: &HallState, has: usize) -> bool {
        if state.running >= self.places {
            return false;
        }
        let kept = if self.tenants.load(Relaxed) > 1 { self.places / KEPT } else { 0 };
        // One that has none yet is about to be active.
        let active = state.active + usize::from(has == 0);
        // Of what is kept, each has a part: as many as there are others who might want one.
        let part = (kept / active.saturating_sub(1).max(1)).max(1);
        state.running + kept < self.places || has < part
    }

    /// Somebody left: lets in who waits, and is owed a place most.
    fn let_in(&self) {
        let mut entering = Vec::new();
        let mut state = self.state.lock();
        loop {
            let fits = |places: &&Arc<Places>| {
                let tenant = places.state.lock();
                tenant.running < tenant.most && self.may_enter(&state, tenant.running)
            };
            let next = state.waiting.iter().filter(fits).min_by_key(|places| places.state.lock().running);
            let Some(next) = next.cloned() else { break };
            let mut inner = next.state.lock();
            let waiter = inner.waiting.pop_front();
            if inner.waiting.is_empty() {
                state.waiting.retain(|places| !Arc::ptr_eq(places, &next));
            }
            if let Some(waiter) = waiter.filter(|waiter| !waiter.is_closed()) {
                state.begin(&mut inner);
                drop(inner);
                entering.push((waiter, Place(next)));
            }
        }
        drop(state);
        // Who has gone meanwhile drops the place here, and the next is let in.
        entering.into_iter().for_each(|(waiter, place)| drop(waiter.send(place)));
    }
}

impl HallState {
    fn begin(&mut self, tenant: &mut PlacesState) {
        self.running += 1;
        self.active += usize::from(tenant.running == 0);
        tenant.running += 1;
    }
}

impl Places {
    /// Takes changed totals. Whoever runs or waits already goes on.
    pub(crate) fn limit(&self, totals: &TenantTotals) {
        let mut state = self.state.lock();
        state.most = totals.concurrent_requests;
        state.may_wait = totals.queued_requests;
        state.longest_wait = totals.queue_wait;
        drop(state);
        self.hall.let_in();
    }

    /// Takes a place, waiting for one if there is room to wait.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Place, Saturated> {
        let (waiting, longest_wait) = {
            let mut hall = self.hall.state.lock();
            let mut state = self.state.lock();
            let free = state.running < state.most && self.hall.may_enter(&hall, state.running);
            if free && state.waiting.is_empty() {
                hall.begin(&mut state);
                return Ok(Place(self.clone()));
            }
            // Those that waited too long are still in here.
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.len() >= state.may_wait {
                return Err(Saturated);
            }
            if !hall.waiting.iter().any(|places| Arc::ptr_eq(places, self)) {
                hall.waiting.push(self.clone());
            }
            let (waiter, waiting) = oneshot::channel();
            state.waiting.push_back(waiter);
            (waiting, state.longest_wait)
        };
        match tokio::time::timeout(longest_wait, waiting).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Saturated),
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.state.lock().running
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.iter().filter(|waiter| !waiter.is_closed()).count()
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // Without a lock: who lets others in may be the last to hold this.
        self.hall.tenants.fetch_sub(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let hall = &self.0.hall;
        {
            let mut state = hall.state.lock();
            let mut tenant = self.0.state.lock();
            tenant.running -= 1;
            state.running -= 1;
            state.active -= usize::from(tenant.running == 0);
            if state.waiting.is_empty() {
                return;
            }
        }
        hall.let_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(running: usize, waiting: usize, longest_wait: Duration) -> TenantTotals {
        TenantTotals {
            concurrent_requests: running,
            queued_requests: waiting,
            queue_wait: longest_wait,
            ..TenantTotals::default()
        }
    }

    fn places(running: usize, waiting: usize, longest_wait: Duration) -> Arc<Places> {
        Hall::new(1_000).places(&totals(running, waiting, longest_wait))
    }

    #[tokio::test]
    async fn a_full_house_makes_wait_then_refuses() {
        let places = places(1, 1, Duration::from_millis(1));
        let held = places.take().await.unwrap();
        assert_eq!(places.running(), 1);
        let (first, second) = tokio::join!(places.take(), places.take());
        assert!(first.is_err() && second.is_err(), "one had no room to wait, one no time left");
        drop(held);
        assert!(places.take().await.is_ok());
        assert_eq!((places.running(), places.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn one_that_waits_gets_the_place_that_becomes_free() {
        let places = places(1, 1, Duration::from_secs(60));
        let held = places.take().await.unwrap();
        let (waited, ()) = tokio::join!(places.take(), async { drop(held) });
        assert!(waited.is_ok());
    }

    #[tokio::test]
    async fn a_flood_leaves_the_others_their_share() {
        let hall = Hall::new(16);
        let wait = Duration::from_millis(1);
        let (loud, quiet) = (hall.places(&totals(100, 0, wait)), hall.places(&totals(100, 0, wait)));
        let mut held = Vec::new();
        while let Ok(place) = loud.take().await {
            held.push(place);
        }
        assert_eq!(held.len(), 14, "all but those that are kept");
        let two = (quiet.take().await.unwrap(), quiet.take().await.unwrap());
        assert!(quiet.take().await.is_err(), "now the host is full");
        drop(two);
    }

    #[tokio::test]
    async fn of_those_that_wait_the_tenant_with_the_fewest_goes_first() {
        let hall = Hall::new(8);
        let wait = Duration::from_secs(60);
        let (loud, quiet) = (hall.places(&totals(100, 9, wait)), hall.places(&totals(100, 9, wait)));
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(loud.take().await.unwrap());
        }
        let _two = (quiet.take().await.unwrap(), quiet.take().await.unwrap());
        let (mut first, mut second) = (Box::pin(loud.take()), Box::pin(quiet.take()));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        held.truncate(4);
        let entered = futures::poll!(&mut second);
        assert!(entered.is_ready(), "the one that has less");
        assert!(futures::poll!(&mut first).is_pending(), "the last place is kept for one that has none");
    }

    #[tokio::test]
    async fn a_place_for_one_that_has_gone_is_the_next_ones() {
        let places = places(1, 2, Duration::from_secs(60));
        let held = places.take().await.unwrap();
        let (mut gone, mut next) = (Box::pin(places.take()), Box::pin(places.take()));
        assert!(futures::poll!(&mut gone).is_pending() && futures::poll!(&mut next).is_pending());
        drop(gone);
        drop(held);
        assert!(next.await.is_ok());
        assert_eq!(places.running(), 0);
    }

    #[tokio::test]
    async fn a_tenant_that_is_gone_with_its_waiters_stops_nobody() {
        let hall = Hall::new(1);
        let wait = Duration::from_millis(1);
        let (stays, goes) = (hall.places(&totals(1, 1, wait)), hall.places(&totals(1, 1, wait)));
        let held = stays.take().await.unwrap();
        assert!(goes.take().await.is_err());
        drop(goes);
        drop(held);
        assert!(stays.take().await.is_ok());
        assert_eq!(hall.tenants.load(Relaxed), 1);
    }
}
