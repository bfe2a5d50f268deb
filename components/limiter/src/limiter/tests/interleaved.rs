//! Several takers at once, their accesses to the store put in an order that proptest chooses.
//!
//! Each taker is a thread that waits at every access until it is let through, so a case runs the same each time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use proptest::prelude::*;

use super::memory::{Memory, Seen, bucket, charge};
use super::{NOW, SECOND};
use crate::{Adjustment, Charge, Limiter, Store, StoreError, Swap, TakeError};

const NAMES: [&str; 3] = ["a", "b", "c"];
const QUOTAS: [u64; 3] = [5, 7, 11];
const WINDOW: u64 = SECOND;

fn limiter() -> Limiter {
    Limiter::new(NAMES.iter().zip(QUOTAS).map(|(name, quota)| bucket(name, quota, WINDOW)).collect()).unwrap()
}

/// A take at some time, and how much of each charge turns out to be used, if it is to be settled.
#[derive(Debug, Clone)]
struct Job {
    charges: Vec<Charge>,
    now: u64,
    actual: Option<u64>,
}

/// One taker's door to the store: says where it stands, and waits for its turn.
struct Door {
    taker: usize,
    arrive: Sender<(usize, bool)>,
    turn: Receiver<Turn>,
}

enum Turn {
    Go(Memory),
    /// Nothing happens, and the taker is told so.
    Fail(Memory),
    /// It happens, but the taker is told that it failed.
    Lose(Memory),
}

/// The store travels with the turn, so only one taker has it at a time.
struct Turns {
    door: Door,
    back: Sender<Memory>,
}

impl Turns {
    fn access<T>(&mut self, act: impl FnOnce(&mut Memory) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.door.arrive.send((self.door.taker, true)).unwrap();
        let (result, store) = match self.door.turn.recv().unwrap() {
            Turn::Go(mut store) => (act(&mut store), store),
            Turn::Fail(store) => (Err(StoreError("not reached".into())), store),
            Turn::Lose(mut store) => (act(&mut store).and(Err(StoreError("answer lost".into()))), store),
        };
        self.back.send(store).unwrap();
        result
    }
}

impl Store for Turns {
    type Cas = Seen;

    fn begin(&mut self, key: &str) -> Result<Seen, StoreError> {
        self.access(|store| store.begin(key))
    }

    fn current(&mut self, cas: &Seen) -> Result<Option<Vec<u8>>, StoreError> {
        Memory::default().current(cas)
    }

    fn swap(&mut self, cas: Seen, value: &[u8]) -> Result<Swap<Seen>, StoreError> {
        self.access(|store| store.swap(cas, value))
    }
}

/// What became of a job: whether it was admitted, and any error of the store.
type Ended = (Job, bool, Option<String>);

fn work(store: &mut Turns, jobs: Vec<Job>) -> Vec<Ended> {
    let limiter = limiter();
    let mut ended = Vec::new();
    for job in jobs {
        let (admitted, mut error) = match limiter.take(store, &job.charges, job.now) {
            Ok(_) => (true, None),
            Err(TakeError::Limited(_)) => (false, None),
            Err(other) => (false, Some(format!("{other:?}"))),
        };
        if let (true, Some(actual)) = (admitted, job.actual) {
            let adjust = |charge: &Charge| Adjustment { charge: charge.clone(), actual };
            let adjustments: Vec<_> = job.charges.iter().map(adjust).collect();
            error = error.or(limiter.settle(store, &adjustments, job.now).err());
        }
        ended.push((job, admitted, error));
    }
    store.door.arrive.send((store.door.taker, false)).unwrap();
    ended
}

/// Runs the takers to their end. `order` says who goes next; `faults` which accesses fail (1) or lose their answer (2).
fn run(takers: Vec<Vec<Job>>, order: &[u8], faults: &[u8]) -> (Memory, Vec<Ended>) {
    let (arrive, arrivals) = channel();
    let (back, returned) = channel();
    thread::scope(|scope| {
        let (mut doors, mut threads) = (Vec::new(), Vec::new());
        for (taker, jobs) in takers.into_iter().enumerate() {
            let (open, turn) = channel();
            let door = Door { taker, arrive: arrive.clone(), turn };
            let mut turns = Turns { door, back: back.clone() };
            doors.push(open);
            threads.push(scope.spawn(move || work(&mut turns, jobs)));
        }
        let (mut store, mut waiting, mut busy) = (Memory::default(), Vec::new(), doors.len());
        let (mut order, mut faults) = (order.iter().cycle(), faults.iter().cycle());
        loop {
            for (taker, wants) in arrivals.iter().take(busy) {
                waiting.extend(wants.then_some(taker));
            }
            if waiting.is_empty() {
                break;
            }
            waiting.sort_unstable();
            let next = waiting.remove(usize::from(*order.next().unwrap()) % waiting.len());
            let turn = match faults.next() {
                Some(1) => Turn::Fail(store),
                Some(2) => Turn::Lose(store),
                _ => Turn::Go(store),
            };
            doors[next].send(turn).unwrap();
            store = returned.recv().unwrap();
            busy = 1;
        }
        (store, threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect())
    })
}

