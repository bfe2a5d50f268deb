//! How near the host is to the end of its memory, and what it does about it: first it lets go of what it only keeps
//! to be faster, then it takes no more requests, until there is room again.

use crate::gauge::Used;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Hundredths of the memory at which idle instances go, and at which requests are refused.
const SHRINK_PERCENT: u64 = 95;
const REFUSE_PERCENT: u64 = 98;

/// What to do at a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Nothing.
    None,
    /// Let idle instances go.
    Shrink,
}

pub(crate) struct Pressure {
    limit: u64,
    used: AtomicU64,
    refuses: AtomicBool,
}

impl Pressure {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0), refuses: AtomicBool::new(false) }
    }

    /// Takes a reading of the bytes in use.
    pub(crate) fn read(&self, used: u64) -> Relief {
        self.used.store(used, Relaxed);
        let (used, limit) = (u128::from(used) * 100, u128::from(self.limit));
        if used >= limit * u128::from(REFUSE_PERCENT) {
            self.refuses.store(true, Relaxed);
        } else if used < limit * u128::from(SHRINK_PERCENT) {
            // Not at once below the mark, or it would be passed again and again.
            self.refuses.store(false, Relaxed);
        }
        if used >= limit * u128::from(SHRINK_PERCENT) { Relief::Shrink } else { Relief::None }
    }

    /// Whether no more requests are taken.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Relaxed)
    }

    pub(crate) fn used(&self) -> Used {
        Used { used: self.used.load(Relaxed), limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_instances_go_first_and_requests_are_refused_until_there_is_room_again() {
        let pressure = Pressure::new(1_000);
        assert_eq!((pressure.read(949), pressure.refuses()), (Relief::None, false));
        assert_eq!((pressure.read(950), pressure.refuses()), (Relief::Shrink, false));
        assert_eq!((pressure.read(980), pressure.refuses()), (Relief::Shrink, true));
        assert_eq!((pressure.read(960), pressure.refuses()), (Relief::Shrink, true));
        assert_eq!((pressure.read(949), pressure.refuses()), (Relief::None, false));
    }
}
