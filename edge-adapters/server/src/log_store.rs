//! The audit log's place on disk: a directory that is a durable key-value store, and the book of open requests.
//!
//! Every key is a plain file of that name, so that any C2SP tlog-tiles client, or a web server, reads the log as it
//! stands. What makes a batch atomic and durable is the redo journal, the file `.journal`:
//!
//! 1. [`LogStore::set_many`] appends the whole batch to the journal as one checked frame and syncs it. From here on the
//!    batch is durable.
//! 2. It writes the files, each under another name first and then renamed. They are not synced one by one.
//! 3. When the journal has grown past [`JOURNAL_BYTES`], all files are synced and the journal is emptied.
//!
//! [`LogStore::open`] writes the batches in the journal once more, so that files that a power cut has torn or lost are
//! whole again. A frame that breaks off at the journal's end is a batch that was never acknowledged, and is dropped. A
//! broken frame with a whole one after it is damage, and the store does not open.
//!
//! After a failed sync, or when a file could not be written, the store is in doubt: the failed call's batch is there as a
//! whole or not at all, and nobody knows which. The next call reads the journal and writes its batches once more, as at
//! opening, before it does anything else; so a disk that was full, or a process that had too many files open, needs no
//! restart.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use parking_lot::Mutex;

mod journal;
mod key;
mod open_book;

use journal::{Change, Journal};
pub use open_book::{OpenBook, OpenBookError, OpenedRequest};

/// How long the journal may grow before the files are synced and it is emptied.
const JOURNAL_BYTES: u64 = 8 << 20;

/// The file that a writing process holds locked.
const LOCK_FILE: &str = ".lock";

/// What a file is called while it is being written.
const TEMPORARY_FILE: &str = ".temporary";

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
        "`.journal` is damaged at byte {offset}, before whole batches: restore it from a copy, or check the log with `tollgate audit verify` and move `.journal` away"
    )]
    Damaged {
        /// Where the broken frame begins.
        offset: u64,
    },
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

/// A directory that holds one log. Calls block on the disk; several threads may share it.
///
/// Invariant: what [`LogStore::set_many`] acknowledged is in the synced journal, or in synced files.
pub struct LogStore {
    files: Files,
    writer: Mutex<Writer>,
    /// Held while the store is open; the system releases it when the process ends, however it ends.
    _lock: std::fs::File,
}

struct Writer {
    journal: Journal,
    /// Keys written since the files were last synced.
    unsynced: BTreeSet<String>,
    /// Keys deleted since the last journal frame. They go into the next one, so that replaying older frames does not
    /// bring them back.
    deleted: Vec<String>,
    /// What is on disk is not known, until the journal has been written out anew.
    in_doubt: bool,
    /// When to empty the journal.
    journal_bytes: u64,
}

impl LogStore {
    /// Opens the store in `directory`, making the directory if there is none, and completes what a stopped process
    /// left in the journal.
    ///
    /// # Errors
    /// If another process has it open, the system refuses, or the journal is damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogStoreError> {
        let directory = directory.as_ref();
        let dir = open_directory(directory)?;
        let lock = lock(&dir, LOCK_FILE)?.ok_or_else(|| LogStoreError::Locked(directory.to_owned()))?;
        let whole = dir.open(".").map_err(LogStoreError::io("opening", "."))?.into_std();
        let files = Files { dir, whole, known: Mutex::new(HashSet::new()) };
        let (journal, batches) = Journal::open(&files.dir)?;
        let mut writer = Writer {
            journal,
            unsynced: BTreeSet::new(),
            deleted: Vec::new(),
            in_doubt: false,
            journal_bytes: JOURNAL_BYTES,
        };
        writer.replay(&files, batches)?;
        Ok(Self { files, writer: Mutex::new(writer), _lock: lock })
    }

    /// The value of a key, if there is one. During a [`LogStore::set_many`] on another thread, some keys may have
    /// their new values and others not yet.
    ///
    /// # Errors
    /// If the key is none, or the system refuses.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, LogStoreError> {
        key::check(key)?;
        self.writer.lock().settle_doubt(&self.files)?;
        self.files.read(key)
    }

    /// Writes all of these, durably, or none. Files appear in the given order.
    ///
    /// # Errors
    /// If a key is none, the batch is too large, or the system refuses. When it refused to write the journal (a full
    /// disk), nothing has changed and the call may be repeated. When it refused to sync it, or to write a file
    /// afterwards, the batch is there as a whole or not at all: the next call that succeeds tells.
    pub fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<(), LogStoreError> {
        for (key, _) in &values {
            key::check(key)?;
        }
        if values.is_empty() {
            return Ok(());
        }
        self.writer.lock().set_many(&self.files, &values)
    }

    /// Deletes those of these keys that exist. A deletion is durable with the next [`LogStore::set_many`].
    ///
    /// # Errors
    /// If a key is none, or the system refuses.
    pub fn delete_many(&self, keys: &[String]) -> Result<(), LogStoreError> {
        for key in keys {
            key::check(key)?;
        }
        let mut writer = self.writer.lock();
        writer.settle_doubt(&self.files)?;
        for key in keys {
            if self.files.remove(key)? {
                writer.unsynced.remove(key);
                writer.deleted.push(key.clone());
            }
        }
        Ok(())
    }
}

