//! How much there was of something in the last moments.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Length of a window, in milliseconds. A sum is of the present window and the one before.
pub(crate) const WINDOW_MS: u64 = 100;

/// A sum of what came lately. Threads that note some at the same moment may lose a part: it decides on priorities only.
#[derive(Default)]
pub(crate) struct Rate {
    window: AtomicU64,
    now: AtomicU64,
    before: AtomicU64,
}

impl Rate {
    /// Adds to this window.
    pub(crate) fn note(&self, window: u64, amount: u64) {
        // A thread that comes late with a window of before adds to the present one.
        let last = self.window.fetch_max(window, Relaxed);
        if last < window {
            let sum = self.now.swap(0, Relaxed);
            self.before.store(if last + 1 == window { sum } else { 0 }, Relaxed);
        }
        self.now.fetch_add(amount, Relaxed);
    }

    /// How much there is in this window and the one before.
    pub(crate) fn sum(&self, window: u64) -> u64 {
        match window.saturating_sub(self.window.load(Relaxed)) {
            0 => self.now.load(Relaxed).saturating_add(self.before.load(Relaxed)),
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
        (0..5).for_each(|_| rate.note(1, 1));
        assert_eq!((rate.sum(1), rate.sum(2), rate.sum(3)), (5, 5, 0));
        rate.note(2, 1);
        assert_eq!((rate.sum(2), rate.sum(3)), (6, 1));
        rate.note(9, 7);
        rate.note(8, 1);
        assert_eq!(rate.sum(9), 8, "one that comes late adds, and clears nothing");
    }
}
