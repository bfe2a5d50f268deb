//! Turns at the processor: how many guests compute at one time, of one tenant and of all.
//!
//! A guest that computes gives its thread back at every tick of the epoch, and at once wants it again. With enough of
//! those, a neighbour's request would wait behind each of them. So whoever enters a tenant's guest or gate takes a turn
//! first. No tenant has more turns at one time than the machine has cores, and all have twice as many: whatever else is
//! to be done waits for no more ticks than that. Who has to wait is served by tenant, one after the other.
//!
//! Tenants whose guests were seen to compute for longer than [`LONG`] are *busy* for a while. As long as others have
//! requests, all busy tenants together leave a core to them, if there is more than one.
//!
//! A tenant that most work of the moment is done for *crowds* the others, and its requests go behind theirs, one by one.
//! Work is what is computed in its turns, and a part for each request that is the host's own.

use crate::rate::{Rate, WINDOW_MS};
use crate::threads::{cores, turns_in_all};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// From how much CPU time of one run on its tenant is busy, and for how long.
pub(crate) const LONG: Duration = Duration::from_millis(10);
const BUSY_FOR: Duration = Duration::from_secs(60);

/// For how long after a turn of a tenant that is not busy a core is kept for such.
const KEPT_FOR: Duration = Duration::from_millis(100);

/// A tenant crowds others from so many microseconds of work in two windows on, if they are three quarters of all, and
/// others have some.
const CROWD_US: u64 = 12_000;

/// What a request is taken to cost the host, in microseconds, beside its guest's CPU time.
const REQUEST_US: u64 = 300;

/// How much of what a guest computes is counted at one time.
const COUNTED_AT_ONCE: Duration = Duration::from_millis(1);

/// All turns of one host.
pub(crate) struct Turns {
    /// Work for all tenants, in microseconds.
    work: Rate,
    for_one: usize,
    /// Turns of all busy tenants together while others have requests.
    for_busy: usize,
    kept_for: Duration,
    /// Until when others are taken to have requests.
    others: Until,
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Taken by busy tenants.
    busy: usize,
    /// Tenants with somebody waiting. The first is served first, and goes to the end.
    waiting: VecDeque<Arc<Queue>>,
}

/// The turns of one tenant.
pub(crate) struct Queue {
    turns: Weak<Turns>,
    /// Work for it, in microseconds.
    work: Rate,
    busy: Until,
    /// Locked after `Turns::state`, never before.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    taken: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

/// One that waits, or waited, for a turn.
struct Waiter {
    /// Written and read under the lock of `Turns::state`.
    state: AtomicU8,
    waker: Mutex<Waker>,
}

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
/// The turn counts as a busy tenant's.
const GRANTED_BUSY: u8 = 2;

/// One that enters a guest again and again.
pub(crate) struct Seat<'a> {
    queue: &'a Arc<Queue>,
    /// Whether it goes ahead of others of its tenant.
    first: bool,
    waiter: Option<Arc<Waiter>>,
    /// What was computed in its turns and is not counted yet.
    uncounted: Duration,
}

/// A turn. Given back when dropped.
pub(crate) struct Turn {
    queue: Arc<Queue>,
    busy: bool,
}

/// A time that is put off again and again.
struct Until {
    since: Instant,
    /// In milliseconds after `since`.
    end: AtomicU64,
}

