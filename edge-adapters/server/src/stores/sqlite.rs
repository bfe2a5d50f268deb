//! Stores in one SQLite database: WAL, and a commit reaches the disk before it is acknowledged.
//!
//! One thread writes. It takes all the writes that wait, up to a bound, makes one transaction of them, commits, and
//! only then answers each: so many writers share one fsync. Readers have connections of their own, off the async
//! threads and bounded in number; WAL lets them read while the writer writes.

mod read;
mod same_file;
mod schema;
mod writer;

use super::totals::Totals;
use super::usage::{Hour, Pending, UsageTotals};
use super::{PAGE_KEYS, StoreLimits, UsageBook};
use bytes::Bytes;
use futures::future::BoxFuture;
use read::Readers;
use same_file::SameFile;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tollgate_runtime::{Bucket, BucketError, Keys, Name, Swap};
use writer::{Done, Work, Writer};

/// Why a database could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// It could not be opened.
    #[error("can't open the database `{}`: {cause}", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// What SQLite says.
        cause: String,
    },
    /// It was written by a later version of this host.
    #[error("the database `{}` has layout {found}, and this host knows only {known}: use the host that wrote it", path.display())]
    Later {
        /// Where it is.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Failed(#[from] rusqlite::Error),
    /// Its file was removed, or another is in its place: what is written would be in no file that anybody opens again.
    #[error("the database `{}` was removed or replaced while it was open: start the host again", path.display())]
    Removed {
        /// Where it was.
        path: PathBuf,
    },
    /// Its thread could not be started, or is gone.
    #[error("the database's thread is not running")]
    Gone,
}

/// A store's place in the database: the pair, never a joined text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    tenant: Name,
    store: Name,
}

/// One database file: its writer, its readers, and the usage that waits to be written.
pub(super) struct Database {
    writer: Writer,
    readers: Readers,
    usage: Arc<Pending>,
}

impl Database {
    pub(super) fn usage(&self) -> &Pending {
        &self.usage
    }

    /// Tells the writer that usage waits.
    pub(super) fn nudge(&self) {
        self.writer.nudge();
    }

    pub(super) fn flush(&self) -> BoxFuture<'static, Result<(), BucketError>> {
        let written = self.writer.send(Work::Probe);
        Box::pin(async move { written.await.map(drop) })
    }

    pub(super) async fn read_usage(
        &self,
        tenant: Name,
        first: Hour,
        last: Hour,
    ) -> Result<BTreeMap<Hour, UsageTotals>, BucketError> {
        self.readers.run(move |connection| read::usage(connection, &tenant, first, last)).await
    }

    pub(super) async fn read_usage_of_hour(
        &self,
        hour: Hour,
    ) -> Result<BTreeMap<Name, UsageTotals>, BucketError> {
        self.readers.run(move |connection| read::usage_of_hour(connection, hour)).await
    }
}

/// All stores in one database file.
#[derive(Clone)]
pub struct SqliteBuckets {
    database: Arc<Database>,
    limits: StoreLimits,
    totals: Totals,
}

impl SqliteBuckets {
    /// Opens the database, and makes it if there is none. Files are readable by their owner only.
    ///
    /// # Errors
    /// Any [`SqliteError`].
    pub fn open(path: &Path, limits: StoreLimits) -> Result<Self, SqliteError> {
        let connection = schema::open(path)?;
        let usage = Arc::new(Pending::default());
        let file = SameFile::at(path)?;
        let totals = Totals::default();
        for (place, bytes) in read::held(&connection)? {
            if let Some(storage) = totals.of_store(&place.tenant, &place.store) {
                storage.found(bytes);
            }
        }
        let writer = Writer::start(connection, limits, totals.clone(), Arc::clone(&usage), file)?;
        let readers = Readers::open(path)?;
        Ok(Self { database: Arc::new(Database { writer, readers, usage }), limits, totals })
    }

    /// The sums that its stores are counted in.
    pub(super) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    /// The book of usage in this database.
    #[must_use]
    pub fn usage_book(&self) -> UsageBook {
        UsageBook(Arc::clone(&self.database))
    }

    /// From now on, a key of this store that was not written for `idle` is dropped, sooner or later. Meant for the
    /// store that a limiter counts in, as [`MemoryBuckets::forget_idle`](super::MemoryBuckets::forget_idle) is.
    pub fn forget_idle(
        &self,
        tenant: &Name,
        store: &Name,
        idle: Duration,
    ) -> BoxFuture<'static, Result<(), BucketError>> {
        let place = Place { tenant: tenant.clone(), store: store.clone() };
        let noted = self.database.writer.send(Work::Forget { place, idle });
        Box::pin(async move { noted.await.map(drop) })
    }

    /// Whether it can be written: waits for one commit.
    ///
    /// # Errors
    /// [`BucketError::Backend`] with what SQLite says.
    pub fn check(&self) -> BoxFuture<'static, Result<(), BucketError>> {
        self.database.flush()
    }

    pub(super) fn open_store(&self, tenant: &Name, store: &Name) -> Arc<dyn Bucket> {
        let place = Place { tenant: tenant.clone(), store: store.clone() };
        Arc::new(SqliteBucket { database: Arc::clone(&self.database), limits: self.limits, place })
    }
}

struct SqliteBucket {
    database: Arc<Database>,
    limits: StoreLimits,
    place: Place,
}

impl Bucket for SqliteBucket {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, BucketError>> {
        Box::pin(async move {
            self.limits.key(key)?;
            let (place, key) = (self.place.clone(), key.to_owned());
            self.database.readers.run(move |connection| read::value(connection, &place, &key)).await
        })
    }

    fn write(&self, changes: Vec<(String, Option<Bytes>)>) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            self.limits.batch(changes.iter().map(|(key, value)| (key.as_str(), value.as_deref())))?;
            let place = self.place.clone();
            self.database.writer.send(Work::Write { place, changes }).await.map(drop)
        })
    }

    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Keys, BucketError>> {
        Box::pin(async move {
            let (place, after) = (self.place.clone(), after.map(str::to_owned));
            let limit = limit.clamp(1, PAGE_KEYS);
            self.database
                .readers
                .run(move |connection| read::keys(connection, &place, after.as_deref(), limit))
                .await
        })
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Swap, BucketError>> {
        Box::pin(async move {
            self.limits.entry(key, Some(&value))?;
            let (place, key, expected) = (self.place.clone(), key.to_owned(), expected.map(<[u8]>::to_vec));
            match self.database.writer.send(Work::Swap { place, key, expected, value }).await? {
                Done::Swap(swap) => Ok(swap),
                Done::Written | Done::Sum(_) => Err(SqliteError::Gone.into()),
            }
        })
    }

    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> BoxFuture<'a, Result<i64, BucketError>> {
        Box::pin(async move {
            self.limits.key(key)?;
            let (place, key) = (self.place.clone(), key.to_owned());
            match self.database.writer.send(Work::Increment { place, key, delta }).await? {
                Done::Sum(sum) => Ok(sum),
                Done::Written | Done::Swap(_) => Err(SqliteError::Gone.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
