//! What one tenant takes of the host at this moment, over all of its apps, and the most that it may.

use crate::gauge::{Gauge, Used};
use crate::limits::TenantTotals;
use crate::place::{Hall, Places};
use crate::storage::Storage;
use crate::turns::{Queue, Turns};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// The account of one tenant. It outlives reloads: what runs on is still counted.
pub(crate) struct Account {
    /// The memory of all tenants.
    host: Arc<Gauge>,
    memory: Gauge,
    instances: Gauge,
    egress: Hourly,
    gas: Hourly,
    /// What its key-value stores hold.
    storage: Arc<Storage>,
    /// Where its requests run.
    pub(crate) places: Arc<Places>,
    spent: Mutex<Spent>,
    /// Its turns at the processor.
    pub(crate) turns: Arc<Queue>,
}

/// A total of a tenant that would be passed. Raised as an error through the engine, and found again by `Fault::of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TotalReached {
    Memory,
    Instances,
    Host,
}

impl fmt::Display for TotalReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "the tenant's apps hold all the memory that they may",
            Self::Host => "all tenants' apps hold all the memory that they may",
            Self::Instances => "the tenant's apps have all the instances that they may",
        })
    }
}

impl std::error::Error for TotalReached {}

/// What a tenant's requests have taken since the host began, refused ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Gas in all.
    pub gas: u64,
    /// Of that, for fuel: work.
    pub gas_for_fuel: u64,
    /// Of that, for memory. The rest is for instances, calls into the host, and bytes.
    pub gas_for_memory: u64,
    /// Calls into the host.
    pub host_calls: u64,
}

impl Account {
    pub(crate) fn new(
        totals: &TenantTotals,
        host: &Arc<Gauge>,
        hall: &Arc<Hall>,
        turns: &Arc<Turns>,
        storage: Arc<Storage>,
    ) -> Self {
        let this = Self {
            host: host.clone(),
            memory: Gauge::default(),
            instances: Gauge::default(),
            egress: Hourly::default(),
            gas: Hourly::default(),
            storage,
            places: hall.places(totals),
            spent: Mutex::default(),
            turns: turns.queue(),
        };
        this.limit(totals);
        this
    }

    /// Takes changed totals. What is above them already is not taken back.
    pub(crate) fn limit(&self, totals: &TenantTotals) {
        self.places.limit(totals);
        self.memory.limit(totals.memory_bytes);
        self.instances.limit(totals.instances);
        self.egress.limit.store(totals.egress_bytes_per_hour, Relaxed);
        self.gas.limit.store(totals.gas_per_hour, Relaxed);
        self.storage.limit(totals.storage_bytes);
    }

    /// Counts memory, if the sum stays within the total.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), TotalReached> {
        if !self.memory.take(bytes as u64) {
            return Err(TotalReached::Memory);
        }
        if !self.host.take(bytes as u64) {
            self.memory.give(bytes as u64);
            return Err(TotalReached::Host);
        }
        Ok(())
    }

    /// Gives back what [`Account::hold`] counted.
    pub(crate) fn release(&self, bytes: usize) {
        self.memory.give(bytes as u64);
        self.host.give(bytes as u64);
    }

    /// Counts one more instance, until what is returned is dropped.
    pub(crate) fn instance(self: &Arc<Self>) -> Result<InstancePlace, TotalReached> {
        if self.instances.take(1) { Ok(InstancePlace(self.clone())) } else { Err(TotalReached::Instances) }
    }

    /// Bytes that outgoing requests may still move in this hour.
    pub(crate) fn egress_left(&self) -> u64 {
        self.egress.left(Moment::now().hour)
    }

    /// Counts bytes that moved; false if this hour's sum is now past the limit.
    pub(crate) fn egress(&self, bytes: u64) -> bool {
        self.egress.add(Moment::now().hour, bytes)
    }

    /// Whether there is gas left in this hour; how it stands, if not. Requests that run already are not in it.
    pub(crate) fn gas_left(&self) -> Result<(), GasSpent> {
        let now = Moment::now();
        if self.gas.left(now.hour) > 0 {
            return Ok(());
        }
        Err(GasSpent { gas: self.gas_used(), seconds_left: self.gas.seconds_left(now) })
    }

    /// Adds gas of an hour that is no request's of this process.
    pub(crate) fn count_earlier(&self, hour: u64, gas: u64) {
        self.gas.add(hour, gas);
    }

    /// Adds what one request took.
    pub(crate) fn spend(&self, one: Spent) {
        // It has been used, whether or not so much was left.
        self.gas.add(Moment::now().hour, one.gas);
        let mut spent = self.spent.lock();
        *spent = Spent {
            requests: spent.requests.saturating_add(one.requests),
            gas: spent.gas.saturating_add(one.gas),
            gas_for_fuel: spent.gas_for_fuel.saturating_add(one.gas_for_fuel),
            gas_for_memory: spent.gas_for_memory.saturating_add(one.gas_for_memory),
            host_calls: spent.host_calls.saturating_add(one.host_calls),
        };
    }

    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock()
    }

    pub(crate) fn memory_used(&self) -> Used {
        self.memory.read()
    }

    pub(crate) fn instances_used(&self) -> Used {
        self.instances.read()
    }

    pub(crate) fn egress_used(&self) -> Used {
        self.egress.read(Moment::now().hour)
    }

    pub(crate) fn gas_used(&self) -> Used {
        self.gas.read(Moment::now().hour)
    }

    pub(crate) fn storage_used(&self) -> Used {
        self.storage.used()
    }
}

