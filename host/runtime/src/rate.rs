//! How many requests came in the last moments.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Length of a window, in milliseconds. A count is of the present window and the one before.
pub(crate) const WINDOW_MS: u64 = 100;

/// A count of requests. Threads that note some at the same moment may lose a few: it decides on priorities only.
#[derive(Default)]
pub(crate) struct Rate {
    window: AtomicU64,
    now: AtomicU64,
    before: AtomicU64,
}

impl Rate {
    /// Counts one in this window.
    pub(crate) fn note(&self, window: u64) {
        let last = self.window.swap(window, Relaxed);
        if last != window {
            let count = self.now.swap(0, Relaxed);
            self.before.store(if last + 1 == window { count } else { 0 }, Relaxed);
        }
        self.now.fetch_add(1, Relaxed);
    }

    /// How many there are in this window and the one before.
    pub(crate) fn count(&self, window: u64) -> u64 {
        match window.saturating_sub(self.window.load(Relaxed)) {
            0 => self.now.load(Relaxed) + self.before.load(Relaxed),
            1 => self.now.load(Relaxed),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_window_is_forgotten() {
        let rate = Rate::default();
        (0..5).for_each(|_| rate.note(1));
        assert_eq!((rate.count(1), rate.count(2), rate.count(3)), (5, 5, 0));
        rate.note(2);
        assert_eq!((rate.count(2), rate.count(3)), (6, 1));
        rate.note(9);
        assert_eq!(rate.count(9), 1);
    }
}
