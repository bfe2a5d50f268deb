//! The thread that writes. Nothing is acknowledged before the commit that holds it has returned.

use super::super::totals::{ENTRY_BYTES, Held, Totals};
use super::super::usage::{Pending, Sums};
use super::super::{StoreLimits, add_decimal};
use super::{Place, SameFile, SqliteError};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tollgate_runtime::{BucketError, Swap};

/// How many writes wait before the next writer has to.
const QUEUE: usize = 1_024;

/// How many writes one transaction takes along.
const BATCH: usize = 256;

/// After how many bytes a transaction takes no more along.
const BATCH_BYTES: usize = 16 << 20;

/// How long usage may wait for a commit to go along with. It is a sum that the audit log could give again, and not
/// worth an fsync for each request.
const USAGE_WITHIN: Duration = Duration::from_secs(1);

/// How long after one look for idle keys the next may come; and when the store is nearly full.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_WHEN_FULL: Duration = Duration::from_secs(1);

/// What is to be written.
pub(super) enum Work {
    Write {
        place: Place,
        changes: Vec<(String, Option<Bytes>)>,
    },
    Swap {
        place: Place,
        key: String,
        expected: Option<Vec<u8>>,
        value: Bytes,
    },
    Increment {
        place: Place,
        key: String,
        delta: i64,
    },
    /// From now on, keys of this store that were not written for so long are dropped.
    Forget {
        place: Place,
        idle: Duration,
    },
    /// A row of no meaning: shows that a commit is possible, and takes waiting usage along.
    Probe,
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Write { changes, .. } => {
                changes.iter().map(|(_, value)| value.as_ref().map_or(0, Bytes::len)).sum()
            }
            Self::Swap { value, .. } => value.len(),
            Self::Increment { .. } | Self::Forget { .. } | Self::Probe => 0,
        }
    }
}

/// How it went.
#[derive(Debug)]
pub(super) enum Done {
    Written,
    Swap(Swap),
    Sum(i64),
}

struct Job {
    work: Work,
    reply: oneshot::Sender<Result<Done, BucketError>>,
}

/// The way to the thread. It ends when this is dropped and the queue is empty.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    usage_waits: Arc<Notify>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        limits: StoreLimits,
        totals: Totals,
        usage: Arc<Pending>,
        file: SameFile,
    ) -> Result<Self, SqliteError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let usage_waits = Arc::new(Notify::new());
        let thread = Thread {
            connection,
            file,
            limits,
            totals,
            usage,
            usage_waits: Arc::clone(&usage_waits),
            stores: HashMap::new(),
            forgetful: HashMap::new(),
        };
        // Of the thread's own: it waits for writes and for the time, and in a commit it blocks nobody else.
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let clock = clock.map_err(|_| SqliteError::Gone)?;
        let run = move || clock.block_on(thread.run(jobs));
        let started = std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(run);
        started.map_err(|_| SqliteError::Gone)?;
        Ok(Self { queue, usage_waits })
    }

    /// Writes, and returns when it is on disk. Waits while the queue is full.
    pub(super) fn send(
        &self,
        work: Work,
    ) -> impl Future<Output = Result<Done, BucketError>> + Send + 'static {
        let queue = self.queue.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            queue.send(Job { work, reply }).await.map_err(|_| SqliteError::Gone)?;
            answer.await.map_err(|_| SqliteError::Gone)?
        }
    }

    /// Sees to it that waiting usage is committed within [`USAGE_WITHIN`], by itself if nothing else is.
    pub(super) fn nudge(&self) {
        self.usage_waits.notify_one();
    }
}

/// What the thread knows of a store.
#[derive(Clone, Copy)]
struct Known {
    id: i64,
    bytes: u64,
}

struct Thread {
    connection: Connection,
    file: SameFile,
    limits: StoreLimits,
    totals: Totals,
    usage: Arc<Pending>,
    usage_waits: Arc<Notify>,
    /// True to the database; emptied after a commit that failed.
    stores: HashMap<Place, Known>,
    forgetful: HashMap<Place, Forgetful>,
}

