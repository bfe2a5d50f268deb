//! The three clocks of a run: CPU, wall, and waiting for the host.
//!
//! CPU time is the thread's own, taken at the edges of every poll and, inside a long poll, at every tick of the
//! epoch: so a busy neighbour costs a guest nothing, and a guest that never yields is still seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// CPU time that this thread has used.
fn thread_cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// The clocks of one run. Written by the task that polls the run, read from inside the same poll by the engine's
/// callback; the atomics only make it `Sync`.
#[derive(Debug)]
pub(crate) struct RunClock {
    started: Instant,
    /// CPU time of the polls that have ended.
    cpu_ns: AtomicU64,
    /// The thread's CPU clock when the present poll began.
    poll_began_ns: AtomicU64,
    /// Wall time between polls.
    waited_ns: AtomicU64,
    /// When the last poll ended, in nanoseconds since `started`.
    poll_ended_ns: AtomicU64,
}

impl RunClock {
    /// Starts all three clocks.
    pub(crate) fn start(now: Instant) -> Self {
        Self {
            started: now,
            cpu_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            poll_ended_ns: AtomicU64::new(0),
        }
    }

    /// To be called first in every poll of the run.
    pub(crate) fn poll_begins(&self) {
        self.poll_began_ns.store(thread_cpu_ns(), Relaxed);
        let since_start = self.started.elapsed().as_nanos() as u64;
        let waited = since_start.saturating_sub(self.poll_ended_ns.load(Relaxed));
        self.waited_ns.fetch_add(waited, Relaxed);
    }

    /// To be called last in every poll of the run.
    pub(crate) fn poll_ends(&self) {
        self.cpu_ns.fetch_add(self.in_poll_ns(), Relaxed);
        self.poll_ended_ns.store(self.started.elapsed().as_nanos() as u64, Relaxed);
    }

    fn in_poll_ns(&self) -> u64 {
        thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Relaxed))
    }

    /// CPU time so far. To be called from inside a poll.
    pub(crate) fn cpu_in_poll(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Relaxed).saturating_add(self.in_poll_ns()))
    }

    /// CPU time of the polls that have ended.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Relaxed))
    }

    /// How long the run has waited between polls.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.load(Relaxed))
    }

    /// When the run began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}
