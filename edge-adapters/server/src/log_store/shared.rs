//! What callers and the store's thread share: the journal, the overlay that is not in files yet, and how it gets there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cap_std::fs::Dir;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::files::Files;
use super::journal::{Change, Journal};
use super::overlay::Overlay;
use super::{LogStoreError, key};

/// How long the store's thread leaves a disk alone that failed.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What callers and the store's thread share.
pub(super) struct Shared {
    pub(super) dir: Dir,
    pub(super) bounds: Bounds,
    /// Taken before `state`, never after it.
    pub(super) files: Mutex<Files>,
    pub(super) state: Mutex<State>,
    /// Wakes the store's thread: there is a first change, or the store closes.
    pub(super) wake: Condvar,
}

/// What is done when.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) interval: Duration,
    pub(super) overlay_bytes: usize,
    pub(super) journal_bytes: u64,
}

pub(super) struct State {
    pub(super) journal: Journal,
    /// What is not in files yet.
    pub(super) overlay: Overlay,
    /// Keys deleted since the last journal frame. They go into the next one, so that replaying older frames does not
    /// bring them back.
    pub(super) deleted: Vec<String>,
    /// What is on disk is not known, until the journal has been written out anew.
    pub(super) in_doubt: bool,
    pub(super) closing: bool,
}

impl State {
    pub(super) fn set_many(&mut self, values: Vec<(String, Vec<u8>)>) -> Result<(), LogStoreError> {
        let deleted = self.deleted.iter().map(|key| Change::deleted(key));
        let set = values.iter().map(|(key, value)| Change::after(&self.overlay, key, value));
        let changes: Vec<Change<'_>> = deleted.chain(set).collect();
        if let Err(failure) = self.journal.append(&changes) {
            self.in_doubt = failure.unknown;
            return Err(failure.error);
        }
        self.deleted.clear();
        for (key, value) in values {
            self.overlay.set(key, Some(Bytes::from(value)), |_| false);
        }
        Ok(())
    }
}

impl Shared {
    /// Completes what a stopped process left in the journal of this directory.
    pub(super) fn open(dir: Dir, bounds: Bounds) -> Result<Self, LogStoreError> {
        let mut files = Files::new(dir.try_clone().map_err(LogStoreError::io("opening", "."))?);
        let journal = recover(&dir, &mut files, &[])?;
        let overlay = Overlay::default();
        let state = State { journal, overlay, deleted: Vec::new(), in_doubt: false, closing: false };
        Ok(Self { dir, bounds, files: Mutex::new(files), state: Mutex::new(state), wake: Condvar::new() })
    }

    /// Makes the store's thread write everything out, and end.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_one();
    }

    /// The state, and no doubt about it.
    pub(super) fn state(&self) -> Result<MutexGuard<'_, State>, LogStoreError> {
        loop {
            let state = self.state.lock();
            if !state.in_doubt {
                return Ok(state);
            }
            drop(state);
            self.settle_doubt(&mut self.files.lock())?;
        }
    }

    /// The state, with room for a batch. The store's thread sees to that; if it falls behind, the caller does.
    pub(super) fn state_with_room(&self) -> Result<MutexGuard<'_, State>, LogStoreError> {
        loop {
            let state = self.state()?;
            let full = state.overlay.bytes() > self.bounds.overlay_bytes;
            let long = state.journal.len() > 2 * self.bounds.journal_bytes;
            if !full && !long {
                return Ok(state);
            }
            drop(state);
            if long {
                self.begin_journal()?;
            } else {
                self.write_out(&mut self.files.lock())?;
            }
        }
    }

    /// Wakes the store's thread at the first change of an interval.
    pub(super) fn changed(&self, first: bool) {
        if first {
            self.wake.notify_one();
        }
    }

    /// Makes the files what the journal says, if an earlier call left that open.
    fn settle_doubt(&self, files: &mut Files) -> Result<(), LogStoreError> {
        let mut state = self.state.lock();
        if state.in_doubt {
            state.journal = recover(&self.dir, files, &state.deleted)?;
            state.overlay = Overlay::default();
            state.deleted.clear();
            state.in_doubt = false;
        }
        Ok(())
    }

    /// Writes the overlay to files. Batches are taken meanwhile.
    pub(super) fn write_out(&self, files: &mut Files) -> Result<(), LogStoreError> {
        self.settle_doubt(files)?;
        let overlay = self.state.lock().overlay.clone();
        if overlay.is_empty() {
            return Ok(());
        }
        let written = files.write_out(&overlay);
        let mut state = self.state.lock();
        match &written {
            Ok(()) => state.overlay.forget(&overlay),
            Err(_) => state.in_doubt = true,
        }
        written
    }

    /// Writes the overlay to files, syncs them, and begins the journal anew with what came meanwhile.
    pub(super) fn begin_journal(&self) -> Result<(), LogStoreError> {
        let mut files = self.files.lock();
        self.write_out(&mut files)?;
        let synced = files.sync();
        let mut state = self.state.lock();
        if state.in_doubt {
            return synced;
        }
        let State { journal, overlay, .. } = &mut *state;
        let begun = synced.and_then(|()| journal.begin(&Change::all(overlay)));
        state.in_doubt = begun.is_err();
        begun
    }

    /// What the store's thread does: writes the overlay out, an interval after its first change each time, and a last
    /// time when the store closes.
    pub(super) fn run(&self) {
        let mut interval = self.bounds.interval;
        loop {
            let mut state = self.state.lock();
            while state.overlay.is_empty() && !state.in_doubt && !state.closing {
                self.wake.wait(&mut state);
            }
            let end = Instant::now() + interval;
            while !state.closing && !self.wake.wait_until(&mut state, end).timed_out() {}
            let closing = state.closing;
            let long = state.journal.len() > self.bounds.journal_bytes;
            drop(state);
            let written = if long { self.begin_journal() } else { self.write_out(&mut self.files.lock()) };
            if closing {
                return;
            }
            interval = if written.is_ok() { self.bounds.interval } else { INTERVAL_AFTER_FAILURE };
            if let Err(error) = written {
                // The next batch is refused if it is still so.
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(target: "tollgate::log_store", %error, cause, "the audit log's files can't be written");
            }
        }
    }
}

/// Reads the journal, makes the files what it says, without the `deleted` keys, and begins it anew.
fn recover(dir: &Dir, files: &mut Files, deleted: &[String]) -> Result<Journal, LogStoreError> {
    // A partial tile that became a file may be torn; one that did not is no longer wanted.
    let (mut journal, mut overlay) = Journal::open(dir, |key| dir.exists(key))?;
    for key in deleted {
        overlay.set(key.clone(), None, |_| false);
    }
    for (key, _) in overlay.iter() {
        key::check(key)?;
    }
    files.write_out(&overlay)?;
    files.sync()?;
    journal.begin(&[])?;
    Ok(journal)
}
