//! The arithmetic of one counter: the generic cell rate algorithm, in exact fractions.
//!
//! A counter is one instant, the theoretical arrival time (TAT): when the bucket will be full again. A unit moves it
//! by `window / quota` nanoseconds, which is rarely a whole number, so instants are counted here in *ticks* of
//! `1 / quota` ns: a unit is then exactly `window` ticks, a nanosecond exactly `quota`, and nothing is rounded until
//! a figure leaves the module. Every product fits 128 bits: `quota < 2^64`, `window < 2^55`.

use crate::divide::divide;

/// The size of a stored value, bytes.
pub const VALUE_BYTES: usize = 41;
const VERSION: u8 = 1;

/// The shortest window, nanoseconds: one millisecond.
pub(crate) const WINDOW_MIN: u64 = 1_000_000;
/// The longest window, nanoseconds: 366 days.
pub(crate) const WINDOW_MAX: u64 = 366 * 86_400 * 1_000_000_000;

/// A stored value that this limiter did not write, or not in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// Not the length of a counter.
    #[error("has {0} bytes where a counter has {VALUE_BYTES}")]
    Length(usize),
    /// An unknown first byte.
    #[error("has version {0}, this limiter knows {VERSION}")]
    Version(u8),
    /// Fields that contradict each other.
    #[error("contradicts itself")]
    Fields,
}

/// A checked quota: `quota` units for each `window` nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Units, at least 1.
    pub(crate) quota: u64,
    /// Nanoseconds, from one millisecond to 366 days.
    pub(crate) window: u64,
}

impl Rate {
    fn ticks_per_ns(self) -> u128 {
        u128::from(self.quota)
    }

    fn ticks_per_unit(self) -> u128 {
        u128::from(self.window)
    }

    /// How far the TAT may lie ahead: an empty bucket.
    fn capacity(self) -> u128 {
        self.ticks_per_ns() * self.ticks_per_unit()
    }

    fn instant(self, unix_ns: u64) -> u128 {
        u128::from(unix_ns) * self.ticks_per_ns()
    }

    /// The last instant that a value can hold.
    fn end(self) -> u128 {
        self.instant(u64::MAX)
    }

    /// Ticks to whole nanoseconds, rounded up.
    fn wait(self, ticks: u128) -> u64 {
        let (whole, rest) = divide(ticks, self.quota);
        whole.saturating_add(u64::from(rest > 0))
    }
}

/// One counter as read, in the ticks of a [`Rate`] that every call names again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// The TAT, in ticks since the Unix epoch.
    tat: u128,
    /// The latest `now` that any take has brought: Unix nanoseconds.
    seen: u64,
}

/// How a bucket stands at some instant, as in `rate-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whole units that are there.
    pub(crate) remaining: u64,
    /// Nanoseconds until there is one more; 0 when the bucket is full.
    pub(crate) reset_after: u64,
}

/// Not enough: nanoseconds until there is, the largest u64 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) retry_after: u64,
}

impl Level {
    /// A bucket that nobody has used.
    pub(crate) const FULL: Self = Self { tat: 0, seen: 0 };

    fn ahead(self, rate: Rate, now: u64) -> u128 {
        self.tat.saturating_sub(rate.instant(now))
    }

    /// The counter after `cost` units were taken at `now`. The cost may be more than any quota.
    ///
    /// A `now` before others' only makes the TAT lie further ahead, so a clock that went back admits less, not more.
    pub(crate) fn take(self, rate: Rate, cost: u128, now: u64) -> Result<Self, Lack> {
        if cost > u128::from(rate.quota) {
            return Err(Lack { retry_after: u64::MAX });
        }
        let cost = cost * rate.ticks_per_unit();
        let room = rate.capacity() - cost;
        let ahead = self.ahead(rate, now);
        if ahead > room {
            return Err(Lack { retry_after: rate.wait(ahead - room) });
        }
        // Past the last instant nothing can be recorded, so nothing is admitted either.
        let tat = self.tat.max(rate.instant(now)).checked_add(cost).filter(|tat| *tat < rate.end());
        let tat = tat.ok_or(Lack { retry_after: u64::MAX })?;
        Ok(Self { tat, seen: self.seen.max(now) })
    }

