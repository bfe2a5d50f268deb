//! The book of open requests: which admitted requests have no audit record yet.
//!
//! A host that is killed leaves requests without a record. It notes each admitted request here before it runs, and
//! strikes it out after its record is durable; the next start writes a record for what is left. A note costs one
//! `write` system call and no sync: the page cache survives the process. After a power cut the newest notes may be
//! missing, and with them the requests themselves, for which nothing was acknowledged.
//!
//! The book is one file, `.open`. When it has grown past [`BOOK_BYTES`] and holds mostly struck-out notes, the open
//! ones are copied to a new file that takes its place.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions};
use parking_lot::Mutex;

use super::{LogStoreError, lock, open_directory};

const BOOK_FILE: &str = ".open";
const NEW_BOOK_FILE: &str = ".open.new";
const LOCK_FILE: &str = ".open.lock";

/// When to copy the open notes to a new file.
const BOOK_BYTES: u64 = 4 << 20;

/// The most bytes of open notes.
const MAX_OPEN_BYTES: u64 = 16 << 20;

/// The most that the file may have if copying fails again and again.
const MAX_BOOK_BYTES: u64 = 64 << 20;

/// The most bytes of one note, so that a length of 16 bits holds each part of it.
const MAX_NOTE_BYTES: usize = 65_535;

const OPENED: u8 = 1;
const CLOSED: u8 = 2;

/// Length of a frame's head: its body's length (32 bits), and 8 bytes of the body's BLAKE3 hash.
const HEAD_BYTES: usize = 12;

/// Why the book could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum OpenBookError {
    /// Another process has the book open.
    #[error(
        "the book of open requests in `{0}` is open in another process: stop it, or use another directory"
    )]
    Locked(PathBuf),
    /// The system refused an operation. The request is not noted, or not struck out.
    #[error("the book of open requests: {action} failed")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A note of this many bytes is too large.
    #[error("a note of {0} bytes on an open request is more than 65,535")]
    TooLarge(usize),
    /// 16 MiB of requests are open, or the file has 64 MiB and the disk has no room for a copy of its open notes.
    #[error("the book of open requests is full: too many requests run at one time, or the disk is full")]
    Full,
    /// A request of this id is open already.
    #[error("request `{0}` is open already")]
    Duplicate(String),
    /// An earlier write failed and could not be taken back.
    #[error(
        "the book of open requests stopped after a failed write: free the disk or repair it, then start again"
    )]
    Stopped,
}

impl OpenBookError {
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// A request that was open when the host stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRequest {
    /// The request's id.
    pub request_id: String,
    /// How many records the log had, at least, when the request was noted: a record of it has this index or a higher
    /// one.
    pub log_size: u64,
    /// What the host noted of it.
    pub bytes: Vec<u8>,
}

/// The book of open requests. Threads may share it.
pub struct OpenBook {
    dir: Dir,
    book: Mutex<Book>,
    _lock: std::fs::File,
}

struct Book {
    file: std::fs::File,
    /// The file's length: the end of its last whole frame.
    len: u64,
    /// Open notes by request id: their order, and their frames.
    open: HashMap<String, (u64, Vec<u8>)>,
    open_bytes: u64,
    /// Notes of an earlier run are those before this place in the order.
    first_of_this_run: u64,
    next: u64,
    log_size: u64,
    copy_at: u64,
    stopped: bool,
}

impl OpenBook {
    /// Opens the book in `directory`, making both if there is none. `log_size` is the number of records in the log.
    ///
    /// # Errors
    /// If another process has it open, or the system refuses.
    pub fn open(directory: impl AsRef<Path>, log_size: u64) -> Result<Self, OpenBookError> {
        let directory = directory.as_ref();
        let from_store = |error| match error {
            LogStoreError::Io { action, source, .. } => OpenBookError::Io { action, source },
            _ => OpenBookError::Locked(directory.to_owned()),
        };
        let dir = open_directory(directory).map_err(from_store)?;
        let lock = lock(&dir, LOCK_FILE).map_err(from_store)?;
        let lock = lock.ok_or_else(|| OpenBookError::Locked(directory.to_owned()))?;
        let mut bytes = Vec::new();
        let file = open_file(&dir, BOOK_FILE).map_err(OpenBookError::io("opening it"))?;
        (&file).read_to_end(&mut bytes).map_err(OpenBookError::io("reading it"))?;
        let mut book = Book {
            file,
            len: bytes.len() as u64,
            open: HashMap::new(),
            open_bytes: 0,
            first_of_this_run: 0,
            next: 0,
            log_size,
            copy_at: BOOK_BYTES,
            stopped: false,
        };
        book.read(&bytes);
        book.first_of_this_run = book.next;
        // A fresh file has no torn end behind which new notes would be lost.
        book.copy(&dir)?;
        Ok(Self { dir, book: Mutex::new(book), _lock: lock })
    }

    /// Notes that a request was admitted, with what the host needs to write its record should it be killed.
    ///
    /// # Errors
    /// If the note is too large, the id is open already, the book is full, or the system refuses: then nothing is
    /// noted, and the request must not run.
    pub fn open_entry(&self, request_id: &str, bytes: &[u8]) -> Result<(), OpenBookError> {
        let note_bytes = request_id.len() + bytes.len();
        if note_bytes > MAX_NOTE_BYTES {
            return Err(OpenBookError::TooLarge(note_bytes));
        }
        let mut book = self.book.lock();
        if book.open.contains_key(request_id) {
            return Err(OpenBookError::Duplicate(request_id.to_owned()));
        }
        let frame = opened_frame(request_id, book.log_size, bytes);
        if book.open_bytes + frame.len() as u64 > MAX_OPEN_BYTES {
            return Err(OpenBookError::Full);
        }
        book.write(&frame, &self.dir)?;
        book.insert(request_id.to_owned(), frame);
        Ok(())
    }

