//! Taking from several buckets at once, giving back, settling.

use crate::buckets::Buckets;
use crate::gcra::{Lack, Level, Rate, Stored};
use crate::store::{Store, StoreError, Swap};
use crate::{Adjustment, Bucket, Charge, Diagnostic, Limited, RateStatus, TakeError};

/// The longest key of a charge, bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// How often one counter is tried before it counts as contended. Each failed try means that somebody else's write
/// went through, so this many others were faster in a row.
const TRIES: u32 = 64;

/// The buckets of one configuration. The counts are in the store.
#[derive(Debug, Default)]
pub struct Limiter {
    buckets: Buckets,
}

/// A charge that cannot be counted.
#[derive(Debug, thiserror::Error)]
enum ChargeError {
    #[error("the bucket `{0}` is not configured")]
    UnknownBucket(String),
    #[error("a key of the bucket `{bucket}` has {bytes} bytes: at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong { bucket: String, bytes: usize },
}

/// Why a take stopped after it had begun to write.
enum Stop {
    Lack,
    Store(StoreError),
}

/// One counter that a take draws on.
struct Slot<'a, C> {
    charge: &'a Charge,
    /// The sum over all charges to this counter; may be more than any quota.
    cost: u128,
    rate: Rate,
    cas: Option<C>,
    /// As it was read.
    level: Level,
    /// As it is once `cost` was taken from `level`.
    next: Level,
    taken: bool,
}

impl Limiter {
    /// Checks buckets.
    ///
    /// # Errors
    /// One diagnostic for each thing wrong, with the bucket's name as its place.
    pub fn new(buckets: Vec<Bucket>) -> Result<Self, Vec<Diagnostic>> {
        Buckets::check(buckets).map(|buckets| Self { buckets })
    }

    /// Takes every charge, or none. `now` is Unix nanoseconds. There is one status for each counter, in the order of
    /// the charges.
    ///
    /// First all counters are read and decided on; when one has too little, nothing is written. Then each is
    /// swapped. A counter that moved meanwhile is read and decided on again, and when it has too little now, or the
    /// store fails, what was taken from the others is given back. A swap that failed in the store may have been
    /// written and is not given back: that admits less, never more.
    ///
    /// # Errors
    /// See [`TakeError`]. A stored value that cannot be read is an error too: it denies until it is removed.
    pub fn take<S: Store>(
        &self,
        store: &mut S,
        charges: &[Charge],
        now: u64,
    ) -> Result<Vec<RateStatus>, TakeError> {
        let mut slots = self.slots(charges)?;
        let mut key = String::new();
        let mut enough = true;
        for slot in &mut slots {
            let key = store_key(&mut key, slot.charge);
            enough &= slot.read(store, key, now).map_err(|error| TakeError::Store(error.0))?;
        }
        if !enough {
            return Err(TakeError::Limited(limited(&slots, now)));
        }
        let written = slots.iter_mut().filter(|slot| slot.cost > 0).try_for_each(|slot| {
            let key = store_key(&mut key, slot.charge);
            slot.write(store, key, now)
        });
        let Err(stop) = written else { return Ok(statuses(&slots, now, |slot| slot.next)) };
        let lost = give_back(store, &slots, now);
        Err(match (stop, lost) {
            (Stop::Lack, _) => TakeError::Limited(limited(&slots, now)),
            (Stop::Store(error), None) => TakeError::Store(error.0),
            (Stop::Store(error), Some(lost)) => {
                TakeError::Store(format!("{error}; and giving back what was taken failed: {lost}"))
            }
        })
    }

    /// Settles reserves with what was used. `now` is Unix nanoseconds.
    ///
    /// Giving back moves a counter by exactly the difference, whatever has happened since the take. So settled use
    /// never sums to more than `quota + quota · t / window` counted from a counter's first use, but a reserve that
    /// was held while the bucket refilled can be spent in a burst on top when it comes back.
    ///
    /// # Errors
    /// The first failure, for the log. Every adjustment is tried, whatever became of the others.
    pub fn settle<S: Store>(
        &self,
        store: &mut S,
        adjustments: &[Adjustment],
        now: u64,
    ) -> Result<(), String> {
        let mut outcome = Ok(());
        for Adjustment { charge, actual } in adjustments.iter().filter(|a| a.actual != a.charge.cost) {
            let settled = match self.rate(charge) {
                Err(error) => Err(error.to_string()),
                Ok(rate) => update(store, charge, rate, |stored| {
                    let level = stored.map_or(Level::FULL, |stored| stored.level(rate, now));
                    level.settle(rate, charge.cost, *actual, now)
                })
                .map_err(|error| error.0),
            };
            outcome = outcome.and(settled);
        }
        outcome
    }

    fn rate(&self, charge: &Charge) -> Result<Rate, ChargeError> {
        let bytes = charge.key.len();
        if bytes > KEY_BYTES_MAX {
            return Err(ChargeError::KeyTooLong { bucket: charge.bucket.clone(), bytes });
        }
        self.buckets.rate(&charge.bucket).ok_or_else(|| ChargeError::UnknownBucket(charge.bucket.clone()))
    }

    /// One slot for each counter: charges to the same one are added up.
    fn slots<'a, C>(&self, charges: &'a [Charge]) -> Result<Vec<Slot<'a, C>>, TakeError> {
        let mut slots: Vec<Slot<'a, C>> = Vec::with_capacity(charges.len());
        for charge in charges {
            let cost = u128::from(charge.cost);
            let same = |slot: &&mut Slot<'a, C>| {
                slot.charge.key == charge.key && slot.charge.bucket == charge.bucket
            };
            if let Some(slot) = slots.iter_mut().find(same) {
                slot.cost += cost;
                continue;
            }
            let rate = self.rate(charge).map_err(|error| match error {
                ChargeError::UnknownBucket(bucket) => TakeError::UnknownBucket(bucket),
                ChargeError::KeyTooLong { .. } => TakeError::Store(error.to_string()),
            })?;
            let (level, next) = (Level::FULL, Level::FULL);
            slots.push(Slot { charge, cost, rate, cas: None, level, next, taken: false });
        }
        Ok(slots)
    }
}