/// The tenant's gas of this hour has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GasSpent {
    pub(crate) gas: Used,
    /// Until there is gas again.
    pub(crate) seconds_left: u64,
}

/// One instance of a tenant's.
pub(crate) struct InstancePlace(Arc<Account>);

impl Drop for InstancePlace {
    fn drop(&mut self) {
        self.0.instances.give(1);
    }
}

/// A sum that begins anew with each hour of UTC.
#[derive(Default)]
struct Hourly {
    now: Mutex<(u64, u64)>,
    limit: AtomicU64,
}

impl Hourly {
    fn add(&self, hour: u64, amount: u64) -> bool {
        let mut now = self.now.lock();
        // A clock that is set back does not begin an hour anew.
        if hour > now.0 {
            *now = (hour, 0);
        }
        // What does not fit has come over the wire all the same.
        now.1 = now.1.saturating_add(amount);
        now.1 <= self.limit.load(Relaxed)
    }

    fn left(&self, hour: u64) -> u64 {
        let Used { used, limit } = self.read(hour);
        limit.saturating_sub(used)
    }

    fn read(&self, hour: u64) -> Used {
        let now = self.now.lock();
        let used = if hour > now.0 { 0 } else { now.1 };
        Used { used, limit: self.limit.load(Relaxed) }
    }

    /// Until the sum begins anew.
    fn seconds_left(&self, now: Moment) -> u64 {
        let hour = self.now.lock().0.max(now.hour);
        (hour - now.hour) * HOUR_SECONDS + HOUR_SECONDS - now.second
    }
}

const HOUR_SECONDS: u64 = 3_600;

/// An hour of UTC since the epoch, and a second in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    hour: u64,
    second: u64,
}

impl Moment {
    fn now() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { hour: seconds / HOUR_SECONDS, second: seconds % HOUR_SECONDS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(totals: TenantTotals) -> Arc<Account> {
        Arc::new(Account::new(&totals, &Gauge::up_to(150), &Hall::new(1), &Turns::new(1, 1), Arc::default()))
    }

    #[test]
    fn memory_is_counted_up_to_the_total_and_comes_back() {
        let account = account(TenantTotals { memory_bytes: 100, ..TenantTotals::default() });
        assert_eq!(account.hold(60), Ok(()));
        assert_eq!(account.hold(41), Err(TotalReached::Memory));
        assert_eq!(account.hold(40), Ok(()));
        account.release(100);
        account.limit(&TenantTotals { memory_bytes: 200, ..TenantTotals::default() });
        assert_eq!(account.hold(151), Err(TotalReached::Host));
        account.limit(&TenantTotals { memory_bytes: 100, ..TenantTotals::default() });
        assert_eq!(account.memory_used(), Used { used: 0, limit: 100 });
    }

    #[test]
    fn an_instance_is_counted_until_it_is_dropped() {
        let account = account(TenantTotals { instances: 1, ..TenantTotals::default() });
        let first = account.instance().unwrap();
        assert!(account.instance().is_err());
        drop(first);
        assert!(account.instance().is_ok());
    }

    #[test]
    fn gas_is_there_until_the_hours_is_used_and_the_last_request_may_use_more() {
        let account = account(TenantTotals { gas_per_hour: 100, ..TenantTotals::default() });
        let spend = |gas| account.spend(Spent { gas, ..Spent::default() });
        // In the last second of an hour that is over when the next one asks, there is no saying.
        let (begun, spent) = (Moment::now().hour, {
            spend(99);
            assert_eq!(account.gas_left(), Ok(()));
            spend(1_000);
            account.gas_left()
        });
        if Moment::now().hour == begun {
            let spent = spent.unwrap_err();
            assert_eq!(spent.gas, Used { used: 1_099, limit: 100 });
            assert!((1..=3_600).contains(&spent.seconds_left), "{spent:?}");
        }
        account.limit(&TenantTotals { gas_per_hour: 2_000, ..TenantTotals::default() });
        assert_eq!(account.gas_left(), Ok(()));
    }

    #[test]
    fn the_next_hour_is_as_far_away_as_the_sum_says() {
        let sum = Hourly { limit: 10.into(), ..Hourly::default() };
        sum.add(5, 10);
        assert_eq!(sum.seconds_left(Moment { hour: 5, second: 0 }), 3_600);
        assert_eq!(sum.seconds_left(Moment { hour: 5, second: 3_599 }), 1);
        assert_eq!(sum.seconds_left(Moment { hour: 4, second: 3_599 }), 3_601, "the clock was set back");
    }

    #[test]
    fn an_hours_sum_begins_anew_with_the_next_and_not_with_the_one_before() {
        let sum = Hourly { limit: 10.into(), ..Hourly::default() };
        assert!(sum.add(5, 7));
        assert_eq!((sum.left(5), sum.left(4), sum.left(6)), (3, 3, 10));
        assert!(sum.add(4, 2));
        assert_eq!(sum.left(5), 1);
        assert!(!sum.add(5, 2) && sum.left(5) == 0, "what does not fit counts, too");
        assert!(sum.add(6, 1));
        assert_eq!(sum.left(6), 9);
    }
}