    /// Strikes out requests whose records are durable. `log_size` is the number of records in the log by now. An id
    /// that is not open is passed over.
    ///
    /// # Errors
    /// If the system refuses: then the next start finds these requests open, and finds their records in the log.
    pub fn closed(&self, request_ids: &[&str], log_size: u64) -> Result<(), OpenBookError> {
        let mut book = self.book.lock();
        book.log_size = book.log_size.max(log_size);
        let mut body = vec![CLOSED];
        for id in request_ids.iter().filter(|id| book.open.contains_key(**id)) {
            push_text(&mut body, id);
        }
        if body.len() == 1 {
            return Ok(());
        }
        book.write(&frame(&body), &self.dir)?;
        for id in request_ids {
            book.remove(id);
        }
        Ok(())
    }

    /// The requests that an earlier run left open and this one has not closed, in the order in which they were noted.
    /// A record of them may be durable all the same, if the host was killed just then: look for it in the log from
    /// [`OpenedRequest::log_size`] on before writing one.
    #[must_use]
    pub fn recover(&self) -> Vec<OpenedRequest> {
        let book = self.book.lock();
        let mut left: Vec<_> = book.open.values().filter(|(at, _)| *at < book.first_of_this_run).collect();
        left.sort_unstable_by_key(|(at, _)| *at);
        left.into_iter().filter_map(|(_, frame)| read_opened(frame.get(HEAD_BYTES..)?)).collect()
    }
}

impl Book {
    fn insert(&mut self, request_id: String, frame: Vec<u8>) {
        self.open_bytes += frame.len() as u64;
        self.open.insert(request_id, (self.next, frame));
        self.next += 1;
    }

    fn remove(&mut self, request_id: &str) {
        if let Some((_, frame)) = self.open.remove(request_id) {
            self.open_bytes -= frame.len() as u64;
        }
    }

    /// Appends a frame with one system call.
    fn write(&mut self, frame: &[u8], dir: &Dir) -> Result<(), OpenBookError> {
        if self.stopped {
            return Err(OpenBookError::Stopped);
        }
        let full = |len: u64| len + frame.len() as u64 > MAX_BOOK_BYTES;
        let long = self.len > self.copy_at.max(2 * self.open_bytes);
        if (long || full(self.len)) && self.copy(dir).is_err() {
            // The old file is as good as before, only longer: try again later.
            self.copy_at = self.len + BOOK_BYTES;
        }
        if full(self.len) {
            return Err(OpenBookError::Full);
        }
        if let Err(error) = self.file.write_all(frame) {
            // Notes behind half a frame would be lost.
            self.stopped = self.file.set_len(self.len).is_err();
            return Err(OpenBookError::io("writing")(error));
        }
        self.len += frame.len() as u64;
        Ok(())
    }

    /// Copies the open notes to a new file that takes the book's place.
    fn copy(&mut self, dir: &Dir) -> Result<(), OpenBookError> {
        let mut open: Vec<_> = self.open.values().collect();
        open.sort_unstable_by_key(|(at, _)| *at);
        let bytes: Vec<u8> = open.iter().flat_map(|(_, frame)| frame).copied().collect();
        let copy = || -> io::Result<std::fs::File> {
            match dir.remove_file(NEW_BOOK_FILE) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = open_file(dir, NEW_BOOK_FILE)?;
            file.write_all(&bytes)?;
            dir.rename(NEW_BOOK_FILE, dir, BOOK_FILE)?;
            Ok(file)
        };
        self.file = copy().map_err(OpenBookError::io("copying the open notes"))?;
        self.len = bytes.len() as u64;
        self.copy_at = BOOK_BYTES;
        Ok(())
    }

    /// Takes in what an earlier run wrote, up to the first frame that is not whole.
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((frame, body, rest)) = whole_frame(bytes) {
            match body.split_first() {
                Some((&OPENED, _)) => {
                    if let Some(opened) = read_opened(body) {
                        self.insert(opened.request_id, frame.to_vec());
                    }
                }
                Some((&CLOSED, mut ids)) => {
                    while let Some(id) = take_text(&mut ids) {
                        self.remove(&id);
                    }
                }
                _ => {}
            }
            bytes = rest;
        }
    }
}

fn open_file(dir: &Dir, name: &str) -> io::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true);
    Ok(dir.open_with(name, &options)?.into_std())
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&short_hash(body));
    frame.extend_from_slice(body);
    frame
}

fn short_hash(body: &[u8]) -> [u8; 8] {
    blake3::hash(body).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The frame at the beginning of `bytes`, its body, and what follows it.
fn whole_frame(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    let frame = bytes.get(..HEAD_BYTES + length)?;
    (short_hash(body) == *expected).then_some((frame, body, rest))
}

fn opened_frame(request_id: &str, log_size: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(11 + request_id.len() + bytes.len());
    body.push(OPENED);
    body.extend_from_slice(&log_size.to_le_bytes());
    push_text(&mut body, request_id);
    body.extend_from_slice(bytes);
    frame(&body)
}

fn read_opened(body: &[u8]) -> Option<OpenedRequest> {
    let (log_size, mut rest) = body.strip_prefix(&[OPENED])?.split_first_chunk::<8>()?;
    let request_id = take_text(&mut rest)?;
    Some(OpenedRequest { request_id, log_size: u64::from_le_bytes(*log_size), bytes: rest.to_vec() })
}

/// A text of less than 64 KiB, after its length.
fn push_text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests;
