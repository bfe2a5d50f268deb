//! What `wasi:keyvalue` stands on: the host's memory, or one SQLite database.
//!
//! A store is found by the pair of tenant and store name, never by a joined text, so no choice of names lets one
//! tenant's key meet another's.

mod memory;
mod sqlite;
mod totals;
mod usage;

pub use memory::MemoryBuckets;
pub use sqlite::{SqliteBuckets, SqliteError};
pub use usage::{Hour, UsageBook, UsageTotals};

use std::sync::Arc;
use tollgate_runtime::{Backend, Bucket, BucketError, Buckets, Name, Storage};
use totals::Totals;

/// The sizes that a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of one key.
    pub key_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Bytes of all keys and values that one write may carry.
    pub batch_bytes: usize,
    /// Bytes of all keys and values in one store.
    pub store_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { key_bytes: 1 << 10, value_bytes: 1 << 20, batch_bytes: 8 << 20, store_bytes: 256 << 20 }
    }
}

impl StoreLimits {
    /// Refuses a key that is too large to be stored.
    fn key(&self, key: &str) -> Result<(), BucketError> {
        within("key", key.len(), self.key_bytes)
    }

    /// Refuses a key or value that is too large to be stored.
    fn entry(&self, key: &str, value: Option<&[u8]>) -> Result<(), BucketError> {
        self.key(key)?;
        within("value", value.map_or(0, <[u8]>::len), self.value_bytes)
    }

    /// Refuses a write with any entry, or a sum, that is too large.
    fn batch<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<(), BucketError> {
        let mut bytes = 0_usize;
        for (key, value) in changes {
            self.entry(key, value)?;
            bytes = bytes.saturating_add(key.len()).saturating_add(value.map_or(0, <[u8]>::len));
        }
        within("batch", bytes, self.batch_bytes)
    }
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), BucketError> {
    if bytes > limit { Err(BucketError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// The sum of a stored decimal number, zero if there is none, and `delta`.
fn add_decimal(stored: Option<&[u8]>, delta: i64) -> Result<i64, BucketError> {
    let number = match stored {
        None => 0,
        Some(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or(BucketError::NotANumber)?,
    };
    number.checked_add(delta).ok_or(BucketError::NotANumber)
}

/// The most keys that one page has.
const PAGE_KEYS: usize = 1_000;

/// Every backend that this host has.
pub struct Stores {
    memory: MemoryBuckets,
    sqlite: Option<SqliteBuckets>,
    totals: Totals,
}

impl Stores {
    /// Memory always; SQLite if it was opened. From here on a tenant's stores have one sum, whichever they stand on.
    #[must_use]
    pub fn new(memory: MemoryBuckets, sqlite: Option<SqliteBuckets>) -> Self {
        let totals = sqlite.as_ref().map(SqliteBuckets::totals).unwrap_or_default();
        Self { memory: memory.counted_in(&totals), sqlite, totals }
    }

    /// The memory backend.
    #[must_use]
    pub fn memory(&self) -> &MemoryBuckets {
        &self.memory
    }

    /// The database, if there is one.
    #[must_use]
    pub fn sqlite(&self) -> Option<&SqliteBuckets> {
        self.sqlite.as_ref()
    }
}

impl Buckets for Stores {
    fn bucket(&self, tenant: &Name, store: &Name, backend: Backend) -> Result<Arc<dyn Bucket>, BucketError> {
        match (backend, &self.sqlite) {
            (Backend::Memory, _) => Ok(self.memory.open(tenant, store)),
            (Backend::Sqlite, Some(sqlite)) => Ok(sqlite.open_store(tenant, store)),
            (Backend::Sqlite, None) => Err(BucketError::NoBackend { backend: "sqlite" }),
        }
    }

    fn storage(&self, tenant: &Name) -> Arc<Storage> {
        self.totals.of(tenant)
    }
}

#[cfg(test)]
mod tests;
