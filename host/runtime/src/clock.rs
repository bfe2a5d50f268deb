//! The three clocks of a run: CPU, wall, and waiting for the host.
//!
//! CPU time is the thread's own, taken at the edges of every poll and, inside a long poll, at every tick of the
//! epoch: so a busy neighbour costs a guest nothing, and a guest that never yields is still seen. For the host's own
//! components, which are called for every request and not billed, a short poll's wall time will do: to ask the system
//! for the thread's clock twice would cost as much as a simple decision.

use crate::engine::TICK;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// One tick of the epoch.
const TICK_NS: u64 = TICK.as_nanos() as u64;

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
    precision: Precision,
    /// CPU time of the polls that have ended.
    cpu_ns: AtomicU64,
    /// The thread's CPU clock when the present poll began; 0 while that is not known.
    poll_began_ns: AtomicU64,
    in_poll: AtomicBool,
    /// When the present poll began, in nanoseconds since `started`.
    poll_began_wall_ns: AtomicU64,
    /// Wall time between polls.
    waited_ns: AtomicU64,
    /// When the last poll ended, in nanoseconds since `started`.
    poll_ended_ns: AtomicU64,
    /// Whether the run could go on and waits for its turn, which is no waiting of the guest's.
    in_line: AtomicBool,
    /// Since when, in nanoseconds since `started`, and for how long in all.
    in_line_since_ns: AtomicU64,
    lined_ns: AtomicU64,
}

/// How CPU time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// By the thread's clock, always.
    Exact,
    /// As wall time in polls that are shorter than a tick, and to within a tick in those that are longer.
    Rough,
}

impl RunClock {
    /// Starts all three clocks, for a run that is billed.
    pub(crate) fn start(now: Instant) -> Self {
        Self::with(Precision::Exact, now)
    }

    /// Starts all three clocks, for a call of one of the host's own components.
    pub(crate) fn rough(now: Instant) -> Self {
        Self::with(Precision::Rough, now)
    }

    fn with(precision: Precision, now: Instant) -> Self {
        Self {
            started: now,
            precision,
            cpu_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            in_poll: AtomicBool::new(false),
            poll_began_wall_ns: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            poll_ended_ns: AtomicU64::new(0),
            in_line: AtomicBool::new(false),
            in_line_since_ns: AtomicU64::new(0),
            lined_ns: AtomicU64::new(0),
        }
    }

    /// To be called first in every poll of the run.
    pub(crate) fn poll_begins(&self) {
        self.in_poll.store(true, Relaxed);
        let exact = self.precision == Precision::Exact;
        self.poll_began_ns.store(if exact { thread_cpu_ns() } else { 0 }, Relaxed);
        let since_start = self.since_start_ns();
        self.poll_began_wall_ns.store(since_start, Relaxed);
        if self.in_line.swap(false, Relaxed) {
            let lined = since_start.saturating_sub(self.in_line_since_ns.load(Relaxed));
            self.lined_ns.fetch_add(lined, Relaxed);
        } else {
            self.waited_until(since_start);
        }
    }

    /// Whether the present poll has lasted for less than a tick.
    pub(crate) fn poll_is_young(&self) -> bool {
        self.since_start_ns().saturating_sub(self.poll_began_wall_ns.load(Relaxed)) < TICK_NS
    }

    /// How long the run has stood in line for its turns.
    pub(crate) fn lined(&self) -> Duration {
        let now = match self.in_line.load(Relaxed) {
            true => self.since_start_ns().saturating_sub(self.in_line_since_ns.load(Relaxed)),
            false => 0,
        };
        Duration::from_nanos(self.lined_ns.load(Relaxed).saturating_add(now))
    }

    /// To be called where a poll finds that it is not its turn.
    pub(crate) fn stands_in_line(&self) {
        if !self.in_line.swap(true, Relaxed) {
            let since_start = self.since_start_ns();
            self.in_line_since_ns.store(since_start, Relaxed);
            self.waited_until(since_start);
        }
    }

