//! The task that owns the log.

use super::{AppendError, AuditBookOptions, Log, Shared};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tollgate_runtime::{BookError, Entry};

/// The longest text that an entry keeps when it was too large, in bytes.
const CUT_TEXT_BYTES: usize = 1 << 10;

/// A record to be written, and who waits for it.
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) reply: oneshot::Sender<Result<u64, BookError>>,
}

type Reply = oneshot::Sender<Result<u64, BookError>>;

pub(super) struct Writer<L> {
    log: L,
    shared: Arc<Shared>,
    options: AuditBookOptions,
    closing: watch::Receiver<bool>,
    give_up_at: Option<Instant>,
}

impl<L: Log> Writer<L> {
    pub(super) fn new(
        log: L,
        shared: Arc<Shared>,
        options: AuditBookOptions,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { log, shared, options, closing, give_up_at: None }
    }

    /// Writes until nobody can send any more and nothing waits.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let most = self.options.batch.max(1);
        let mut batch = Vec::with_capacity(most);
        while jobs.recv_many(&mut batch, most).await > 0 {
            let (entries, replies) = batch.drain(..).map(|job| (job.entry, job.reply)).unzip();
            self.write(entries, replies).await;
        }
    }

    /// Writes these records, all of them in one append, however often that has to be tried.
    async fn write(&mut self, mut entries: Vec<Entry>, mut replies: Vec<Reply>) {
        let mut pause = self.options.first_pause;
        while !entries.is_empty() {
            let before = self.log.size();
            let error = match self.log.append(&entries).await {
                Ok(first) => return self.written(first, &entries, replies),
                Err(AppendError::TooLarge(place)) => {
                    if !make_smaller(&mut entries, place) {
                        lose(&mut entries, &mut replies, place);
                    }
                    continue;
                }
                Err(AppendError::Unknown(text)) => match self.took_effect(before, entries.len()).await {
                    Ok(true) => return self.written(before, &entries, replies),
                    Ok(false) => AppendError::Store(text),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let text = error.to_string();
            // Before it is said: who has read it may count on nobody being let in.
            *self.shared.failure.lock() = Some(text.clone());
            tracing::error!(target: "tollgate::book", error = text, records = entries.len(), "the audit log failed");
            if matches!(error, AppendError::Corrupt(_)) || !self.wait(pause).await {
                for reply in replies {
                    // Whoever asked may have left.
                    drop(reply.send(Err(BookError::Store(text.clone()))));
                }
                return;
            }
            pause = (pause * 2).min(self.options.longest_pause);
        }
    }

    /// Whether an append that failed is in the log after all. One writer, all or nothing: its size tells. Nothing may be
    /// appended before that is known, so this asks until it is, or the host stops.
    async fn took_effect(&mut self, before: u64, count: usize) -> Result<bool, AppendError> {
        let mut pause = self.options.first_pause;
        loop {
            let error = match self.log.resume().await {
                Ok(size) if size == before => return Ok(false),
                Ok(size) if size == before + count as u64 => return Ok(true),
                Ok(size) => AppendError::Corrupt(format!(
                    "it has {size} entries, and had {before} before {count} more"
                )),
                Err(error) => error,
            };
            if matches!(error, AppendError::Corrupt(_)) {
                return Err(error);
            }
            *self.shared.failure.lock() = Some(error.to_string());
            if !self.wait(pause).await {
                return Err(AppendError::Corrupt(error.to_string()));
            }
            pause = (pause * 2).min(self.options.longest_pause);
        }
    }

    fn written(&self, first: u64, entries: &[Entry], replies: Vec<Reply>) {
        *self.shared.failure.lock() = None;
        for ((entry, reply), index) in entries.iter().zip(replies).zip(first..) {
            (self.shared.on_record)(entry);
            // Whoever asked may have left.
            drop(reply.send(Ok(index)));
        }
        let ids: Vec<&str> = entries.iter().map(|entry| entry.request_id.as_str()).collect();
        let admitted: Vec<&str> =
            ids.into_iter().filter(|id| self.shared.admitted.remove(*id).is_some()).collect();
        if let Err(error) = self.shared.open.close(&admitted, self.log.size()) {
            // The notes stay, and the next start finds the records in the log.
            tracing::warn!(target: "tollgate::book", %error, "notes of open requests can't be struck out");
        }
    }

    /// Waits before the next attempt; false when the host stops and has tried for long enough.
    async fn wait(&mut self, pause: std::time::Duration) -> bool {
        if self.give_up_at.is_none() {
            tokio::select! {
                () = tokio::time::sleep(pause) => return true,
                // An error means that the book itself is gone, which is as good as closing.
                _ = self.closing.wait_for(|closing| *closing) => {
                    self.give_up_at = Some(Instant::now() + self.options.last_attempts);
                }
            }
        }
        let Some(at) = self.give_up_at else { return true };
        if Instant::now() >= at {
            return false;
        }
        tokio::time::sleep_until(at.min(Instant::now() + pause)).await;
        true
    }
}

/// Takes from an entry what can be spared. False when there is nothing left to take.
fn make_smaller(entries: &mut [Entry], place: usize) -> bool {
    let Some(entry) = entries.get_mut(place) else { return false };
    let cut = ("record".to_owned(), "cut".to_owned());
    if entry.metadata.first() == Some(&cut) {
        return false;
    }
    entry.metadata = vec![cut];
    entry.policies.truncate(16);
    entry.limits.truncate(32);
    for text in entry.policies.iter_mut().chain([&mut entry.resource, &mut entry.action]) {
        if text.len() > CUT_TEXT_BYTES {
            let end = (0..=CUT_TEXT_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            text.truncate(end);
        }
    }
    true
}

/// Gives up an entry that is too large even when cut, so that the others can be written.
fn lose(entries: &mut Vec<Entry>, replies: &mut Vec<Reply>, place: usize) {
    if place >= entries.len() || place >= replies.len() {
        // A place that is none names nothing: then none of them can be written.
        entries.clear();
        for reply in replies.drain(..) {
            drop(
                reply
                    .send(Err(BookError::Store("the log refused a record that it was not given".to_owned()))),
            );
        }
        return;
    }
    let entry = entries.remove(place);
    tracing::error!(target: "tollgate::book", request_id = entry.request_id, "a record is too large for the log");
    drop(replies.remove(place).send(Err(BookError::Store("the record is too large for the log".to_owned()))));
}
