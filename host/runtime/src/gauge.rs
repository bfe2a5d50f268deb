//! A sum with a limit, and how it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is used and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// So much is used.
    pub used: u64,
    /// No more may be.
    pub limit: u64,
}

/// A sum with a limit.
#[derive(Default)]
pub(crate) struct Gauge {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Gauge {
    pub(crate) fn up_to(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: limit.into(), ..Self::default() })
    }

    pub(crate) fn limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Adds, if the sum stays within the limit.
    pub(crate) fn take(&self, amount: u64) -> bool {
        let limit = self.limit.load(Relaxed);
        let more = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        amount == 0 || self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Adds, whatever the limit.
    pub(crate) fn put(&self, amount: u64) {
        let more = |used: u64| Some(used.saturating_add(amount));
        let _ = self.used.fetch_update(Relaxed, Relaxed, more);
    }

    pub(crate) fn give(&self, amount: u64) {
        let less = |used: u64| Some(used.saturating_sub(amount));
        // It never fails: the closure always has an answer.
        let _ = self.used.fetch_update(Relaxed, Relaxed, less);
    }

    pub(crate) fn read(&self) -> Used {
        Used { used: self.used.load(Relaxed), limit: self.limit.load(Relaxed) }
    }
}