/// A store whose idle keys are dropped.
struct Forgetful {
    idle: Duration,
    swept: Option<Instant>,
}

impl Forgetful {
    fn is_due(&self, nearly_full: bool) -> bool {
        let pause = if nearly_full { SWEEP_WHEN_FULL } else { (self.idle / 4).max(SWEEP_EVERY) };
        self.swept.is_none_or(|swept| swept.elapsed() >= pause)
    }
}

impl Thread {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let usage_waits = Arc::clone(&self.usage_waits);
        // When usage has to be written although nothing else is.
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                None => tokio::select! {
                    job = jobs.recv() => job,
                    () = usage_waits.notified() => {
                        due = Some(Instant::now() + USAGE_WITHIN);
                        continue;
                    }
                },
                Some(at) => match timeout_at(at, jobs.recv()).await {
                    Ok(job) => job,
                    Err(_) => {
                        due = self.commit(Vec::new());
                        continue;
                    }
                },
            };
            let Some(first) = first else { break };
            let mut bytes = first.work.bytes();
            let mut batch = vec![first];
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Ok(next) = jobs.try_recv() else { break };
                bytes = bytes.saturating_add(next.work.bytes());
                batch.push(next);
            }
            due = self.commit(batch);
        }
        self.commit(Vec::new());
    }

    /// Commits these writes and the usage that waits. Returns when the usage has to be tried again, if it has to.
    fn commit(&mut self, batch: Vec<Job>) -> Option<Instant> {
        let usage = self.usage.take();
        if usage.is_empty() && batch.is_empty() {
            return None;
        }
        match self.attempt(&batch, &usage) {
            Ok(answers) => {
                for (job, answer) in batch.into_iter().zip(answers) {
                    reply(job, answer);
                }
                None
            }
            Err(error) => {
                self.stores.clear();
                self.usage.restore(usage);
                tracing::error!(target: "tollgate::store", %error, writes = batch.len(), "a commit failed");
                let error = BucketError::from(error);
                for job in batch {
                    reply(job, Err(error.clone()));
                }
                Some(Instant::now() + USAGE_WITHIN)
            }
        }
    }

    /// One transaction. An error anywhere rolls all of it back: the transaction is dropped uncommitted.
    fn attempt(
        &mut self,
        batch: &[Job],
        usage: &Sums,
    ) -> Result<Vec<Result<Done, BucketError>>, SqliteError> {
        self.file.check()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut held = Held::default();
        let mut stores = Books {
            transaction: &transaction,
            known: &mut self.stores,
            limit: self.limits.store_bytes,
            totals: &self.totals,
            held: &mut held,
        };
        for (place, forgetful) in &mut self.forgetful {
            let nearly_full = stores.store(place)?.bytes >= stores.limit / 4 * 3;
            if forgetful.is_due(nearly_full) {
                stores.forget(place, forgetful.idle)?;
                forgetful.swept = Some(Instant::now());
            }
        }
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch {
            answers.push(match &job.work {
                Work::Write { place, changes } => stores.write(place, changes)?.map(|()| Done::Written),
                Work::Swap { place, key, expected, value } => {
                    stores.swap(place, key, expected.as_deref(), value)?.map(Done::Swap)
                }
                Work::Increment { place, key, delta } => stores.increment(place, key, *delta)?.map(Done::Sum),
                Work::Forget { place, idle } => {
                    self.forgetful.insert(place.clone(), Forgetful { idle: *idle, swept: None });
                    Ok(Done::Written)
                }
                Work::Probe => Ok(Done::Written),
            });
        }
        if batch.iter().any(|job| matches!(job.work, Work::Probe)) {
            transaction.execute("UPDATE probe SET count = (count + 1) & 4294967295", ())?;
        }
        add_usage(&transaction, usage)?;
        transaction.commit()?;
        held.committed();
        Ok(answers)
    }
}