    /// Undoes a take of `cost` units at `taken_at` that was part of a failed whole.
    ///
    /// What the bucket has had time to refill since then, by the latest clock that anybody brought, stays taken: the
    /// bucket may have been full already, and what is returned to a full bucket would be spent twice.
    pub(crate) fn give_back(self, rate: Rate, cost: u128, taken_at: u64) -> Self {
        let refilled = rate.instant(self.seen.saturating_sub(taken_at));
        let owed = (cost * rate.ticks_per_unit()).saturating_sub(refilled);
        Self { tat: self.earlier(rate, owed), seen: self.seen }
    }

    /// The counter after a take of `taken` units turned out to have used `actual`; none if nothing changes.
    pub(crate) fn settle(self, rate: Rate, taken: u64, actual: u64, now: u64) -> Option<Self> {
        let ticks = u128::from(actual.abs_diff(taken)) * rate.ticks_per_unit();
        let settled = if actual > taken {
            let tat = self.tat.max(rate.instant(now)).saturating_add(ticks).min(rate.end());
            Self { tat, seen: self.seen.max(now) }
        } else if self.ahead(rate, now) == 0 {
            self
        } else {
            Self { tat: self.earlier(rate, ticks), seen: self.seen }
        };
        (settled != self).then_some(settled)
    }

    /// A TAT at the end of time stands for a debt that no longer fits; what is given back cannot be taken from it.
    fn earlier(self, rate: Rate, ticks: u128) -> u128 {
        if self.tat >= rate.end() { self.tat } else { self.tat.saturating_sub(ticks) }
    }

    pub(crate) fn standing(self, rate: Rate, now: u64) -> Standing {
        let room = rate.capacity().saturating_sub(self.ahead(rate, now));
        let (remaining, _) = divide(room, rate.window);
        if remaining == rate.quota {
            return Standing { remaining, reset_after: 0 };
        }
        let next = rate.capacity() - (u128::from(remaining) + 1) * rate.ticks_per_unit();
        Standing { remaining, reset_after: rate.wait(self.ahead(rate, now).saturating_sub(next)) }
    }

    /// The stored form: a version byte, then five big-endian u64: the TAT in whole Unix nanoseconds and its fraction
    /// in ticks, the latest `now`, the quota, the window.
    pub(crate) fn encode(self, rate: Rate) -> [u8; VALUE_BYTES] {
        let (tat_ns, fraction) = divide(self.tat, rate.quota);
        let mut value = [VERSION; VALUE_BYTES];
        let (_, fields) = value.split_at_mut(1);
        let (fields, _) = fields.as_chunks_mut::<8>();
        for (place, field) in fields.iter_mut().zip([tat_ns, fraction, self.seen, rate.quota, rate.window]) {
            *place = field.to_be_bytes();
        }
        value
    }
}

/// A stored value, in the rate that it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    tat_ns: u64,
    fraction: u64,
    seen: u64,
    rate: Rate,
}

impl Stored {
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let length = Corrupt::Length(value.len());
        let (version, fields) = value.split_first().ok_or(length)?;
        if *version != VERSION {
            return Err(Corrupt::Version(*version));
        }
        let (fields, []) = fields.as_chunks::<8>() else { return Err(length) };
        let [tat_ns, fraction, seen, quota, window] = fields else { return Err(length) };
        let [tat_ns, fraction, seen, quota, window] =
            [tat_ns, fraction, seen, quota, window].map(|field| u64::from_be_bytes(*field));
        if quota == 0 || window == 0 || window > WINDOW_MAX || fraction >= quota {
            return Err(Corrupt::Fields);
        }
        Ok(Self { tat_ns, fraction, seen, rate: Rate { quota, window } })
    }

    /// Whether it counts in this rate, so that levels of it can be compared.
    pub(crate) fn is_in(&self, rate: Rate) -> bool {
        self.rate == rate
    }

    /// The level in ticks of `rate`. When the configuration changed, the share of the bucket that is used up stays,
    /// rounded up to whole nanoseconds.
    pub(crate) fn level(self, rate: Rate, now: u64) -> Level {
        let tat = if self.rate == rate || self.tat_ns < now {
            rate.instant(self.tat_ns) + if self.rate == rate { u128::from(self.fraction) } else { 0 }
        } else {
            let ahead = u128::from(self.tat_ns - now) + u128::from(self.fraction > 0);
            let ahead = (ahead * u128::from(rate.window)).div_ceil(u128::from(self.rate.window));
            rate.instant(u64::try_from(u128::from(now) + ahead).unwrap_or(u64::MAX))
        };
        Level { tat, seen: self.seen }
    }
}

#[cfg(test)]
mod tests;