fn jobs(at: impl Strategy<Value = u64>, settled: bool) -> impl Strategy<Value = Vec<Vec<Job>>> {
    let costs = prop::collection::vec((0..3usize, 0..6u64), 1..4);
    let actual = if settled { prop::option::of(0..9u64).boxed() } else { Just(None).boxed() };
    let job = (costs, at, actual).prop_map(|(costs, now, actual)| {
        let mut charges: Vec<Charge> = Vec::new();
        for (place, cost) in costs {
            if charges.iter().all(|known| known.bucket != NAMES[place]) {
                charges.push(charge(NAMES[place], "acme", cost));
            }
        }
        Job { charges, now, actual }
    });
    prop::collection::vec(prop::collection::vec(job, 1..6), 2..4)
}

fn order() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..60)
}

/// What was admitted of one bucket: when, how much, how much of it was used.
fn admitted<'e>(ended: &'e [Ended], name: &'e str) -> impl Iterator<Item = (u64, u64, u64)> + Clone + 'e {
    ended.iter().filter(|(_, admitted, _)| *admitted).flat_map(move |(job, ..)| {
        let of = job.charges.iter().filter(move |charge| charge.bucket == name);
        of.map(|charge| (job.now, charge.cost, job.actual.unwrap_or(charge.cost)))
    })
}

fn holds_in_every_stretch(ended: &[Ended]) -> bool {
    NAMES.iter().zip(QUOTAS).all(|(name, quota)| {
        let all = admitted(ended, name);
        all.clone().all(|(from, ..)| {
            all.clone().filter(|(to, ..)| *to >= from).all(|(to, ..)| {
                let sum: u64 =
                    all.clone().filter(|(at, ..)| (from..=to).contains(at)).map(|(_, cost, _)| cost).sum();
                sum * WINDOW <= quota * WINDOW + (to - from) * quota
            })
        })
    })
}

/// The whole units left, below zero when in debt by a whole unit or more.
fn left(store: &mut Memory, name: &str, quota: u64) -> i128 {
    let value = store.begin(&format!("{name}/acme")).and_then(|cas| store.current(&cas)).unwrap();
    let Some(value) = value else { return i128::from(quota) };
    let field = |place: usize| i128::from(u64::from_be_bytes(value[place..place + 8].try_into().unwrap()));
    let (tat, fraction) = (field(1), field(9));
    let (quota, window) = (i128::from(quota), i128::from(WINDOW));
    let ahead = ((tat - i128::from(NOW)) * quota + fraction).max(0);
    assert_eq!(ahead % window, 0, "a whole number of units is taken");
    quota - ahead / window
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn at_one_instant_exactly_what_was_admitted_is_taken(
        takers in jobs(Just(NOW), true), order in order()
    ) {
        let (mut store, ended) = run(takers, &order, &[]);
        for (name, quota) in NAMES.into_iter().zip(QUOTAS) {
            let used: u64 = admitted(&ended, name).map(|(_, _, used)| used).sum();
            prop_assert_eq!(left(&mut store, name, quota), i128::from(quota) - i128::from(used));
        }
        prop_assert!(ended.iter().all(|(_, _, error)| error.is_none()), "{:?}", ended);
    }

    #[test]
    fn no_order_of_takers_and_clocks_admits_too_much(
        takers in jobs(NOW..NOW + 2 * WINDOW, false), order in order()
    ) {
        let (_, ended) = run(takers, &order, &[]);
        prop_assert!(holds_in_every_stretch(&ended), "{:?}", ended);
    }

    #[test]
    fn no_fault_of_the_store_admits_too_much(
        takers in jobs(NOW..NOW + WINDOW, false), order in order(),
        faults in prop::collection::vec(prop_oneof![9 => Just(0u8), 1 => Just(1), 1 => Just(2)], 1..60)
    ) {
        let (_, ended) = run(takers, &order, &faults);
        prop_assert!(holds_in_every_stretch(&ended), "{:?}", ended);
    }

    #[test]
    fn settled_use_never_exceeds_the_quota_and_the_refill_since_the_first_use(
        pauses in prop::collection::vec((0..WINDOW, 1..6u64, 0..6u64, 0..4usize), 1..40)
    ) {
        let (limiter, mut store, mut now) = (limiter(), Memory::default(), NOW);
        let mut open: Vec<Adjustment> = Vec::new();
        let (mut used, mut first) = (0, None);
        for (pause, cost, actual, hold) in pauses {
            now += pause;
            let reserve = charge("a", "acme", cost);
            if limiter.take(&mut store, std::slice::from_ref(&reserve), now).is_ok() {
                let first = *first.get_or_insert(now);
                let reserved: u64 = open.iter().map(|adjustment| adjustment.charge.cost).sum();
                let most = QUOTAS[0] * WINDOW + (now - first) * QUOTAS[0];
                prop_assert!((used + reserved + cost) * WINDOW <= most);
                open.push(Adjustment { charge: reserve, actual });
            }
            while open.len() > hold {
                let adjustment = open.remove(0);
                used += adjustment.actual;
                limiter.settle(&mut store, std::slice::from_ref(&adjustment), now).unwrap();
            }
        }
    }
}
