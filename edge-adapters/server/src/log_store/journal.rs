//! The redo journal: one file of checked frames, each a whole batch.
//!
//! A frame is `TGJ1`, the length of its payload and of the payload unpacked (two little-endian 32-bit numbers), the
//! BLAKE3 hash of both lengths and the payload, and the payload: an lz4 block. Each frame is synced before the next one
//! is written, so a crash can break the last frame only.

use std::io;
use std::os::unix::fs::FileExt as _;

use cap_std::fs::{Dir, OpenOptions};

use super::{LogStoreError, sync_directory};

pub(super) const JOURNAL_FILE: &str = ".journal";

const MAGIC: [u8; 4] = *b"TGJ1";
const HEADER_BYTES: usize = 4 + 4 + 4 + 32;

/// The most that a batch may have, packed or not.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// One change of a batch: a new value, or none for a deletion.
pub(super) struct Change<'a> {
    pub(super) key: &'a str,
    pub(super) value: Option<&'a [u8]>,
}

/// A batch read back: keys, and their new values, or none for a deletion.
pub(super) type Batch = Vec<(String, Option<Vec<u8>>)>;

/// A file that can fail.
pub(super) trait JournalFile: Send {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
}

impl JournalFile for std::fs::File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::fs::File::sync_data(self)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        std::fs::File::set_len(self, len)
    }
}

/// Why a batch was not written, and whether it may be in the journal all the same.
pub(super) struct Failure {
    pub(super) error: LogStoreError,
    pub(super) unknown: bool,
}

pub(super) struct Journal {
    pub(super) file: Box<dyn JournalFile>,
    /// The end of the last whole frame.
    len: u64,
}

impl Journal {
    /// Opens the journal, making it durably if there is none, and reads the batches in it.
    pub(super) fn open(dir: &Dir) -> Result<(Self, Vec<Batch>), LogStoreError> {
        let failed = LogStoreError::io;
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let file = dir.open_with(JOURNAL_FILE, &options).map_err(failed("opening", JOURNAL_FILE))?.into_std();
        sync_directory(dir, ".").map_err(failed("syncing", "."))?;
        let len = file.metadata().map_err(failed("reading", JOURNAL_FILE))?.len();
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0).map_err(failed("reading", JOURNAL_FILE))?;
        let (batches, len) = read_batches(&bytes)?;
        Ok((Self { file: Box::new(file), len }, batches))
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a batch and syncs it.
    pub(super) fn append(&mut self, changes: &[Change<'_>]) -> Result<(), Failure> {
        let known = |error| Failure { error, unknown: false };
        let frame = frame(changes).map_err(known)?;
        if let Err(error) = self.file.write_all_at(&frame, self.len) {
            // A part of the frame may be there. Without it the journal is as before; with it, a later frame behind it
            // would look like damage.
            let unknown = self.file.set_len(self.len).is_err();
            return Err(Failure { error: LogStoreError::io("writing", JOURNAL_FILE)(error), unknown });
        }
        // After a failed sync the system may have dropped the pages and forgotten the error: a second try proves
        // nothing.
        self.file.sync_data().map_err(|error| Failure {
            error: LogStoreError::io("syncing", JOURNAL_FILE)(error),
            unknown: true,
        })?;
        self.len += frame.len() as u64;
        Ok(())
    }

    /// Empties the journal. Its batches must be in synced files.
    pub(super) fn clear(&mut self) -> Result<(), LogStoreError> {
        self.file.set_len(0).map_err(LogStoreError::io("emptying", JOURNAL_FILE))?;
        self.len = 0;
        Ok(())
    }
}

/// The frame of a batch.
fn frame(changes: &[Change<'_>]) -> Result<Vec<u8>, LogStoreError> {
    let bytes = changes.iter().map(|c| 9 + c.key.len() + c.value.map_or(0, <[u8]>::len)).sum();
    let too_large = || LogStoreError::TooLarge { bytes };
    if bytes > MAX_BATCH_BYTES {
        return Err(too_large());
    }
    let mut batch = Vec::with_capacity(bytes);
    for change in changes {
        let text = |bytes: &[u8], batch: &mut Vec<u8>| {
            batch.extend_from_slice(&u32::try_from(bytes.len()).map_err(|_| too_large())?.to_le_bytes());
            batch.extend_from_slice(bytes);
            Ok::<(), LogStoreError>(())
        };
        batch.push(u8::from(change.value.is_some()));
        text(change.key.as_bytes(), &mut batch)?;
        if let Some(value) = change.value {
            text(value, &mut batch)?;
        }
    }
    let payload = lz4_flex::block::compress(&batch);
    let mut frame = MAGIC.to_vec();
    frame.reserve_exact(HEADER_BYTES + payload.len());
    for length in [payload.len(), batch.len()] {
        frame.extend_from_slice(&u32::try_from(length).map_err(|_| too_large())?.to_le_bytes());
    }
    let hash = hash(frame.get(4..).unwrap_or_default(), &payload);
    frame.extend_from_slice(&hash);
    frame.extend_from_slice(&payload);
    Ok(frame)
}

fn hash(lengths: &[u8], payload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(lengths).update(payload).finalize().as_bytes()
}

/// A whole frame at the beginning of `bytes`: its unpacked length, its payload, and its own length.
fn whole_frame(bytes: &[u8]) -> Option<(usize, &[u8], usize)> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, header) = header.split_first_chunk::<4>()?;
    let (lengths, expected) = header.split_first_chunk::<8>()?;
    let (packed, unpacked) = lengths.split_first_chunk::<4>()?;
    let packed = usize::try_from(u32::from_le_bytes(*packed)).ok()?;
    let unpacked = usize::try_from(u32::from_le_bytes(*unpacked.first_chunk()?)).ok()?;
    if *magic != MAGIC || unpacked > MAX_BATCH_BYTES {
        return None;
    }
    let payload = rest.get(..packed)?;
    (hash(lengths, payload) == expected).then_some((unpacked, payload, HEADER_BYTES + packed))
}

/// The batches of a journal, and where the last whole frame ends.
fn read_batches(bytes: &[u8]) -> Result<(Vec<Batch>, u64), LogStoreError> {
    let mut batches = Vec::new();
    let mut rest = bytes;
    let mut end = 0;
    while let Some((unpacked, payload, len)) = whole_frame(rest) {
        let damaged = LogStoreError::Damaged { offset: end };
        let batch = lz4_flex::block::decompress(payload, unpacked).ok().and_then(|batch| read_batch(&batch));
        batches.push(batch.ok_or(damaged)?);
        end += len as u64;
        rest = rest.get(len..).unwrap_or_default();
    }
    // What follows was never acknowledged, unless a whole frame comes after it: then an acknowledged one is broken.
    let mut tail = rest;
    while let Some((_, next)) = tail.split_first() {
        tail = next;
        if whole_frame(tail).is_some() {
            return Err(LogStoreError::Damaged { offset: end });
        }
    }
    Ok((batches, end))
}

/// The changes in an unpacked batch; none if it breaks off.
fn read_batch(mut bytes: &[u8]) -> Option<Batch> {
    fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        *bytes = rest;
        Some(text)
    }
    let mut batch = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        let key = String::from_utf8(text(&mut bytes)?.to_vec()).ok()?;
        let value = match kind {
            0 => None,
            1 => Some(text(&mut bytes)?.to_vec()),
            _ => return None,
        };
        batch.push((key, value));
    }
    Some(batch)
}
