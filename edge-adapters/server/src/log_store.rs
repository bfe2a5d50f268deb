//! The audit log's place on disk: a directory that is a durable key-value store, and the book of open requests.
//!
//! Every key is a plain file of that name, so that any C2SP tlog-tiles client, or a web server, reads the log as it
//! stands. What makes a batch atomic and durable is the redo journal, two hidden files (`journal.rs`):
//!
//! 1. [`LogStore::set_many`] appends the whole batch to the journal as one checked frame and syncs it. From here on the
//!    batch is durable, and acknowledged.
//! 2. Its keys go to an overlay in memory, where [`LogStore::get`] looks first. A thread of the store writes the overlay
//!    out [`INTERVAL`] after its first change: each file under another name first and then renamed, `checkpoint` after
//!    all that it needs, deletions last. Most partial tiles are replaced before that, and never become files. When the
//!    overlay has grown past [`OVERLAY_BYTES`], the next call writes it out before it does anything else.
//! 3. When the journal has grown past [`JOURNAL_BYTES`], the files are synced, and a new generation of the journal
//!    begins with what came meanwhile.
//!
//! So whoever reads the plain files sees a log that is whole and at most an interval old. [`LogReader`] reads the
//! journal too, and sees every acknowledged batch.
//!
//! [`LogStore::open`] writes the batches in the journal to files once more, so that files that a power cut has torn or
//! lost are whole again. A frame that breaks off at the journal's end is a batch that was never acknowledged, and is
//! dropped. A broken frame with a whole one after it is damage, and the store does not open.
//!
//! After a failed sync, or when a file could not be written, be it by the store's thread, the store is in doubt: a batch
//! whose call failed is there as a whole or not at all, and nobody knows which. The next call reads the journal and
//! writes its batches once more, as at opening, before it does anything else; so a disk that was full, or a process
//! that had too many files open, needs no restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use parking_lot::{Condvar, Mutex, MutexGuard};

mod files;
mod journal;
mod key;
mod open_book;
mod overlay;
mod reader;

use files::Files;
use journal::{Change, Journal};
pub use open_book::{OpenBook, OpenBookError, OpenedRequest};
use overlay::Overlay;
pub use reader::LogReader;

/// How long changes are collected before they are written to files. A client of the files polls every few seconds at
/// best; four writes a second cost the host nothing.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long the store's thread leaves a disk alone that failed.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How much may wait to be written to files.
const OVERLAY_BYTES: usize = 16 << 20;

/// How long the journal may grow before the files are synced and it begins anew. It may grow to twice as much while
/// that is being done.
const JOURNAL_BYTES: u64 = 6 << 20;

/// The file that a writing process holds locked.
const LOCK_FILE: &str = ".lock";

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// Another process has the log open for writing.
    #[error("the log in `{0}` is open in another process: stop it, or give this host a directory of its own")]
    Locked(PathBuf),
    /// A key that cannot be a file of a log.
    #[error("`{0}` is no key of a log: keys are paths of lower-case letters, digits and dots, without `..`")]
    Key(String),
    /// The system refused an operation. After a failed write nothing of the batch was acknowledged.
    #[error("{action} `{file}` failed")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file, relative to the log's directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The journal is damaged before its end, so acknowledged batches would be lost.
    #[error(
        "`{file}` is damaged at byte {offset}, before whole batches: restore it from a copy, or move `.journal` and `.journal.2` away and check what is left with `tollgate audit verify`"
    )]
    Damaged {
        /// Which of the journal's files.
        file: &'static str,
        /// Where the broken frame begins.
        offset: u64,
    },
    /// The journal is of a version of Tollgate that is no longer read.
    #[error(
        "`.journal` is of an earlier version: stop that version, check the log with `tollgate audit verify`, and move `.journal` away"
    )]
    Older,
    /// A batch is larger than a journal frame may be.
    #[error("a batch of {bytes} bytes is more than the 256 MiB that the log's store takes at once")]
    TooLarge {
        /// The size of the batch.
        bytes: usize,
    },
}

impl LogStoreError {
    pub(super) fn io(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, file: file.to_owned(), source }
    }
}

/// A directory that holds one log. Calls block on the disk; several threads may share it. When it is dropped, all that
/// was set stands in files.
///
/// Invariant: what [`LogStore::set_many`] acknowledged is in the synced journal, or in synced files.
pub struct LogStore {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Held while the store is open; the system releases it when the process ends, however it ends.
    _lock: std::fs::File,
}

/// What callers and the store's thread share.
struct Shared {
    dir: Dir,
    bounds: Bounds,
    /// Taken before `state`, never after it.
    files: Mutex<Files>,
    state: Mutex<State>,
    /// Wakes the store's thread: there is a first change, or the store closes.
    wake: Condvar,
}

#[derive(Clone, Copy)]
struct Bounds {
    interval: Duration,
    overlay_bytes: usize,
    journal_bytes: u64,
}

struct State {
    journal: Journal,
    /// What is not in files yet.
    overlay: Overlay,
    /// Keys deleted since the last journal frame. They go into the next one, so that replaying older frames does not
    /// bring them back.
    deleted: Vec<String>,
    /// What is on disk is not known, until the journal has been written out anew.
    in_doubt: bool,
    closing: bool,
}

