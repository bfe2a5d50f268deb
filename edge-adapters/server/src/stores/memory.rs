//! Stores in the host's memory, for counters and caches. Everything is gone when the host stops.
//!
//! A store is cut into shards by a hash of the key, so that counters of different keys do not wait for each other;
//! a write over several keys locks their shards in ascending order, all before it changes the first.

use super::totals::{ENTRY_BYTES, Totals, take};
use super::{PAGE_KEYS, StoreLimits, add_decimal};
use bytes::Bytes;
use dashmap::DashMap;
use futures::future::{BoxFuture, ready};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tollgate_runtime::{Bucket, BucketError, Keys, Name, Storage, Swap};

const SHARDS: usize = 16;

/// All stores in memory.
pub struct MemoryBuckets {
    limits: StoreLimits,
    totals: Totals,
    stores: DashMap<(Name, Name), Arc<MemoryBucket>>,
}

impl MemoryBuckets {
    /// No stores yet; each comes to be when it is first opened.
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self { limits, totals: Totals::default(), stores: DashMap::new() }
    }

    /// The same, none of whose stores was opened yet, with its part in these sums.
    pub(super) fn counted_in(self, totals: &Totals) -> Self {
        Self { totals: totals.clone(), ..self }
    }

    /// From now on, a key of this store that was not written for `idle` may be dropped.
    ///
    /// Meant for the store that a limiter counts in: with `idle` as long as the largest debt takes to be paid, a
    /// dropped key is one whose quota is whole again, so that nobody can tell. Without it, callers who invent a new
    /// key for each request would fill the store.
    pub fn forget_idle(&self, tenant: &Name, store: &Name, idle: Duration) {
        *self.store(tenant, store).idle.lock() = Some(idle);
    }

    /// The bytes that a tenant's stores hold now.
    #[must_use]
    pub fn used_bytes(&self, tenant: &Name) -> u64 {
        let own = self.stores.iter().filter(|store| store.key().0 == *tenant);
        own.map(|store| store.bytes.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn open(&self, tenant: &Name, store: &Name) -> Arc<dyn Bucket> {
        self.store(tenant, store)
    }

    fn store(&self, tenant: &Name, store: &Name) -> Arc<MemoryBucket> {
        let entry = self.stores.entry((tenant.clone(), store.clone()));
        let total = || self.totals.of_store(tenant, store);
        Arc::clone(&entry.or_insert_with(|| Arc::new(MemoryBucket::new(self.limits, total()))))
    }
}

struct MemoryBucket {
    limits: StoreLimits,
    /// Its tenant's sum, if it is counted in one.
    total: Option<Arc<Storage>>,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    bytes: AtomicU64,
    idle: Mutex<Option<Duration>>,
    emptied: Mutex<Option<Instant>>,
}

struct Shard {
    entries: BTreeMap<Box<str>, Stored>,
    swept: Instant,
}

struct Stored {
    value: Bytes,
    written: Instant,
}

fn size(key: &str, value: &[u8]) -> u64 {
    key.len() as u64 + value.len() as u64 + ENTRY_BYTES
}

impl MemoryBucket {
    fn new(limits: StoreLimits, total: Option<Arc<Storage>>) -> Self {
        Self {
            limits,
            total,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard { entries: BTreeMap::new(), swept: Instant::now() })
            }),
            bytes: AtomicU64::new(0),
            idle: Mutex::new(None),
            emptied: Mutex::new(None),
        }
    }

    fn place(&self, key: &str) -> usize {
        // The low bits of a 64-bit hash: the remainder always fits.
        (self.hasher.hash_one(key) % SHARDS as u64) as usize
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        self.shards.get(self.place(key)).unwrap_or(first).lock()
    }

    /// Makes the store larger, unless it or all of the tenant's stores would be too large.
    fn grow(&self, by: u64) -> Result<(), BucketError> {
        let limit = self.limits.store_bytes;
        let grown = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            bytes.checked_add(by).filter(|&sum| sum <= limit)
        });
        grown.map_err(|_| BucketError::Full { limit })?;
        let taken = self.total.as_ref().map_or(Ok(()), |total| take(total, by));
        taken.inspect_err(|_| {
            self.bytes.fetch_sub(by, Ordering::Relaxed);
        })
    }

    fn shrink(&self, by: u64) {
        self.bytes.fetch_sub(by, Ordering::Relaxed);
        if let Some(total) = &self.total {
            total.give(by);
        }
    }

    fn put(&self, shard: &mut Shard, key: &str, value: Bytes) -> Result<(), BucketError> {
        let now = Instant::now();
        self.sweep(shard, now);
        match shard.entries.get_mut(key) {
            Some(stored) => {
                let (old, new) = (stored.value.len() as u64, value.len() as u64);
                if new > old {
                    self.grow(new - old)?;
                } else {
                    self.shrink(old - new);
                }
                *stored = Stored { value, written: now };
            }
            None => {
                self.grow(size(key, &value))?;
                shard.entries.insert(key.into(), Stored { value, written: now });
            }
        }
        Ok(())
    }

    fn remove(&self, shard: &mut Shard, key: &str) {
        if let Some(old) = shard.entries.remove(key) {
            self.shrink(size(key, &old.value));
        }
    }

    /// Drops what is idle from one shard, if the last time was long enough ago.
    fn sweep(&self, shard: &mut Shard, now: Instant) {
        if let Some(idle) = *self.idle.lock()
            && now.duration_since(shard.swept) >= idle / 4
        {
            self.drop_idle(shard, idle, now);
        }
    }

    fn drop_idle(&self, shard: &mut Shard, idle: Duration, now: Instant) {
        shard.swept = now;
        shard.entries.retain(|key, stored| {
            let keep = now.duration_since(stored.written) < idle;
            if !keep {
                self.shrink(size(key, &stored.value));
            }
            keep
        });
    }

    /// Drops what is idle from every shard: at most once in a second, because it reads every key. Holds no lock of
    /// the caller's, so it is called between two attempts.
    fn make_room(&self) -> bool {
        let Some(idle) = *self.idle.lock() else { return false };
        let now = Instant::now();
        {
            let mut emptied = self.emptied.lock();
            if emptied.is_some_and(|last| now.duration_since(last) < Duration::from_secs(1)) {
                return false;
            }
            *emptied = Some(now);
        }
        for shard in &self.shards {
            self.drop_idle(&mut shard.lock(), idle, now);
        }
        true
    }

    /// Does it once more if it failed for want of room and there is some now.
    fn with_room<T>(&self, act: impl Fn() -> Result<T, BucketError>) -> Result<T, BucketError> {
        match act() {
            Err(BucketError::Full { .. }) if self.make_room() => act(),
            result => result,
        }
    }

    fn write_all(&self, changes: &[(String, Option<Bytes>)]) -> Result<(), BucketError> {
        if let [(key, value)] = changes {
            let mut shard = self.shard(key);
            return match value {
                Some(value) => self.put(&mut shard, key, value.clone()),
                None => {
                    self.remove(&mut shard, key);
                    Ok(())
                }
            };
        }
        // The last change of a key counts.
        let last: BTreeMap<&str, Option<&Bytes>> =
            changes.iter().map(|(key, value)| (key.as_str(), value.as_ref())).collect();
        let mut locked: BTreeMap<usize, MutexGuard<'_, Shard>> = BTreeMap::new();
        let mut places: Vec<usize> = last.keys().map(|key| self.place(key)).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            if let Some(shard) = self.shards.get(place) {
                locked.insert(place, shard.lock());
            }
        }
        let (mut more, mut less) = (0_u64, 0_u64);
        for (key, value) in &last {
            let old = locked.get(&self.place(key)).and_then(|shard| shard.entries.get(*key));
            less += old.map_or(0, |old| size(key, &old.value));
            more += value.map_or(0, |value| size(key, value));
        }
        self.grow(more.saturating_sub(less))?;
        self.shrink(less.saturating_sub(more));
        let written = Instant::now();
        for (key, value) in last {
            let Some(shard) = locked.get_mut(&self.place(key)) else { continue };
            match value {
                Some(value) => {
                    shard.entries.insert(key.into(), Stored { value: value.clone(), written });
                }
                None => {
                    shard.entries.remove(key);
                }
            }
        }
        Ok(())
    }

    fn swap_now(&self, key: &str, expected: Option<&[u8]>, value: &Bytes) -> Result<Swap, BucketError> {
        self.limits.entry(key, Some(value))?;
        self.with_room(|| {
            let mut shard = self.shard(key);
            let current = shard.entries.get(key).map(|stored| stored.value.clone());
            if current.as_deref() != expected {
                return Ok(Swap::Lost(current));
            }
            self.put(&mut shard, key, value.clone())?;
            Ok(Swap::Done)
        })
    }

    fn increment_now(&self, key: &str, delta: i64) -> Result<i64, BucketError> {
        self.limits.key(key)?;
        self.with_room(|| {
            let mut shard = self.shard(key);
            let current = shard.entries.get(key).map(|stored| stored.value.clone());
            let sum = add_decimal(current.as_deref(), delta)?;
            self.put(&mut shard, key, Bytes::from(sum.to_string()))?;
            Ok(sum)
        })
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Keys {
        let limit = limit.clamp(1, PAGE_KEYS);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys: Vec<String> = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let range: btree_map::Range<'_, Box<str>, Stored> =
                shard.entries.range::<str, _>((from, Bound::Unbounded));
            keys.extend(range.take(limit + 1).map(|(key, _)| key.to_string()));
        }
        keys.sort_unstable();
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = if more { keys.last().cloned() } else { None };
        Keys { keys, next }
    }
}

impl Bucket for MemoryBucket {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, BucketError>> {
        let found = self.shard(key).entries.get(key).map(|stored| stored.value.clone());
        Box::pin(ready(self.limits.key(key).map(|()| found)))
    }

    fn write(&self, changes: Vec<(String, Option<Bytes>)>) -> BoxFuture<'_, Result<(), BucketError>> {
        let sizes = self.limits.batch(changes.iter().map(|(key, value)| (key.as_str(), value.as_deref())));
        Box::pin(ready(sizes.and_then(|()| self.with_room(|| self.write_all(&changes)))))
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Keys, BucketError>> {
        Box::pin(ready(Ok(self.page(after, limit))))
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Swap, BucketError>> {
        Box::pin(ready(self.swap_now(key, expected, &value)))
    }

    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> BoxFuture<'a, Result<i64, BucketError>> {
        Box::pin(ready(self.increment_now(key, delta)))
    }
}
