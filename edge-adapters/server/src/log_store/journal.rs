//! The redo journal: two files of checked frames, each frame a whole batch. One of the files is live.
//!
//! A frame is `TGJ2`, the number of its generation (64 bits), the length of its payload and of the payload unpacked
//! (32 bits each, little-endian all three), the BLAKE3 hash of these numbers and the payload, and the payload: an lz4
//! block. A value that an earlier one of the generation begins is told by that one's key and what follows. A frame
//! begins at a multiple of 4 KiB, so writing one touches no block of another. Each frame is synced before the
//! next one is written, so a crash can break the last frame only.
//!
//! A generation begins over whatever stands in the file that is not live, with a frame that holds all that is not in
//! synced files. Once that frame is synced, its file is the live one: the one whose first frame is whole and of the
//! higher generation. If a crash breaks it, the other file is still live, and complete. Behind the frames of a generation
//! there may be frames of older ones, which mean nothing. No frame of the same or a newer generation can be there, or in
//! the other file, unless one before it is damaged.
//!
//! Files are filled with zeros ahead of their frames, in steps that double, and never shrink. So a sync finds blocks in
//! place and no metadata to commit, which on ext4 halves its time, and keeps it from waiting for what other files and
//! processes have to commit.

use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use cap_std::fs::{Dir, OpenOptions};

use super::LogStoreError;
use super::files::sync_directory;
use super::overlay::Overlay;

/// The journal's files. The first generation begins in the first.
pub(super) const JOURNAL_FILES: [&str; 2] = [".journal", ".journal.2"];

const MAGIC: [u8; 4] = *b"TGJ2";
const OLDER_MAGIC: &[u8] = b"TGJ1";
const NUMBERS_BYTES: usize = 8 + 4 + 4;
/// The bytes of a frame before its payload.
pub(super) const HEADER_BYTES: usize = 4 + NUMBERS_BYTES + 32;

/// Frames begin at multiples of this.
const BLOCK_BYTES: usize = 4_096;

/// How long a journal file is at least, once it is used.
const FIRST_BYTES: u64 = 64 << 10;

/// The most that a batch may have, packed or not.
const MAX_BATCH_BYTES: usize = 256 << 20;

/// A change of a batch.
pub(super) struct Change<'a> {
    key: &'a str,
    what: What<'a>,
}

enum What<'a> {
    Deleted,
    Set(&'a [u8]),
    /// The value that this key had before the batch, and these bytes. A tile grows with each batch, and most of it is in
    /// an earlier frame of the same generation.
    Grown {
        from: &'a str,
        by: &'a [u8],
    },
}

impl<'a> Change<'a> {
    /// All that is in the overlay, as a whole.
    pub(super) fn all(overlay: &'a Overlay) -> Vec<Self> {
        let what = |value: Option<&'a Bytes>| value.map_or(What::Deleted, |value| What::Set(value));
        overlay.iter().map(|(key, value)| Self { key, what: what(value) }).collect()
    }

    /// The deletion of a key.
    pub(super) fn deleted(key: &'a str) -> Self {
        Self { key, what: What::Deleted }
    }

    /// A key's value, as short as it can be told to who has read what stands in the overlay.
    pub(super) fn after(overlay: &'a Overlay, key: &'a str, value: &'a [u8]) -> Self {
        let what = match overlay.prefix_of(key, value) {
            Some((from, part)) => What::Grown { from, by: value.get(part.len()..).unwrap_or_default() },
            None => What::Set(value),
        };
        Self { key, what }
    }

    /// What it is in a frame: a byte for its kind, and its texts.
    fn parts(&self) -> (u8, impl Iterator<Item = &'a [u8]>) {
        let (kind, rest) = match self.what {
            What::Deleted => (0, [None, None]),
            What::Set(value) => (1, [Some(value), None]),
            What::Grown { from, by } => (2, [Some(from.as_bytes()), Some(by)]),
        };
        (kind, [Some(self.key.as_bytes())].into_iter().chain(rest).flatten())
    }
}

/// A file that can fail.
pub(super) trait JournalFile: Send {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

impl JournalFile for std::fs::File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::fs::File::sync_data(self)
    }
}

/// Why a batch was not written, and whether it may be in the journal all the same.
pub(super) struct Failure {
    pub(super) error: LogStoreError,
    pub(super) unknown: bool,
}

/// One of the journal's files.
pub(super) struct Half {
    pub(super) name: &'static str,
    pub(super) file: Box<dyn JournalFile>,
    /// How many bytes have their blocks.
    filled: u64,
}

pub(super) struct Journal {
    pub(super) live: Half,
    pub(super) other: Half,
    generation: u64,
    /// Where the next frame of the live file begins.
    end: u64,
}

