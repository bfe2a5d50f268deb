//! The audit book: one task that owns the log, and everybody else's way to it.
//!
//! A log has one order, so one task writes it. It takes whatever waits, up to a bound, and appends it in one piece:
//! many requests share one fsync. Nobody is told that a record is written before it is durable.
//!
//! Before a request runs, a note of it goes to the book of open entries, which survives the process. A note that is
//! still open at the next start becomes an `interrupted` record, unless the log has a record of that request already.
//! So every admitted request has one record, whenever the host was killed.
//!
//! When the log can't be written, the same records are tried again, nothing new is admitted and the host is not
//! ready, until it can be. An append of which nobody knows whether it took effect is decided by the log's size.

mod note;
mod writer;

use crate::log_store::{OpenBook, OpenedRequest};
use futures::future::BoxFuture;
use note::Note;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tollgate_runtime::{AuditError, AuditLog, Book, BookError, Entry};
use writer::{Job, Writer};

/// How soon whoever waits for a refusal's record learns that the log fails.
const FAILURE_SEEN_WITHIN: Duration = Duration::from_millis(500);

/// The log that the book writes.
pub trait Log: Send + 'static {
    /// Appends all or nothing, durably, and returns the first entry's index.
    fn append<'a>(&'a mut self, entries: &'a [Entry]) -> BoxFuture<'a, Result<u64, AppendError>>;

    /// Reads the log's size anew, after an append of which the outcome is not known.
    fn resume(&mut self) -> BoxFuture<'_, Result<u64, AppendError>>;

    /// Entries in the log, as of the last call that succeeded.
    fn size(&self) -> u64;
}

/// Why an append failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The store failed, and nothing was appended.
    #[error("{0}")]
    Store(String),
    /// An entry is too large, the one at this place, and nothing was appended.
    #[error("entry {0} is too large for the log")]
    TooLarge(usize),
    /// It failed, and may have taken effect.
    #[error("{0}")]
    Unknown(String),
    /// The log contradicts itself: to try again is of no use.
    #[error("{0}")]
    Corrupt(String),
}

impl From<AuditError> for AppendError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::TooLarge(place) => Self::TooLarge(place as usize),
            AuditError::Corrupt(_) | AuditError::OutOfRange => Self::Corrupt(error.to_string()),
            // A store that calls a write failed may have kept it.
            AuditError::Store(_) | AuditError::Component(_) => Self::Unknown(error.to_string()),
        }
    }
}

impl Log for AuditLog {
    fn append<'a>(&'a mut self, entries: &'a [Entry]) -> BoxFuture<'a, Result<u64, AppendError>> {
        Box::pin(async move { Ok(self.append(entries).await?) })
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<u64, AppendError>> {
        Box::pin(async move {
            self.checkpoint().await?;
            Ok(self.size())
        })
    }

    fn size(&self) -> u64 {
        self.size()
    }
}

/// Notes of requests that were admitted and have no record yet. They survive the process.
pub trait OpenEntries: Send + Sync + 'static {
    /// Notes a request.
    fn open(&self, request_id: &str, note: &[u8]) -> io::Result<()>;

    /// Strikes requests out: they have their records, and the log now has this many entries.
    fn close(&self, request_ids: &[&str], log_size: u64) -> io::Result<()>;

    /// The notes that were open when the last host stopped, each with the log's size when it was made.
    fn recover(&self) -> Vec<OpenedRequest>;
}

impl OpenEntries for OpenBook {
    fn open(&self, request_id: &str, note: &[u8]) -> io::Result<()> {
        self.open_entry(request_id, note).map_err(io::Error::other)
    }

    fn close(&self, request_ids: &[&str], log_size: u64) -> io::Result<()> {
        self.closed(request_ids, log_size).map_err(io::Error::other)
    }

    fn recover(&self) -> Vec<OpenedRequest> {
        self.recover()
    }
}

/// Tells which of these request ids have a record at this index of the log or later. Called at start only.
pub type Recorded = dyn Fn(u64, &HashSet<String>) -> Result<HashSet<String>, String> + Send + Sync;

/// Learns of every record once it is durable. Must be quick: the log waits for it.
pub type OnRecord = dyn Fn(&Entry) + Send + Sync;

/// The book's bounds.
#[derive(Debug, Clone)]
pub struct AuditBookOptions {
    /// Records that may wait. When they do, no request is admitted.
    pub queue: usize,
    /// Records of one append.
    pub batch: usize,
    /// The first pause after an append that failed; it doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// How long a stopping host goes on trying.
    pub last_attempts: Duration,
}

impl Default for AuditBookOptions {
    fn default() -> Self {
        Self {
            queue: 4_096,
            batch: 256,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(5),
            last_attempts: Duration::from_secs(5),
        }
    }
}

