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
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

mod files;
mod journal;
mod key;
mod open_book;
mod overlay;
mod reader;
mod shared;

pub use open_book::{OpenBook, OpenBookError, OpenedRequest};
pub use reader::LogReader;
use shared::{Bounds, Shared};

/// How long changes are collected before they are written to files. A client of the files polls every few seconds at
/// best; four writes a second cost the host nothing.
const INTERVAL: Duration = Duration::from_millis(250);

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
        let shared = Arc::new(Shared::open(dir, bounds)?);
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
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // What it could not write is in the journal.
            drop(thread.join());
        }
    }
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
