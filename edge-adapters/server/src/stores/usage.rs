//! What each tenant used, by the hour. The audit log is the truth; this is its sum, for status pages and bills.
//!
//! To add costs no wait: sums collect in memory, and the writer of the database takes them along with whatever it
//! commits next.

use super::sqlite::{Database, SqliteError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_runtime::{BucketError, Name};

/// An hour: how many whole ones since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Hour {
    /// The hour that a time is in; the first one for times before the epoch.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(u32::try_from(seconds / 3_600).unwrap_or(u32::MAX))
    }
}

/// What was used. Sums stop at the largest number instead of beginning anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct UsageTotals {
    /// Requests that ended, refused ones included.
    pub requests: u64,
    /// Gas.
    pub gas: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

impl UsageTotals {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            gas: self.gas.saturating_add(other.gas),
            bytes_in: self.bytes_in.saturating_add(other.bytes_in),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
        }
    }
}

/// Sums by tenant and hour that are not in the database yet.
#[derive(Default)]
pub(super) struct Pending(Mutex<Sums>);

pub(super) type Sums = BTreeMap<(Hour, Name), UsageTotals>;

impl Pending {
    pub(super) fn take(&self) -> Sums {
        std::mem::take(&mut self.0.lock())
    }

    /// Puts back what could not be written.
    pub(super) fn restore(&self, sums: Sums) {
        let mut pending = self.0.lock();
        for (place, totals) in sums {
            let sum = pending.entry(place).or_default();
            *sum = sum.plus(totals);
        }
    }
}

/// The book of usage, in the same database as the stores.
#[derive(Clone)]
pub struct UsageBook(pub(super) Arc<Database>);

impl UsageBook {
    /// Adds to a tenant's sums of this hour. On disk with the next commit, or about a second later.
    pub fn add(&self, tenant: &Name, hour: Hour, used: UsageTotals) {
        self.0.usage().restore(Sums::from([((hour, tenant.clone()), used)]));
        self.0.nudge();
    }

    /// Returns when everything that was added before is on disk.
    ///
    /// # Errors
    /// [`BucketError::Backend`] when the database can't be written. What was added is kept for a later attempt.
    pub fn flush(&self) -> BoxFuture<'static, Result<(), BucketError>> {
        self.0.flush()
    }

    /// A tenant's sums by hour, from the first to the last hour, both included, after a [`UsageBook::flush`].
    ///
    /// # Errors
    /// [`BucketError::Backend`] when the database can't be written or read.
    pub async fn read(
        &self,
        tenant: &Name,
        first: Hour,
        last: Hour,
    ) -> Result<BTreeMap<Hour, UsageTotals>, BucketError> {
        self.flush().await?;
        self.0.read_usage(tenant.clone(), first, last).await
    }

    /// What each tenant used in one hour, as far as that is on disk.
    ///
    /// # Errors
    /// [`BucketError::Backend`] when the database can't be read.
    pub async fn of_hour(&self, hour: Hour) -> Result<BTreeMap<Name, UsageTotals>, BucketError> {
        self.0.read_usage_of_hour(hour).await
    }
}

impl From<SqliteError> for BucketError {
    fn from(error: SqliteError) -> Self {
        Self::Backend(error.to_string())
    }
}