impl Until {
    fn none() -> Self {
        Self { since: Instant::now(), end: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    fn put_off(&self, by: Duration) {
        self.end.store(self.now().saturating_add(by.as_millis() as u64), Relaxed);
    }

    fn is_ahead(&self) -> bool {
        self.now() < self.end.load(Relaxed)
    }
}

impl Turns {
    /// As many as this machine's cores ask for.
    pub(crate) fn of_this_machine() -> Arc<Self> {
        Self::keeping(cores(), turns_in_all(), KEPT_FOR)
    }

    /// As many as that.
    #[cfg(test)]
    pub(crate) fn new(for_one: usize, in_all: usize) -> Arc<Self> {
        Self::keeping(for_one, in_all, Duration::from_secs(60))
    }

    fn keeping(for_one: usize, in_all: usize, kept_for: Duration) -> Arc<Self> {
        let state = State { free: in_all, busy: 0, waiting: VecDeque::new() };
        let for_busy = for_one.saturating_sub(1).max(1);
        Arc::new(Self {
            work: Rate::default(),
            for_one,
            for_busy,
            kept_for,
            others: Until::none(),
            state: Mutex::new(state),
        })
    }

    /// For one more tenant.
    pub(crate) fn queue(self: &Arc<Self>) -> Arc<Queue> {
        Arc::new(Queue {
            turns: Arc::downgrade(self),
            work: Rate::default(),
            busy: Until::none(),
            inner: Mutex::default(),
        })
    }

    fn window(&self) -> u64 {
        self.others.now() / WINDOW_MS
    }

    /// Whether a tenant that has so many turns may have one more now.
    fn may_take(&self, state: &State, taken: usize, busy: bool) -> bool {
        let room = !busy || state.busy < self.for_busy || !self.others.is_ahead();
        state.free > 0 && taken < self.for_one && room
    }

    /// A turn came back, or nobody took it.
    fn back(&self, queue: &Queue, busy: bool) {
        let mut wake = Vec::new();
        let mut state = self.state.lock();
        state.give(busy);
        queue.inner.lock().taken -= 1;
        // Until nobody of those that wait may take one more.
        let mut passed_over = 0;
        while state.free > 0 && passed_over < state.waiting.len() {
            let Some(next) = state.waiting.pop_front() else { break };
            let mut inner = next.inner.lock();
            let busy = next.is_busy();
            let may = self.may_take(&state, inner.taken, busy);
            match may.then(|| inner.waiting.pop_front()).flatten() {
                Some(waiter) => {
                    waiter.state.store(if busy { GRANTED_BUSY } else { GRANTED }, Relaxed);
                    wake.push(waiter);
                    inner.taken += 1;
                    state.take(busy);
                    passed_over = 0;
                }
                None => passed_over += 1,
            }
            let more = !inner.waiting.is_empty();
            drop(inner);
            if more {
                state.waiting.push_back(next);
            }
        }
        drop(state);
        for waiter in wake {
            waiter.waker.lock().wake_by_ref();
        }
    }
}

impl State {
    fn take(&mut self, busy: bool) {
        self.free -= 1;
        self.busy += usize::from(busy);
    }

    fn give(&mut self, busy: bool) {
        self.free += 1;
        self.busy -= usize::from(busy);
    }
}

impl Queue {
    /// One of the tenant's guests has computed for long.
    pub(crate) fn computes_long(&self) {
        self.busy.put_off(BUSY_FOR);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_ahead()
    }

    /// Counts a request, and tells whether it goes behind those of others: because the tenant is busy, or because most
    /// work of the moment is done for it.
    pub(crate) fn count_request(&self) -> bool {
        self.worked(REQUEST_US) || self.is_busy()
    }

    /// Counts a request of no tenant's, with all the work of the host: else who is served beside a flood of such would
    /// seem to have most of it.
    pub(crate) fn count_unclaimed(&self) {
        if let Some(turns) = self.turns.upgrade() {
            turns.work.note(turns.window(), REQUEST_US);
        }
    }

    /// Adds work in microseconds, and tells whether the tenant now crowds others.
    fn worked(&self, amount_us: u64) -> bool {
        let Some(turns) = self.turns.upgrade() else { return false };
        let window = turns.window();
        turns.work.note(window, amount_us);
        self.work.note(window, amount_us);
        self.crowds(&turns, window)
    }

    fn crowds(&self, turns: &Turns, window: u64) -> bool {
        crowds(self.work.sum(window), turns.work.sum(window))
    }

    pub(crate) fn seat(self: &Arc<Self>) -> Seat<'_> {
        Seat { queue: self, first: false, waiter: None, uncounted: Duration::ZERO }
    }

    /// For a call into the tenant's gate, which is short and bounded: it does not wait behind the tenant's runs.
    pub(crate) fn first_seat(self: &Arc<Self>) -> Seat<'_> {
        Seat { queue: self, first: true, waiter: None, uncounted: Duration::ZERO }
    }
}

/// Whether a tenant with so much of all work crowds others.
fn crowds(own: u64, all: u64) -> bool {
    own >= CROWD_US && own < all && own.saturating_mul(4) >= all.saturating_mul(3)
}