impl LogStore {
    /// Opens the store in `directory`, making the directory if there is none, and completes what a stopped process
    /// left in the journal.
    ///
    /// # Errors
    /// If another process has it open, the system refuses, or the journal is damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogStoreError> {
        let bounds =
            Bounds { interval: INTERVAL, overlay_bytes: OVERLAY_BYTES, journal_bytes: JOURNAL_BYTES };
        Self::open_with(directory.as_ref(), bounds)
    }

    fn open_with(directory: &Path, bounds: Bounds) -> Result<Self, LogStoreError> {
        let dir = open_directory(directory)?;
        let lock = lock(&dir, LOCK_FILE)?.ok_or_else(|| LogStoreError::Locked(directory.to_owned()))?;
        let again = dir.try_clone().map_err(LogStoreError::io("opening", "."))?;
        let mut files = Files::new(again);
        let journal = recover(&dir, &mut files, &[])?;
        let state = State {
            journal,
            overlay: Overlay::default(),
            deleted: Vec::new(),
            in_doubt: false,
            closing: false,
        };
        let (files, state, wake) = (Mutex::new(files), Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { dir, bounds, files, state, wake });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("log-files".into()).spawn(move || work.run());
        let thread = thread.map_err(LogStoreError::io("starting a thread for", "."))?;
        Ok(Self { shared, thread: Some(thread), _lock: lock })
    }

    /// The value of a key, if there is one. A partial tile is there until a wider one of the same place is set; if it
    /// became a file by then, until it is deleted.
    ///
    /// # Errors
    /// If the key is none, or the system refuses.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, LogStoreError> {
        key::check(key)?;
        let state = self.shared.state()?;
        if let Some(change) = state.overlay.get(key) {
            return Ok(change.map(|value| value.to_vec()));
        }
        drop(state);
        files::read(&self.shared.dir, key)
    }

    /// Writes all of these, durably, or none.
    ///
    /// # Errors
    /// If a key is none, the batch is too large, or the system refuses. When it refused to write the journal, or to
    /// write what earlier calls have set to files (a full disk), nothing has changed and the call may be repeated. When
    /// it refused to sync the journal, the batch is there as a whole or not at all: the next call that succeeds tells.
    pub fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<(), LogStoreError> {
        for (key, _) in &values {
            key::check(key)?;
        }
        if values.is_empty() {
            return Ok(());
        }
        let mut state = self.shared.state_with_room()?;
        let first = state.overlay.is_empty();
        state.set_many(values)?;
        self.shared.changed(first);
        Ok(())
    }

    /// Deletes those of these keys that exist. A deletion is durable with the next [`LogStore::set_many`].
    ///
    /// # Errors
    /// If a key is none, or the system refuses.
    pub fn delete_many(&self, keys: &[String]) -> Result<(), LogStoreError> {
        for key in keys {
            key::check(key)?;
        }
        let mut state = self.shared.state()?;
        let first = state.overlay.is_empty();
        for key in keys {
            state.overlay.set(key.clone(), None, |_| false);
            state.deleted.push(key.clone());
        }
        self.shared.changed(first);
        Ok(())
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // What it could not write is in the journal.
            drop(thread.join());
        }
    }
}

impl State {
    fn set_many(&mut self, values: Vec<(String, Vec<u8>)>) -> Result<(), LogStoreError> {
        let deleted = self.deleted.iter().map(|key| (key.as_str(), None));
        let set = values.iter().map(|(key, value)| (key.as_str(), Some(value.as_slice())));
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
    /// The state, and no doubt about it.
    fn state(&self) -> Result<MutexGuard<'_, State>, LogStoreError> {
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
    fn state_with_room(&self) -> Result<MutexGuard<'_, State>, LogStoreError> {
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
    fn changed(&self, first: bool) {
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
    fn write_out(&self, files: &mut Files) -> Result<(), LogStoreError> {
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
    fn begin_journal(&self) -> Result<(), LogStoreError> {
        let mut files = self.files.lock();
        self.write_out(&mut files)?;
        let synced = files.sync();
        let mut state = self.state.lock();
        if state.in_doubt {
            return synced;
        }
        let State { journal, overlay, .. } = &mut *state;
        let changes: Vec<Change<'_>> =
            overlay.iter().map(|(key, value)| (key, value.map(|value| &**value))).collect();
        let begun = synced.and_then(|()| journal.begin(&changes));
        state.in_doubt = begun.is_err();
        begun
    }

    /// What the store's thread does: writes the overlay out, an interval after its first change each time, and a last
    /// time when the store closes.
    fn run(&self) {
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
                tracing::warn!(target: "tollgate::log_store", %error, "the audit log's files can't be written");
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

/// Opens a directory, making it durably if there is none.
fn open_directory(path: &Path) -> Result<Dir, LogStoreError> {
    let name = path.to_string_lossy();
    let open = || -> io::Result<Dir> {
        if !path.exists() {
            std::fs::create_dir_all(path)?;
            if let Some(parent) = path.canonicalize()?.parent() {
                std::fs::File::open(parent)?.sync_all()?;
            }
        }
        Dir::open_ambient_dir(path, ambient_authority())
    };
    open().map_err(LogStoreError::io("opening the directory", &name))
}

/// Takes the lock of a directory; none if another process, or another opening in this one, has it.
fn lock(dir: &Dir, name: &str) -> Result<Option<std::fs::File>, LogStoreError> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    let file = dir.open_with(name, &options).map_err(LogStoreError::io("opening", name))?.into_std();
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(LogStoreError::io("locking", name)(error)),
    }
}

#[cfg(test)]
mod tests;