fn reply(job: Job, answer: Result<Done, BucketError>) {
    // Whoever asked may have left; what was written stays.
    drop(job.reply.send(answer));
}

/// An error of the database, around an answer to one job.
type Attempt<T> = Result<Result<T, BucketError>, rusqlite::Error>;

/// The stores, within one transaction.
struct Books<'a> {
    transaction: &'a Transaction<'a>,
    known: &'a mut HashMap<Place, Known>,
    limit: u64,
    totals: &'a Totals,
    held: &'a mut Held,
}

impl Books<'_> {
    /// The store, made when it is not there.
    fn store(&mut self, place: &Place) -> Result<Known, rusqlite::Error> {
        if let Some(known) = self.known.get(place) {
            return Ok(*known);
        }
        let names = (place.tenant.as_str(), place.store.as_str());
        self.transaction.execute("INSERT OR IGNORE INTO stores (tenant, name) VALUES (?1, ?2)", names)?;
        let known = self.transaction.query_row(
            "SELECT id, bytes FROM stores WHERE tenant = ?1 AND name = ?2",
            names,
            |row| Ok(Known { id: row.get(0)?, bytes: row.get::<_, i64>(1)?.unsigned_abs() }),
        )?;
        self.known.insert(place.clone(), known);
        Ok(known)
    }

    fn value(&self, store: Known, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
        let mut statement =
            self.transaction.prepare_cached("SELECT value FROM entries WHERE store = ?1 AND key = ?2")?;
        statement.query_row((store.id, key.as_bytes()), |row| row.get(0)).optional()
    }

    /// What a key takes up now: its own bytes and its value's; none if it is not there.
    fn size(&self, store: Known, key: &str) -> Result<Option<u64>, rusqlite::Error> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT length(value) FROM entries WHERE store = ?1 AND key = ?2")?;
        let value: Option<i64> =
            statement.query_row((store.id, key.as_bytes()), |row| row.get(0)).optional()?;
        Ok(value.map(|bytes| bytes.unsigned_abs().saturating_add(key.len() as u64)))
    }

    fn write(&mut self, place: &Place, changes: &[(String, Option<Bytes>)]) -> Attempt<()> {
        let last: HashMap<&str, Option<&[u8]>> =
            changes.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let store = self.store(place)?;
        let mut bytes = store.bytes;
        // How many entries there are before and after, of these keys.
        let (mut before, mut after) = (0_u64, 0_u64);
        for (key, value) in &last {
            let (old, new) = (self.size(store, key)?, value.map(|value| (key.len() + value.len()) as u64));
            bytes = bytes.saturating_add(new.unwrap_or(0)).saturating_sub(old.unwrap_or(0));
            before += u64::from(old.is_some());
            after += u64::from(new.is_some());
        }
        // A store that is over a lowered limit may still shrink.
        if bytes > self.limit && bytes > store.bytes {
            return Ok(Err(BucketError::Full { limit: self.limit }));
        }
        if let Some(total) = self.totals.of_store(&place.tenant, &place.store) {
            let (from, to) = (before * ENTRY_BYTES + store.bytes, after * ENTRY_BYTES + bytes);
            if let Err(full) = self.held.change(&total, from, to) {
                return Ok(Err(full));
            }
        }
        for (key, value) in last {
            self.put(store, key, value)?;
        }
        self.resize(place, store, bytes)?;
        Ok(Ok(()))
    }

    fn put(&self, store: Known, key: &str, value: Option<&[u8]>) -> Result<(), rusqlite::Error> {
        let key = key.as_bytes();
        match value {
            Some(value) => {
                let mut statement = self.transaction.prepare_cached(
                    "INSERT INTO entries (store, key, value, written) VALUES (?1, ?2, ?3, unixepoch())
                     ON CONFLICT (store, key) DO UPDATE SET value = excluded.value, written = excluded.written",
                )?;
                statement.execute((store.id, key, value))?;
            }
            None => {
                let mut statement =
                    self.transaction.prepare_cached("DELETE FROM entries WHERE store = ?1 AND key = ?2")?;
                statement.execute((store.id, key))?;
            }
        }
        Ok(())
    }

    /// Drops what was not written for so long.
    fn forget(&mut self, place: &Place, idle: Duration) -> Result<(), rusqlite::Error> {
        let store = self.store(place)?;
        let idle = i64::try_from(idle.as_secs()).unwrap_or(i64::MAX);
        let bytes: i64 = self.transaction.query_row(
            "SELECT coalesce(sum(length(key) + length(value)), 0) FROM entries
             WHERE store = ?1 AND written <= unixepoch() - ?2",
            (store.id, idle),
            |row| row.get(0),
        )?;
        if bytes > 0 {
            let entries = self.transaction.execute(
                "DELETE FROM entries WHERE store = ?1 AND written <= unixepoch() - ?2",
                (store.id, idle),
            )?;
            if let Some(total) = self.totals.of_store(&place.tenant, &place.store) {
                self.held.give(total, bytes.unsigned_abs() + entries as u64 * ENTRY_BYTES);
            }
            self.resize(place, store, store.bytes.saturating_sub(bytes.unsigned_abs()))?;
        }
        Ok(())
    }

    fn resize(&mut self, place: &Place, store: Known, bytes: u64) -> Result<(), rusqlite::Error> {
        if bytes != store.bytes {
            let mut statement =
                self.transaction.prepare_cached("UPDATE stores SET bytes = ?2 WHERE id = ?1")?;
            statement.execute((store.id, i64::try_from(bytes).unwrap_or(i64::MAX)))?;
            self.known.insert(place.clone(), Known { bytes, ..store });
        }
        Ok(())
    }

    fn swap(&mut self, place: &Place, key: &str, expected: Option<&[u8]>, value: &Bytes) -> Attempt<Swap> {
        let store = self.store(place)?;
        let current = self.value(store, key)?;
        if current.as_deref() != expected {
            return Ok(Ok(Swap::Lost(current.map(Bytes::from))));
        }
        Ok(self.write(place, &[(key.to_owned(), Some(value.clone()))])?.map(|()| Swap::Done))
    }

    fn increment(&mut self, place: &Place, key: &str, delta: i64) -> Attempt<i64> {
        let store = self.store(place)?;
        let sum = match add_decimal(self.value(store, key)?.as_deref(), delta) {
            Ok(sum) => sum,
            Err(error) => return Ok(Err(error)),
        };
        let value = Bytes::from(sum.to_string());
        Ok(self.write(place, &[(key.to_owned(), Some(value))])?.map(|()| sum))
    }
}

fn add_usage(transaction: &Transaction<'_>, sums: &Sums) -> Result<(), rusqlite::Error> {
    // SQLite's sums of integers fail or turn into floats at the end of the range, so `min` keeps them within.
    let mut statement = transaction.prepare_cached(
        "INSERT INTO usage (tenant, hour, requests, gas, bytes_in, bytes_out) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, hour) DO UPDATE SET
            requests = requests + min(excluded.requests, 9223372036854775807 - requests),
            gas = gas + min(excluded.gas, 9223372036854775807 - gas),
            bytes_in = bytes_in + min(excluded.bytes_in, 9223372036854775807 - bytes_in),
            bytes_out = bytes_out + min(excluded.bytes_out, 9223372036854775807 - bytes_out)",
    )?;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    for ((hour, tenant), sum) in sums {
        statement.execute((
            tenant.as_str(),
            hour.0,
            number(sum.requests),
            number(sum.gas),
            number(sum.bytes_in),
            number(sum.bytes_out),
        ))?;
    }
    Ok(())
}