/// Why the book could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditBookError {
    /// The book of open entries can't be read or written.
    #[error("can't recover the requests that were open when the host stopped: {0}")]
    OpenEntries(#[source] io::Error),
    /// The log can't be searched for them.
    #[error("can't search the audit log for the requests that were open when the host stopped: {0}")]
    Search(String),
    /// The log took no record of them.
    #[error("can't record the requests that were open when the host stopped: {0}")]
    Append(#[source] AppendError),
}

/// What the writer and everybody else know together.
struct Shared {
    open: Arc<dyn OpenEntries>,
    /// Requests that were admitted and have no record yet.
    admitted: dashmap::DashSet<String>,
    /// Why the log can't be written, while it can't be.
    failure: Mutex<Option<String>>,
    on_record: Arc<OnRecord>,
}

/// The book. Give it to the line as its [`Book`].
pub struct AuditBook {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    shared: Arc<Shared>,
    most: usize,
    closing: watch::Sender<bool>,
    closed: watch::Receiver<bool>,
}

impl AuditBook {
    /// Records what was interrupted, and starts the task that writes.
    ///
    /// # Errors
    /// Any [`AuditBookError`]; then nothing was started.
    pub async fn start<L: Log>(
        mut log: L,
        open: Arc<dyn OpenEntries>,
        recorded: Arc<Recorded>,
        on_record: Arc<OnRecord>,
        options: AuditBookOptions,
    ) -> Result<Arc<Self>, AuditBookError> {
        let recovered = recover(&mut log, &open, recorded, options.batch).await?;
        if recovered > 0 {
            tracing::warn!(target: "tollgate::book", recovered, "requests were under way when the last host stopped");
        }
        let shared = Arc::new(Shared {
            open,
            admitted: dashmap::DashSet::new(),
            failure: Mutex::new(None),
            on_record,
        });
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let (closing, closing_seen) = watch::channel(false);
        let (closed_set, closed) = watch::channel(false);
        let most = options.queue;
        let writer = Writer::new(log, Arc::clone(&shared), options, closing_seen);
        tokio::spawn(async move {
            writer.run(jobs).await;
            closed_set.send_replace(true);
        });
        Ok(Arc::new(Self { queue: Mutex::new(Some(queue)), shared, most, closing, closed }))
    }

    /// Whether records can be written.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), BookError> {
        if self.queue.lock().is_none() || self.closed.has_changed().is_err() {
            return Err(BookError::Closed);
        }
        match &*self.shared.failure.lock() {
            Some(failure) => Err(BookError::Store(failure.clone())),
            None => Ok(()),
        }
    }

    /// Records that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.lock().as_ref().map_or(0, |queue| self.most.saturating_sub(queue.capacity()))
    }

    /// Takes no more records, writes those that wait, and returns when that is done.
    pub async fn close(&self) {
        drop(self.queue.lock().take());
        self.closing.send_replace(true);
        let mut closed = self.closed.clone();
        // The other end is dropped only with the task, and then it is closed as well.
        drop(closed.wait_for(|closed| *closed).await);
    }

    /// Waits for the record of a refusal, unless the log fails: then it is written when the log can be, and whoever was
    /// refused need not wait for a disk to be mended.
    async fn unless_failing(
        &self,
        mut answer: oneshot::Receiver<Result<u64, BookError>>,
    ) -> Result<u64, BookError> {
        loop {
            if let Ok(answered) = timeout(FAILURE_SEEN_WITHIN, &mut answer).await {
                return answered.map_err(|_| BookError::Closed)?;
            }
            self.ready()?;
        }
    }

    fn queue(&self) -> Result<mpsc::Sender<Job>, BookError> {
        self.queue.lock().clone().ok_or(BookError::Closed)
    }
}

impl Book for AuditBook {
    fn admitted(&self, entry: &Entry) -> Result<(), BookError> {
        self.ready()?;
        if self.queue()?.capacity() == 0 {
            return Err(BookError::Behind { waiting: self.most });
        }
        let note = Note::of(entry).encode();
        let written = note.and_then(|note| self.shared.open.open(&entry.request_id, &note));
        written
            .map_err(|error| BookError::Store(format!("no note of an open request can be made: {error}")))?;
        self.shared.admitted.insert(entry.request_id.clone());
        Ok(())
    }

    fn settle(&self, entry: Entry) -> BoxFuture<'_, Result<u64, BookError>> {
        Box::pin(async move {
            let queue = self.queue()?;
            let admitted = self.shared.admitted.contains(&entry.request_id);
            let (reply, answer) = oneshot::channel();
            let job = Job { entry, reply };
            // What was admitted is written in any case, so it waits for room; a refusal can be refused in its turn.
            let sent = if admitted {
                queue.send(job).await.map_err(|_| BookError::Closed)
            } else {
                queue.try_send(job).map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => BookError::Behind { waiting: self.most },
                    mpsc::error::TrySendError::Closed(_) => BookError::Closed,
                })
            };
            sent?;
            // Let go, so that who waits here does not keep the queue from being closed.
            drop(queue);
            if admitted {
                return answer.await.map_err(|_| BookError::Closed)?;
            }
            self.unless_failing(answer).await
        })
    }
}

/// Gives every request that was open when the last host stopped its record, once. Returns how many there were.
async fn recover<L: Log>(
    log: &mut L,
    open: &Arc<dyn OpenEntries>,
    recorded: Arc<Recorded>,
    batch: usize,
) -> Result<usize, AuditBookError> {
    let reader = Arc::clone(open);
    let opened = blocking(move || Ok(reader.recover())).await.map_err(AuditBookError::OpenEntries)?;
    let Some(from) = opened.iter().map(|note| note.log_size).min() else { return Ok(0) };
    let ids: HashSet<String> = opened.iter().map(|note| note.request_id.clone()).collect();
    let search = blocking(move || recorded(from, &ids).map_err(io::Error::other));
    let mut done = search.await.map_err(|error| AuditBookError::Search(error.to_string()))?;
    let missing: Vec<Entry> = opened
        .iter()
        .filter(|note| done.insert(note.request_id.clone()))
        .map(|note| Note::decode(&note.request_id, &note.bytes).interrupted())
        .collect();
    for entries in missing.chunks(batch.max(1)) {
        // A kill between this and the next step is no harm: the next start finds these records in the log.
        log.append(entries).await.map_err(AuditBookError::Append)?;
    }
    let (closer, size) = (Arc::clone(open), log.size());
    let closed = blocking(move || {
        let ids: Vec<&str> = opened.iter().map(|note| note.request_id.as_str()).collect();
        closer.close(&ids, size)
    });
    closed.await.map_err(AuditBookError::OpenEntries)?;
    Ok(missing.len())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