impl<C> Slot<'_, C> {
    /// Reads the counter and decides. Says whether it has enough.
    fn read<S: Store<Cas = C>>(&mut self, store: &mut S, key: &str, now: u64) -> Result<bool, StoreError> {
        let cas = store.begin(key)?;
        let decided = self.decide(store, &cas, key, now)?;
        self.cas = Some(cas);
        Ok(decided.is_ok())
    }

    fn decide<S>(
        &mut self,
        store: &mut S,
        cas: &C,
        key: &str,
        now: u64,
    ) -> Result<Result<(), Lack>, StoreError>
    where
        S: Store<Cas = C>,
    {
        let stored = stored(store, cas, key)?;
        self.level = stored.map_or(Level::FULL, |stored| stored.level(self.rate, now));
        Ok(self.level.take(self.rate, self.cost, now).map(|next| self.next = next))
    }

    fn write<S: Store<Cas = C>>(&mut self, store: &mut S, key: &str, now: u64) -> Result<(), Stop> {
        let mut tries = 0..TRIES;
        while let (Some(_), Some(cas)) = (tries.next(), self.cas.take()) {
            match store.swap(cas, &self.next.encode(self.rate)).map_err(Stop::Store)? {
                Swap::Done => {
                    self.taken = true;
                    return Ok(());
                }
                Swap::Moved(cas) => {
                    self.decide(store, &cas, key, now).map_err(Stop::Store)?.map_err(|_| Stop::Lack)?;
                    self.cas = Some(cas);
                }
            }
        }
        Err(Stop::Store(contended(key)))
    }

    fn retry_after(&self, now: u64) -> Option<u64> {
        self.level.take(self.rate, self.cost, now).err().map(|lack| lack.retry_after)
    }
}

/// Undoes the slots that were taken. Returns the first error, after trying all.
fn give_back<S: Store>(store: &mut S, slots: &[Slot<'_, S::Cas>], now: u64) -> Option<StoreError> {
    let mut lost = None;
    for slot in slots.iter().filter(|slot| slot.taken) {
        // Under another rate, somebody with a newer configuration has rescaled the counter: what this take cost in
        // there is not known any more, and it refills by itself.
        let undone = update(store, slot.charge, slot.rate, |stored| {
            let level = stored.filter(|stored| stored.is_in(slot.rate))?.level(slot.rate, now);
            Some(level.give_back(slot.rate, slot.cost, now))
        });
        lost = lost.or(undone.err());
    }
    lost
}

/// Changes one counter by compare-and-swap; nothing is written where `change` makes nothing of it.
fn update<S: Store>(
    store: &mut S,
    charge: &Charge,
    rate: Rate,
    change: impl Fn(Option<Stored>) -> Option<Level>,
) -> Result<(), StoreError> {
    let mut key = String::new();
    let key = store_key(&mut key, charge);
    let mut cas = store.begin(key)?;
    for _ in 0..TRIES {
        let Some(next) = change(stored(store, &cas, key)?) else { return Ok(()) };
        match store.swap(cas, &next.encode(rate))? {
            Swap::Done => return Ok(()),
            Swap::Moved(again) => cas = again,
        }
    }
    Err(contended(key))
}

fn stored<S: Store>(store: &mut S, cas: &S::Cas, key: &str) -> Result<Option<Stored>, StoreError> {
    let Some(value) = store.current(cas)? else { return Ok(None) };
    Stored::decode(&value).map(Some).map_err(|corrupt| {
        StoreError(format!("the counter `{key}` {corrupt}: remove it from the store to count anew"))
    })
}

fn contended(key: &str) -> StoreError {
    StoreError(format!("contended: the counter `{key}` moved {TRIES} times in a row"))
}

/// The name of a charge's counter in the store, put into `buffer`. No bucket's name has a `/`.
fn store_key<'b>(buffer: &'b mut String, charge: &Charge) -> &'b str {
    buffer.clear();
    buffer.reserve(charge.bucket.len() + 1 + charge.key.len());
    buffer.push_str(&charge.bucket);
    buffer.push('/');
    buffer.push_str(&charge.key);
    buffer
}

fn statuses<'s, C: 's>(
    slots: &'s [Slot<'s, C>],
    now: u64,
    level: impl Fn(&Slot<'s, C>) -> Level,
) -> Vec<RateStatus> {
    let status = |slot: &Slot<'s, C>| {
        let standing = level(slot).standing(slot.rate, now);
        RateStatus {
            bucket: slot.charge.bucket.clone(),
            remaining: standing.remaining,
            reset_after: standing.reset_after,
        }
    };
    slots.iter().map(status).collect()
}

fn limited<C>(slots: &[Slot<'_, C>], now: u64) -> Limited {
    let waits = slots.iter().filter_map(|slot| Some((slot, slot.retry_after(now)?)));
    let longest = waits.reduce(|longest, wait| if wait.1 > longest.1 { wait } else { longest });
    let (bucket, retry_after) =
        longest.map_or_else(Default::default, |(slot, wait)| (slot.charge.bucket.clone(), wait));
    Limited { bucket, retry_after, statuses: statuses(slots, now, |slot| slot.level) }
}

#[cfg(test)]
mod tests;
