//! Places to run: how many requests of a tenant run at the same time, and how many may wait.

use crate::limits::TenantTotals;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of one tenant.
pub(crate) struct Places {
    running: Arc<Semaphore>,
    total: usize,
    waiting: AtomicUsize,
    may_wait: usize,
    longest_wait: Duration,
}

/// A place, held until the request is settled: a streaming body keeps it too.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// No place, and no room to wait or no time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saturated;

impl Places {
    pub(crate) fn new(totals: &TenantTotals) -> Self {
        Self {
            running: Arc::new(Semaphore::new(totals.concurrent_requests)),
            total: totals.concurrent_requests,
            waiting: AtomicUsize::new(0),
            may_wait: totals.queued_requests,
            longest_wait: totals.queue_wait,
        }
    }

    /// Takes a place, waiting for one if there is room to wait.
    pub(crate) async fn take(&self) -> Result<Place, Saturated> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let _waiting = Waiting::begin(&self.waiting, self.may_wait).ok_or(Saturated)?;
        match tokio::time::timeout(self.longest_wait, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            _ => Err(Saturated),
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.total.saturating_sub(self.running.available_permits())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Counts one that waits, also when its wait is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let more = |now| (now < most).then_some(now + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(running: usize, waiting: usize, longest_wait: Duration) -> Places {
        Places::new(&TenantTotals {
            concurrent_requests: running,
            queued_requests: waiting,
            queue_wait: longest_wait,
            ..TenantTotals::default()
        })
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
        assert_eq!(places.waiting(), 0);
    }

    #[tokio::test]
    async fn one_that_waits_gets_the_place_that_becomes_free() {
        let places = places(1, 1, Duration::from_secs(60));
        let held = places.take().await.unwrap();
        let (waited, ()) = tokio::join!(places.take(), async { drop(held) });
        assert!(waited.is_ok());
    }
}