    fn waited_until(&self, since_start_ns: u64) {
        let waited = since_start_ns.saturating_sub(self.poll_ended_ns.load(Relaxed));
        self.waited_ns.fetch_add(waited, Relaxed);
    }

    /// To be called last in every poll of the run. Returns the poll's CPU time. Without a poll it does nothing: another
    /// thread's clock would say anything.
    pub(crate) fn poll_ends(&self) -> Duration {
        if !self.in_poll.swap(false, Relaxed) {
            return Duration::ZERO;
        }
        let cpu_ns = self.in_poll_ns();
        self.cpu_ns.fetch_add(cpu_ns, Relaxed);
        self.poll_ended_ns.store(self.since_start_ns(), Relaxed);
        Duration::from_nanos(cpu_ns)
    }

    fn since_start_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn in_poll_ns(&self) -> u64 {
        match self.poll_began_ns.load(Relaxed) {
            0 => {
                let wall = self.since_start_ns().saturating_sub(self.poll_began_wall_ns.load(Relaxed));
                if wall >= TICK_NS {
                    // From here on by the thread's clock, as if it had been asked a tick after the poll began.
                    self.poll_began_ns.store(thread_cpu_ns().saturating_sub(TICK_NS).max(1), Relaxed);
                }
                wall.min(TICK_NS)
            }
            began => thread_cpu_ns().saturating_sub(began),
        }
    }

    /// Counts CPU time that was spent for this run before it began.
    pub(crate) fn charge(&self, cpu: Duration) {
        self.cpu_ns.fetch_add(cpu.as_nanos() as u64, Relaxed);
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

    /// As [`RunClock::waited`], with the wait that may go on now.
    pub(crate) fn waiting(&self) -> Duration {
        let (began, ended) = (self.poll_began_wall_ns.load(Relaxed), self.poll_ended_ns.load(Relaxed));
        let waits = ended >= began && !self.in_line.load(Relaxed);
        let now = if waits { self.since_start_ns().saturating_sub(ended) } else { 0 };
        Duration::from_nanos(self.waited_ns.load(Relaxed).saturating_add(now))
    }

    /// When the run began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works for about this long by the wall clock.
    fn work(time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_rough_clock_sees_a_long_poll_from_inside() {
        for clock in [RunClock::start(Instant::now()), RunClock::rough(Instant::now())] {
            clock.poll_begins();
            work(2 * TICK);
            let first = clock.cpu_in_poll();
            work(2 * TICK);
            let second = clock.cpu_in_poll();
            assert!(first > Duration::ZERO && second > first, "{clock:?}: {first:?}, {second:?}");
            clock.poll_ends();
            assert!(clock.cpu() >= second, "{clock:?}");
            assert!(clock.cpu() <= clock.started().elapsed() + TICK, "{clock:?}");
        }
    }

    #[test]
    fn a_poll_that_has_ended_is_not_counted_again_by_another_thread() {
        let clock = RunClock::start(Instant::now());
        clock.poll_begins();
        clock.poll_ends();
        let cpu = clock.cpu();
        let other = std::thread::scope(|scope| {
            let spawned = scope.spawn(|| {
                work(4 * TICK);
                clock.poll_ends()
            });
            spawned.join().unwrap()
        });
        assert_eq!((other, clock.cpu()), (Duration::ZERO, cpu));
    }

    #[test]
    fn waiting_between_polls_is_no_cpu_time() {
        for clock in [RunClock::start(Instant::now()), RunClock::rough(Instant::now())] {
            clock.poll_begins();
            clock.poll_ends();
            let before = clock.cpu();
            work(TICK);
            clock.poll_begins();
            assert!(clock.waited() >= TICK, "{clock:?}");
            clock.poll_ends();
            assert!(clock.cpu() - before < TICK, "{clock:?}");
            let waited = clock.waited();
            clock.stands_in_line();
            work(2 * TICK);
            clock.stands_in_line();
            clock.poll_begins();
            assert!(clock.waited() - waited < TICK, "to stand in line is no waiting: {clock:?}");
            assert!(clock.lined() >= 2 * TICK, "{clock:?}");
        }
    }
}