impl Journal {
    /// Opens the journal, making it durably if there is none, and reads what is in it. Before the first append a
    /// generation must begin: the live file may end in half a frame.
    pub(super) fn open(dir: &Dir, keep: impl Fn(&str) -> bool) -> Result<(Self, Overlay), LogStoreError> {
        let [first_name, second_name] = JOURNAL_FILES;
        let (first, first_bytes) = open(dir, first_name)?;
        let (second, second_bytes) = open(dir, second_name)?;
        sync_directory(dir, ".").map_err(LogStoreError::io("syncing", "."))?;
        let found = Found::read(&first_bytes, &second_bytes)?;
        let overlay = found.overlay(keep)?;
        let (live, other) = if found.first { (first, second) } else { (second, first) };
        Ok((Self { live, other, generation: found.generation, end: found.end as u64 }, overlay))
    }

    /// How long the journal has grown.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Appends a batch and syncs it.
    pub(super) fn append(&mut self, changes: &[Change<'_>]) -> Result<(), Failure> {
        let known = |error| Failure { error, unknown: false };
        let frame = frame(self.generation, changes).map_err(known)?;
        // What a failed write leaves is no whole frame, and the next one is written over it.
        self.live.write(&frame, self.end).map_err(known)?;
        // After a failed sync the system may have dropped the pages and forgotten the error: a second try proves
        // nothing.
        self.live.sync().map_err(|error| Failure { error, unknown: true })?;
        self.end += whole_blocks(frame.len());
        Ok(())
    }

    /// Begins a generation with these changes. Everything else that the journal holds must be in synced files.
    pub(super) fn begin(&mut self, changes: &[Change<'_>]) -> Result<(), LogStoreError> {
        if self.generation == 0 {
            // Before anything is acknowledged both files have frames, and before one has, the other is not empty. So a
            // file that is gone is missed.
            self.live.fill(FIRST_BYTES).map_err(LogStoreError::io("writing", self.live.name))?;
            self.live.sync()?;
            self.begin_next(&[])?;
        }
        self.begin_next(changes)
    }

    fn begin_next(&mut self, changes: &[Change<'_>]) -> Result<(), LogStoreError> {
        let frame = frame(self.generation + 1, changes)?;
        self.other.write(&frame, 0)?;
        self.other.sync()?;
        std::mem::swap(&mut self.live, &mut self.other);
        self.generation += 1;
        self.end = whole_blocks(frame.len());
        Ok(())
    }
}

impl Half {
    fn write(&mut self, frame: &[u8], offset: u64) -> Result<(), LogStoreError> {
        let filled = self.fill(offset + whole_blocks(frame.len()));
        filled
            .and_then(|()| self.file.write_all_at(frame, offset))
            .map_err(LogStoreError::io("writing", self.name))
    }

    /// Makes blocks for the file's first `wanted` bytes, and as many again.
    fn fill(&mut self, wanted: u64) -> io::Result<()> {
        if wanted <= self.filled {
            return Ok(());
        }
        let target = wanted.next_power_of_two().max(FIRST_BYTES);
        let zeros = vec![0; FIRST_BYTES as usize];
        for offset in (self.filled..target).step_by(zeros.len()) {
            self.file.write_all_at(&zeros, offset)?;
        }
        self.filled = target;
        Ok(())
    }

    fn sync(&self) -> Result<(), LogStoreError> {
        self.file.sync_data().map_err(LogStoreError::io("syncing", self.name))
    }
}

/// Opens one of the files, making it if it is not there, and reads it.
fn open(dir: &Dir, name: &'static str) -> Result<(Half, Vec<u8>), LogStoreError> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false);
    let file = dir.open_with(name, &options).map_err(LogStoreError::io("opening", name))?.into_std();
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().map_err(LogStoreError::io("reading", name))?;
    let filled = (bytes.len() / BLOCK_BYTES * BLOCK_BYTES) as u64;
    Ok((Half { name, file: Box::new(file), filled }, bytes))
}

/// What the bytes of the two files say.
pub(super) struct Found<'a> {
    /// Whether the first file is live. Before the first generation it is not, so that it begins there.
    first: bool,
    generation: u64,
    /// The frames of the live generation.
    frames: Vec<Frame<'a>>,
    /// Where the last of them ends.
    end: usize,
}

impl<'a> Found<'a> {
    /// Finds the live generation.
    pub(super) fn read(first: &'a [u8], second: &'a [u8]) -> Result<Self, LogStoreError> {
        let begins = |bytes| whole_frame(bytes, 0, 1).map_or(0, |frame| frame.generation);
        let (first_begins, second_begins) = (begins(first), begins(second));
        if first_begins == 0 && first.starts_with(OLDER_MAGIC) {
            return Err(LogStoreError::Older);
        }
        let generation = first_begins.max(second_begins);
        let mut found = Self { first: first_begins > second_begins, generation, frames: Vec::new(), end: 0 };
        let (live, other) = if found.first { (first, second) } else { (second, first) };
        while let Some(frame) = whole_frame(live, found.end, generation.max(1))
            && frame.generation == generation
        {
            found.end += frame.len.next_multiple_of(BLOCK_BYTES);
            found.frames.push(frame);
        }
        // What follows was never acknowledged, unless a whole frame comes after it: then an acknowledged one is broken.
        let later = |bytes: &[u8], from: usize| {
            let mut places = (from..bytes.len()).step_by(BLOCK_BYTES);
            places.any(|offset| whole_frame(bytes, offset, generation.max(1)).is_some())
        };
        if later(live, found.end) {
            return Err(Self::damaged(found.first, found.end));
        }
        if later(other, 0) || (generation > 0 && other.is_empty()) {
            return Err(Self::damaged(!found.first, 0));
        }
        Ok(found)
    }

    /// The changes of the live generation. A partial tile that a wider one followed is among them if it is to `keep`.
    pub(super) fn overlay(&self, keep: impl Fn(&str) -> bool) -> Result<Overlay, LogStoreError> {
        let mut overlay = Overlay::default();
        for frame in &self.frames {
            let batch = lz4_flex::block::decompress(frame.payload, frame.unpacked).ok();
            let read = batch.and_then(|batch| read_batch(&batch, &mut overlay, &keep));
            read.ok_or_else(|| Self::damaged(self.first, frame.offset))?;
        }
        Ok(overlay)
    }

    fn damaged(first: bool, offset: usize) -> LogStoreError {
        let [first_name, second_name] = JOURNAL_FILES;
        LogStoreError::Damaged { file: if first { first_name } else { second_name }, offset: offset as u64 }
    }
}

/// A whole frame.
struct Frame<'a> {
    offset: usize,
    generation: u64,
    unpacked: usize,
    payload: &'a [u8],
    len: usize,
}

/// The bytes that a frame takes in its file.
fn whole_blocks(len: usize) -> u64 {
    len.next_multiple_of(BLOCK_BYTES) as u64
}

/// The frame of a batch.
fn frame(generation: u64, changes: &[Change<'_>]) -> Result<Vec<u8>, LogStoreError> {
    let bytes =
        changes.iter().map(|change| 1 + change.parts().1.map(|text| 4 + text.len()).sum::<usize>()).sum();
    let too_large = || LogStoreError::TooLarge { bytes };
    if bytes > MAX_BATCH_BYTES {
        return Err(too_large());
    }
    let mut batch = Vec::with_capacity(bytes);
    for change in changes {
        let (kind, texts) = change.parts();
        batch.push(kind);
        for text in texts {
            batch.extend_from_slice(&u32::try_from(text.len()).map_err(|_| too_large())?.to_le_bytes());
            batch.extend_from_slice(text);
        }
    }
    let payload = lz4_flex::block::compress(&batch);
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&generation.to_le_bytes());
    for length in [payload.len(), batch.len()] {
        frame.extend_from_slice(&u32::try_from(length).map_err(|_| too_large())?.to_le_bytes());
    }
    let hash = hash(frame.get(4..).unwrap_or_default(), &payload);
    frame.extend_from_slice(&hash);
    frame.extend_from_slice(&payload);
    Ok(frame)
}

fn hash(numbers: &[u8], payload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(numbers).update(payload).finalize().as_bytes()
}

/// The whole frame at this offset, if it is of this generation or a newer one.
fn whole_frame(bytes: &[u8], offset: usize, least: u64) -> Option<Frame<'_>> {
    let (magic, rest) = bytes.get(offset..)?.split_first_chunk::<4>()?;
    let (numbers, rest) = rest.split_first_chunk::<NUMBERS_BYTES>()?;
    let (expected, rest) = rest.split_first_chunk::<32>()?;
    let (generation, lengths) = numbers.split_first_chunk::<8>()?;
    let (packed, unpacked) = lengths.split_first_chunk::<4>()?;
    let generation = u64::from_le_bytes(*generation);
    let packed = usize::try_from(u32::from_le_bytes(*packed)).ok()?;
    let unpacked = usize::try_from(u32::from_le_bytes(*unpacked.first_chunk()?)).ok()?;
    if *magic != MAGIC || generation < least || unpacked > MAX_BATCH_BYTES {
        return None;
    }
    let payload = rest.get(..packed)?;
    let len = HEADER_BYTES + packed;
    (hash(numbers, payload) == *expected).then_some(Frame { offset, generation, unpacked, payload, len })
}

/// Takes over the changes in an unpacked batch; none if it breaks off.
fn read_batch(mut bytes: &[u8], overlay: &mut Overlay, keep: &impl Fn(&str) -> bool) -> Option<()> {
    fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        *bytes = rest;
        Some(text)
    }
    let mut changes = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        let key = String::from_utf8(text(&mut bytes)?.to_vec()).ok()?;
        let value = match kind {
            0 => None,
            1 => Some(Bytes::copy_from_slice(text(&mut bytes)?)),
            2 => {
                let from = overlay.get(std::str::from_utf8(text(&mut bytes)?).ok()?)??;
                Some([from, text(&mut bytes)?].concat().into())
            }
            _ => return None,
        };
        changes.push((key, value));
    }
    // Not before, so that each value that grew finds the one from before the batch.
    for (key, value) in changes {
        overlay.set(key, value, keep);
    }
    Some(())
}