impl Seat<'_> {
    /// Counts what was computed in a turn. A little is counted together, and all when the seat is dropped.
    pub(crate) fn computed(&mut self, cpu: Duration) {
        self.uncounted = self.uncounted.saturating_add(cpu);
        if self.uncounted >= COUNTED_AT_ONCE {
            self.count();
        }
    }

    fn count(&mut self) {
        let _ = self.queue.worked(std::mem::take(&mut self.uncounted).as_micros() as u64);
    }

    /// A turn, now or when woken. None once the host is gone, for which nobody has to wait.
    pub(crate) fn poll_turn(&mut self, context: &Context<'_>) -> Poll<Option<Turn>> {
        let Some(turns) = self.queue.turns.upgrade() else { return Poll::Ready(None) };
        let busy = self.queue.is_busy();
        if !busy {
            turns.others.put_off(turns.kept_for);
        }
        let mut state = turns.state.lock();
        let mut inner = self.queue.inner.lock();
        if let Some(waiter) = &self.waiter {
            let granted = waiter.state.load(Relaxed);
            if granted != WAITING {
                let busy = granted == GRANTED_BUSY;
                self.waiter = None;
                return Poll::Ready(Some(Turn { queue: self.queue.clone(), busy }));
            }
            waiter.waker.lock().clone_from(context.waker());
            return Poll::Pending;
        }
        if inner.waiting.is_empty() && turns.may_take(&state, inner.taken, busy) {
            state.take(busy);
            inner.taken += 1;
            return Poll::Ready(Some(Turn { queue: self.queue.clone(), busy }));
        }
        let waiter =
            Arc::new(Waiter { state: AtomicU8::new(WAITING), waker: Mutex::new(context.waker().clone()) });
        if inner.waiting.is_empty() {
            state.waiting.push_back(self.queue.clone());
        }
        if self.first {
            inner.waiting.push_front(waiter.clone());
        } else {
            inner.waiting.push_back(waiter.clone());
        }
        self.waiter = Some(waiter);
        Poll::Pending
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.count();
        let (Some(waiter), Some(turns)) = (self.waiter.take(), self.queue.turns.upgrade()) else { return };
        let mut state = turns.state.lock();
        let mut inner = self.queue.inner.lock();
        let granted = waiter.state.load(Relaxed);
        inner.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        if inner.waiting.is_empty() {
            state.waiting.retain(|queue| !Arc::ptr_eq(queue, self.queue));
        }
        drop((inner, state));
        if granted != WAITING {
            turns.back(self.queue, granted == GRANTED_BUSY);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.queue.turns.upgrade() {
            turns.back(&self.queue, self.busy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn took(poll: Poll<Option<Turn>>) -> Option<Turn> {
        match poll {
            Poll::Ready(turn) => turn,
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_tenant_has_its_part_and_leaves_the_rest_to_others() {
        let turns = Turns::new(1, 2);
        let (loud, quiet) = (turns.queue(), turns.queue());
        let context = &Context::from_waker(Waker::noop());
        let (mut a, mut b, mut c) = (loud.seat(), loud.seat(), quiet.seat());
        let first = took(a.poll_turn(context)).unwrap();
        assert!(b.poll_turn(context).is_pending());
        assert!(took(c.poll_turn(context)).is_some());
        drop(first);
        assert!(took(b.poll_turn(context)).is_some());
    }

    #[test]
    fn those_that_wait_are_served_by_tenant_and_nobody_gets_ahead() {
        let turns = Turns::new(2, 1);
        let (loud, quiet) = (turns.queue(), turns.queue());
        let (woken, count) = {
            let count = Arc::new(Count::default());
            (Waker::from(count.clone()), count)
        };
        let context = &Context::from_waker(&woken);
        let (mut a, mut b, mut c, mut d) = (loud.seat(), loud.seat(), loud.seat(), quiet.seat());
        let turn = took(a.poll_turn(context)).unwrap();
        assert!(b.poll_turn(context).is_pending() && c.poll_turn(context).is_pending());
        assert!(d.poll_turn(context).is_pending());
        drop(turn);
        assert_eq!(count.0.load(Relaxed), 1);
        // It is promised to `b`: who comes back at once does not get it.
        assert!(a.poll_turn(context).is_pending());
        let turn = took(b.poll_turn(context)).unwrap();
        drop(turn);
        assert!(c.poll_turn(context).is_pending());
        let turn = took(d.poll_turn(context)).unwrap();
        drop(turn);
        assert!(took(c.poll_turn(context)).is_some());
    }

    #[test]
    fn a_turn_that_was_promised_to_one_who_is_gone_is_the_next_ones() {
        let turns = Turns::new(1, 1);
        let queue = turns.queue();
        let context = &Context::from_waker(Waker::noop());
        let (mut a, mut b, mut c) = (queue.seat(), queue.seat(), queue.seat());
        let turn = took(a.poll_turn(context)).unwrap();
        assert!(b.poll_turn(context).is_pending() && c.poll_turn(context).is_pending());
        drop(turn);
        drop(b);
        assert!(took(c.poll_turn(context)).is_some());
    }

    #[test]
    fn a_tenant_that_most_work_is_for_goes_behind_those_that_have_some() {
        assert!(!crowds(100_000, 100_000), "there is nobody else");
        assert!(crowds(99_999, 100_000) && crowds(75_000, 100_000));
        assert!(!crowds(74_999, 100_000) && !crowds(9_000, 9_300));
        let turns = Turns::new(2, 4);
        let (loud, quiet) = (turns.queue(), turns.queue());
        // In a window that no clock comes to.
        let add = |queue: &Queue, window, amount_us| {
            turns.work.note(window, amount_us);
            queue.work.note(window, amount_us);
            queue.crowds(&turns, window)
        };
        assert!(!add(&loud, 1_000_000, 100_000), "there is nobody else");
        assert!(!add(&quiet, 1_000_000, 300));
        assert!(add(&loud, 1_000_000, 300) && add(&loud, 1_000_001, 300));
        assert!(!add(&loud, 1_000_002, 300), "what is long ago is forgotten");
        turns.work.note(1_000_003, 50_000);
        assert!(!add(&loud, 1_000_003, 100_000), "requests of nobody's are work, too");
    }

    #[test]
    fn what_is_computed_in_turns_is_work_of_the_tenant() {
        let turns = Turns::new(2, 4);
        let queue = turns.queue();
        let sum = || queue.work.sum(turns.window());
        let mut seat = queue.seat();
        seat.computed(COUNTED_AT_ONCE / 2);
        assert_eq!(sum(), 0);
        drop(seat);
        let mut seat = queue.first_seat();
        seat.computed(Duration::from_secs(1));
        // All of it, should this thread have stood still for a window.
        assert!([1_000_000, 1_000_500].contains(&sum()), "{}", sum());
    }

    #[test]
    fn busy_tenants_leave_a_core_while_others_have_requests() {
        let turns = Turns::new(2, 4);
        let (busy, other) = (turns.queue(), turns.queue());
        busy.computes_long();
        let context = &Context::from_waker(Waker::noop());
        let (mut a, mut b, mut c) = (busy.seat(), busy.seat(), other.seat());
        let alone = [took(a.poll_turn(context)), took(b.poll_turn(context))];
        assert!(alone.iter().all(Option::is_some), "alone, they have all cores");
        drop(alone);
        let quick = took(c.poll_turn(context)).unwrap();
        drop(quick);
        let one = took(a.poll_turn(context)).unwrap();
        assert!(b.poll_turn(context).is_pending());
        drop(one);
        assert!(took(b.poll_turn(context)).is_some());
    }

    #[test]
    fn busy_tenants_have_all_cores_again_when_nobody_else_asks() {
        let turns = Turns::keeping(2, 4, Duration::ZERO);
        let (busy, other) = (turns.queue(), turns.queue());
        busy.computes_long();
        let context = &Context::from_waker(Waker::noop());
        let (mut a, mut b, mut c, mut d) = (busy.seat(), busy.seat(), busy.seat(), other.seat());
        let held = [took(a.poll_turn(context)).unwrap(), took(b.poll_turn(context)).unwrap()];
        assert!(c.poll_turn(context).is_pending());
        drop(took(d.poll_turn(context)));
        let (mut e, mut f) = (busy.seat(), busy.first_seat());
        assert!(e.poll_turn(context).is_pending() && f.poll_turn(context).is_pending());
        drop(held);
        let both = [took(f.poll_turn(context)), took(c.poll_turn(context))];
        assert!(both.iter().all(Option::is_some), "the gate's goes first");
        assert!(e.poll_turn(context).is_pending());
    }

    #[test]
    fn who_waits_and_goes_leaves_nothing_in_the_line() {
        let turns = Turns::new(1, 1);
        let queue = turns.queue();
        let context = &Context::from_waker(Waker::noop());
        let mut a = queue.seat();
        let _held = took(a.poll_turn(context)).unwrap();
        for _ in 0..100 {
            assert!(queue.seat().poll_turn(context).is_pending());
        }
        assert!(turns.state.lock().waiting.is_empty());
    }
}
