//! What one tenant takes of the host at this moment, over all of its apps, and the most that it may.

use crate::limits::TenantTotals;
use crate::place::{Hall, Places};
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

/// What is used and what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// So much is used.
    pub used: u64,
    /// No more may be.
    pub limit: u64,
}

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
    ) -> Self {
        let this = Self {
            host: host.clone(),
            memory: Gauge::default(),
            instances: Gauge::default(),
            egress: Hourly::default(),
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
        self.memory.limit.store(totals.memory_bytes, Relaxed);
        self.instances.limit.store(totals.instances, Relaxed);
        self.egress.limit.store(totals.egress_bytes_per_hour, Relaxed);
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

    /// Bytes of bodies that outgoing requests may still move in this hour.
    pub(crate) fn egress_left(&self) -> u64 {
        self.egress.left(hour())
    }

    /// Counts bytes of a body that move, if so many are left.
    pub(crate) fn egress(&self, bytes: u64) -> bool {
        self.egress.take(hour(), bytes)
    }

    /// Adds what one request took.
    pub(crate) fn spend(&self, one: Spent) {
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
        let limit = self.egress.limit.load(Relaxed);
        Used { used: limit.saturating_sub(self.egress_left()), limit }
    }
}

/// One instance of a tenant's.
pub(crate) struct InstancePlace(Arc<Account>);

impl Drop for InstancePlace {
    fn drop(&mut self) {
        self.0.instances.give(1);
    }
}

/// A sum with a limit.
#[derive(Default)]
pub(crate) struct Gauge {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Gauge {
    pub(crate) fn up_to(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: limit.into(), ..Self::default() })
    }

    fn take(&self, amount: u64) -> bool {
        let limit = self.limit.load(Relaxed);
        let more = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        amount == 0 || self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn give(&self, amount: u64) {
        let less = |used: u64| Some(used.saturating_sub(amount));
        // It never fails: the closure always has an answer.
        let _ = self.used.fetch_update(Relaxed, Relaxed, less);
    }

    fn read(&self) -> Used {
        Used { used: self.used.load(Relaxed), limit: self.limit.load(Relaxed) }
    }
}

/// A sum that begins anew with each hour of UTC.
#[derive(Default)]
struct Hourly {
    now: Mutex<(u64, u64)>,
    limit: AtomicU64,
}

impl Hourly {
    fn take(&self, hour: u64, amount: u64) -> bool {
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
        let now = self.now.lock();
        let used = if hour > now.0 { 0 } else { now.1 };
        self.limit.load(Relaxed).saturating_sub(used)
    }
}

fn hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(totals: TenantTotals) -> Arc<Account> {
        Arc::new(Account::new(&totals, &Gauge::up_to(150), &Hall::new(1), &Turns::new(1, 1)))
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
    fn an_hours_sum_begins_anew_with_the_next_and_not_with_the_one_before() {
        let sum = Hourly { limit: 10.into(), ..Hourly::default() };
        assert!(sum.take(5, 7));
        assert_eq!((sum.left(5), sum.left(4), sum.left(6)), (3, 3, 10));
        assert!(sum.take(4, 2));
        assert_eq!(sum.left(5), 1);
        assert!(!sum.take(5, 2) && sum.left(5) == 0, "what does not fit counts, too");
        assert!(sum.take(6, 1));
        assert_eq!(sum.left(6), 9);
    }
}
