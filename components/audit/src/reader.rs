//! Reading a stored log without the component: one record, proofs, and which requests are recorded.

use std::collections::HashSet;
use std::io;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::merkle::{Hash, hash_leaf};
use crate::nodes::{NodeError, TileNodes};
use crate::note::{Note, NoteError, VerifierKey};
use crate::proof;
use crate::tile::{self, CHECKPOINT_KEY, Row, TILE_WIDTH};

/// Reads the value of a key, for example a file below the log's directory; none if there is none.
pub type Read<'a> = dyn Fn(&str) -> io::Result<Option<Vec<u8>>> + 'a;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error("`{key}` could not be read")]
    Io {
        /// The key that was read.
        key: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is missing, or does not hold what its place demands.
    #[error("`{key}`: {what}")]
    Damaged {
        /// The key of the file.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The checkpoint is not a signed note, or not of this key.
    #[error("`checkpoint`")]
    Note(#[from] NoteError),
    /// The checkpoint's text is not one.
    #[error("`checkpoint`")]
    Checkpoint(#[from] CheckpointError),
    /// An index or size beyond the log.
    #[error("the log has {size} records, so there is no {asked}")]
    OutOfRange {
        /// The index or size that was asked for.
        asked: u64,
        /// How many records the log has.
        size: u64,
    },
}

impl ReadError {
    pub(crate) fn damaged(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { key: key.into(), what: what.into() }
    }
}

impl From<NodeError<ReadError>> for ReadError {
    fn from(error: NodeError<ReadError>) -> Self {
        match error {
            NodeError::Fetch(error) => error,
            NodeError::Tile(key) => Self::damaged(key, "is missing or has a wrong length"),
        }
    }
}

/// Reads a key, naming it in the error.
pub(crate) fn fetch(read: &Read<'_>, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
    read(key).map_err(|source| ReadError::Io { key: key.to_owned(), source })
}

/// The newest checkpoint as stored, and what it says, if `key` signed it and its origin is the key's name.
pub(crate) fn signed_checkpoint(
    read: &Read<'_>,
    key: &VerifierKey,
) -> Result<(String, Checkpoint), ReadError> {
    let bytes = fetch(read, CHECKPOINT_KEY)?
        .ok_or_else(|| ReadError::damaged(CHECKPOINT_KEY, "is missing: this is no log, or a damaged one"))?;
    let note = Note::parse(&bytes)?;
    let checkpoint = Checkpoint::parse(note.verify(key)?)?;
    if checkpoint.origin != key.name() {
        let what = format!("is of the log `{}`, and the key is of `{}`", checkpoint.origin, key.name());
        return Err(ReadError::damaged(CHECKPOINT_KEY, what));
    }
    // A parsed note is UTF-8.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), checkpoint))
}

/// The entry bundle at `index` in a log of `size` records: its key, its records, and at most `width` of them.
pub(crate) fn bundle(read: &Read<'_>, size: u64, index: u64) -> Result<(String, Vec<u8>), ReadError> {
    let width = bundle_width(size, index);
    let key = tile::key(Row::Entries, index, width);
    if let Some(bytes) = fetch(read, &key)? {
        return Ok((key, bytes));
    }
    // The log may have filled the bundle since its checkpoint was read.
    if width < TILE_WIDTH {
        let full = tile::key(Row::Entries, index, TILE_WIDTH);
        if let Some(mut bytes) = fetch(read, &full)? {
            let records = tile::records(&bytes).take(usize::try_from(width).unwrap_or(usize::MAX));
            let length: usize = records.map(|record| record.map_or(0, |r| r.len() + 2)).sum();
            bytes.truncate(length);
            return Ok((full, bytes));
        }
    }
    Err(ReadError::damaged(key, "is missing"))
}

/// How many records the bundle at `index` holds in a log of `size` records.
pub(crate) fn bundle_width(size: u64, index: u64) -> u64 {
    if index < tile::full_tiles(size, 0) { TILE_WIDTH } else { tile::partial_width(size, 0) }
}

/// A record, and the proof that it stands in the tree of a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record's index.
    pub index: u64,
    /// The record's bytes.
    pub record: Vec<u8>,
    /// The hashes from the record's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The tree head that the proof leads to.
    pub checkpoint: Checkpoint,
    /// The same, signed.
    pub note: String,
}

impl InclusionProof {
    /// The proof as a C2SP tlog-proof file, which carries all that a verifier needs but the record and the key.
    #[must_use]
    pub fn to_tlog_proof(&self) -> String {
        let mut text = format!("c2sp.org/tlog-proof@v1\nindex {}\n", self.index);
        for hash in &self.hashes {
            text.push_str(&BASE64_STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }
}

/// The bytes of the record at `index`. Nothing is verified: use [`prove_inclusion`] for that.
///
/// # Errors
/// If the log cannot be read, or has no such record.
pub fn entry(read: &Read<'_>, key: &VerifierKey, index: u64) -> Result<Vec<u8>, ReadError> {
    let (_, checkpoint) = signed_checkpoint(read, key)?;
    record_at(read, checkpoint.size, index)
}

fn record_at(read: &Read<'_>, size: u64, index: u64) -> Result<Vec<u8>, ReadError> {
    if index >= size {
        return Err(ReadError::OutOfRange { asked: index, size });
    }
    let (key, bytes) = bundle(read, size, index / TILE_WIDTH)?;
    let place = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
    match tile::records(&bytes).nth(place).flatten() {
        Some(record) => Ok(record.to_vec()),
        None => Err(ReadError::damaged(key, format!("breaks off before record {index}"))),
    }
}

/// The record at `index` with a proof that it stands in the tree of the newest checkpoint. The checkpoint's signature
/// and the proof are checked before they are returned.
///
/// # Errors
/// If the log cannot be read, has no such record, or is damaged where the proof passes.
pub fn prove_inclusion(read: &Read<'_>, key: &VerifierKey, index: u64) -> Result<InclusionProof, ReadError> {
    let (note, checkpoint) = signed_checkpoint(read, key)?;
    let record = record_at(read, checkpoint.size, index)?;
    let mut nodes = TileNodes::new(checkpoint.size, |key: &str| fetch(read, key));
    let hashes = proof::inclusion(&mut nodes, index, checkpoint.size)?;
    let leaf = hash_leaf(&record);
    proof::verify_inclusion(&leaf, index, checkpoint.size, &checkpoint.root, &hashes).map_err(|_| {
        ReadError::damaged(
            CHECKPOINT_KEY,
            format!("record {index} and its tiles do not lead to the root hash"),
        )
    })?;
    Ok(InclusionProof { index, record, hashes, checkpoint, note })
}

/// The proof that the log's tree of `old_size` records is the beginning of its tree of `new_size` records.
///
/// # Errors
/// If the log cannot be read, or `old_size <= new_size <=` its size does not hold.
pub fn prove_consistency(
    read: &Read<'_>,
    key: &VerifierKey,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>, ReadError> {
    let (_, checkpoint) = signed_checkpoint(read, key)?;
    let size = checkpoint.size;
    for asked in [new_size, old_size] {
        if asked > size || asked > new_size {
            return Err(ReadError::OutOfRange { asked, size: size.min(new_size) });
        }
    }
    let mut nodes = TileNodes::new(size, |key: &str| fetch(read, key));
    Ok(proof::consistency(&mut nodes, old_size, new_size)?)
}

/// The request id alone; what else the record holds is not looked at.
#[derive(Deserialize)]
struct RequestId {
    request_id: String,
}

/// The request id of a record's bytes.
pub(crate) fn request_id(record: &[u8]) -> Option<String> {
    serde_json::from_slice::<RequestId>(record).ok().map(|found| found.request_id)
}

/// Which of these request ids have a record at index `from` or later. A host that starts again asks this for the
/// requests that were open when it stopped, with the log's size at the time when the first of them was opened, so that
/// none gets a second record.
///
/// # Errors
/// If the log cannot be read.
pub fn recorded(
    read: &Read<'_>,
    key: &VerifierKey,
    from: u64,
    ids: &HashSet<String>,
) -> Result<HashSet<String>, ReadError> {
    let (_, checkpoint) = signed_checkpoint(read, key)?;
    let mut found = HashSet::new();
    if from >= checkpoint.size {
        return Ok(found);
    }
    for index in from / TILE_WIDTH..checkpoint.size.div_ceil(TILE_WIDTH) {
        let (key, bytes) = bundle(read, checkpoint.size, index)?;
        for record in tile::records(&bytes) {
            let id = record.and_then(request_id);
            let id = id.ok_or_else(|| ReadError::damaged(key.as_str(), "holds what is not a record"))?;
            if ids.contains(&id) {
                found.insert(id);
            }
        }
    }
    Ok(found)
}