impl Writer {
    fn set_many(&mut self, files: &Files, values: &[(String, Vec<u8>)]) -> Result<(), LogStoreError> {
        self.settle_doubt(files)?;
        let deleted = self.deleted.iter().map(|key| Change { key, value: None });
        let set = values.iter().map(|(key, value)| Change { key, value: Some(value) });
        let changes: Vec<Change<'_>> = deleted.chain(set).collect();
        if let Err(failure) = self.journal.append(&changes) {
            self.in_doubt = failure.unknown;
            return Err(failure.error);
        }
        self.deleted.clear();
        // The batch is durable. A file that cannot be written now is written by the next call; until then a reader
        // would see half a batch.
        let applied = self.apply(files, values);
        self.in_doubt = applied.is_err();
        applied?;
        if self.journal.len() > self.journal_bytes {
            // The batch is durable whether or not this works.
            self.in_doubt = self.empty_journal(files).is_err();
        }
        Ok(())
    }

    /// Makes the files what the journal says, if an earlier call left that open.
    fn settle_doubt(&mut self, files: &Files) -> Result<(), LogStoreError> {
        if !self.in_doubt {
            return Ok(());
        }
        let (journal, batches) = Journal::open(&files.dir)?;
        self.journal = journal;
        self.replay(files, batches)?;
        // Older batches have brought these back.
        for key in std::mem::take(&mut self.deleted) {
            files.remove(&key)?;
        }
        self.in_doubt = false;
        Ok(())
    }

    fn apply(&mut self, files: &Files, values: &[(String, Vec<u8>)]) -> Result<(), LogStoreError> {
        for (key, value) in values {
            files.write(key, value)?;
            self.unsynced.insert(key.clone());
        }
        Ok(())
    }

    fn empty_journal(&mut self, files: &Files) -> Result<(), LogStoreError> {
        let synced = sync_filesystem(files).map_err(LogStoreError::io("syncing", "."))?;
        if !synced {
            files.sync(&self.unsynced)?;
        }
        self.unsynced.clear();
        self.journal.clear()
    }

    /// Makes the files what the journal's batches left. A later batch hides what an earlier one wrote, so each key is
    /// written once, and those in directories first: readers begin at `checkpoint`.
    fn replay(&mut self, files: &Files, batches: Vec<journal::Batch>) -> Result<(), LogStoreError> {
        let mut last = BTreeMap::new();
        for batch in batches {
            for (key, value) in batch {
                key::check(&key)?;
                last.insert(key, value);
            }
        }
        let (inner, outer): (Vec<_>, Vec<_>) = last.into_iter().partition(|(key, _)| key.contains('/'));
        for (key, value) in inner.into_iter().chain(outer) {
            match value {
                Some(value) => {
                    files.write(&key, &value)?;
                    self.unsynced.insert(key);
                }
                None => drop(files.remove(&key)?),
            }
        }
        self.empty_journal(files)
    }
}

/// The files of the log.
struct Files {
    dir: Dir,
    /// The directory again, open from the start, so that a sync reports every failed write since then.
    whole: std::fs::File,
    /// Directories that are known to exist.
    known: Mutex<HashSet<String>>,
}

impl Files {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, LogStoreError> {
        let mut file = match self.dir.open(key) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogStoreError::io("opening", key)(error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(LogStoreError::io("reading", key))?;
        Ok(Some(bytes))
    }

    /// Replaces a file in one step, as far as readers see. Not synced.
    fn write(&self, key: &str, value: &[u8]) -> Result<(), LogStoreError> {
        if let Some((parent, _)) = key.rsplit_once('/')
            && !self.known.lock().contains(parent)
        {
            self.dir.create_dir_all(parent).map_err(LogStoreError::io("making the directory", parent))?;
            self.known.lock().insert(parent.to_owned());
        }
        let write = || -> io::Result<()> {
            self.dir.create(TEMPORARY_FILE)?.write_all(value)?;
            self.dir.rename(TEMPORARY_FILE, &self.dir, key)
        };
        write().map_err(LogStoreError::io("writing", key))
    }

    /// Deletes a file, and says whether there was one.
    fn remove(&self, key: &str) -> Result<bool, LogStoreError> {
        match self.dir.remove_file(key) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LogStoreError::io("deleting", key)(error)),
        }
    }

    /// Syncs these files and the directories over them, one by one.
    fn sync(&self, keys: &BTreeSet<String>) -> Result<(), LogStoreError> {
        let mut directories = BTreeSet::from(["."]);
        for key in keys {
            let file = self.dir.open(key).map_err(LogStoreError::io("opening", key))?;
            file.sync_all().map_err(LogStoreError::io("syncing", key))?;
            directories.extend(key.match_indices('/').filter_map(|(end, _)| key.get(..end)));
        }
        for directory in directories {
            sync_directory(&self.dir, directory).map_err(LogStoreError::io("syncing", directory))?;
        }
        Ok(())
    }
}

/// Syncs the whole file system at once, where the system can and reports errors; says whether it did. Hundreds of
/// small files are synced many times faster so than one by one.
#[cfg(target_os = "linux")]
fn sync_filesystem(files: &Files) -> io::Result<bool> {
    rustix::fs::syncfs(&files.whole)?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn sync_filesystem(_files: &Files) -> io::Result<bool> {
    Ok(false)
}

/// Makes the names in a directory durable.
fn sync_directory(dir: &Dir, path: &str) -> io::Result<()> {
    dir.open(path)?.sync_all()
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
