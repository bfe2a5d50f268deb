//! Checking a whole stored log from its first record to its newest checkpoint.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::merkle::{Frontier, Hash, hash_leaf};
use crate::note::VerifierKey;
use crate::reader::{Read, ReadError, bundle, bundle_width, fetch, request_id, signed_checkpoint};
use crate::record::{RecordError, parse};
use crate::tile::{self, LEVELS, Row, TILE_HEIGHT, TILE_WIDTH};

/// How many request ids are held at one time while looking for a second record of one request, which takes about 70 MiB.
/// A longer log is read once more for each further such number of records.
const IDS_PER_PASS: u64 = 1_750_000;

/// What a log that verified holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The log's name.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root hash of its tree.
    pub root: Hash,
    /// The time of the earliest request in it, Unix nanoseconds; none for an empty log.
    pub earliest: Option<u64>,
    /// The time of the latest request in it, Unix nanoseconds; none for an empty log.
    pub latest: Option<u64>,
}

/// The first thing found wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log could not be read, or a file is not what its place demands.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record is not one, or not in its canonical form.
    #[error("record {index} in `{key}`")]
    Record {
        /// The record's index.
        index: u64,
        /// The key of its entry bundle.
        key: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// Two records are of one request.
    #[error("records {first} and {second} are both of request `{request_id}`")]
    Duplicate {
        /// The index of the earlier record.
        first: u64,
        /// The index of the later record.
        second: u64,
        /// The request's id.
        request_id: String,
    },
    /// The records do not hash to the signed root.
    #[error("the {size} records do not hash to the root in `checkpoint`")]
    Root {
        /// How many records the checkpoint says there are.
        size: u64,
    },
}

/// Checks every file of a log: the checkpoint's signature, every record's form, that no request has two records, every
/// tile of every level, and the root hash. Partial tiles that are still there must be the beginning of the newer ones.
/// Reads bundle by bundle; the log may be written meanwhile.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_log(read: &Read<'_>, key: &VerifierKey) -> Result<Summary, VerifyError> {
    let (_, checkpoint) = signed_checkpoint(read, key)?;
    let passes = checkpoint.size.div_ceil(IDS_PER_PASS).max(1);
    let mut walk = Walk {
        read,
        size: checkpoint.size,
        frontier: Frontier::empty(),
        tiles: Default::default(),
        earliest: None,
        latest: None,
    };
    let mut ids = Ids { pass: 0, passes, seen: HashMap::new() };
    for index in 0..walk.size.div_ceil(TILE_WIDTH) {
        walk.bundle(index, &mut ids)?;
    }
    walk.check_right_edge()?;
    if walk.frontier.root() != checkpoint.root {
        return Err(VerifyError::Root { size: checkpoint.size });
    }
    for pass in 1..passes {
        let mut ids = Ids { pass, passes, seen: HashMap::new() };
        for index in 0..walk.size.div_ceil(TILE_WIDTH) {
            let (_, bytes) = bundle(read, walk.size, index)?;
            for (at, record) in (index * TILE_WIDTH..).zip(tile::records(&bytes)) {
                if let Some(id) = record.and_then(request_id) {
                    ids.add(&id, at)?;
                }
            }
        }
    }
    Ok(Summary {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        earliest: walk.earliest,
        latest: walk.latest,
    })
}

/// The walk over all bundles.
struct Walk<'a> {
    read: &'a Read<'a>,
    size: u64,
    frontier: Frontier,
    /// The hashes of each level since its last full tile.
    tiles: [Vec<Hash>; LEVELS as usize],
    earliest: Option<u64>,
    latest: Option<u64>,
}

impl Walk<'_> {
    /// Checks one entry bundle, and every tile that it completes.
    fn bundle(&mut self, index: u64, ids: &mut Ids) -> Result<(), VerifyError> {
        let (key, bytes) = bundle(self.read, self.size, index)?;
        let width = bundle_width(self.size, index);
        let records = tile::records_of(&bytes, width)
            .ok_or_else(|| ReadError::damaged(key.as_str(), format!("does not hold {width} records")))?;
        for (at, record) in (index * TILE_WIDTH..).zip(&records) {
            let entry = parse(record).map_err(|source| VerifyError::Record {
                index: at,
                key: key.clone(),
                source,
            })?;
            ids.add(&entry.request_id, at)?;
            self.earliest = Some(self.earliest.map_or(entry.time, |time| time.min(entry.time)));
            self.latest = Some(self.latest.map_or(entry.time, |time| time.max(entry.time)));
            self.leaf(hash_leaf(record))?;
        }
        // Partial bundles may stand only beside the newest full one, or before the partial one.
        if index + 2 >= self.size.div_ceil(TILE_WIDTH) {
            self.check_older_widths(Row::Entries, index, width, &bytes)?;
        }
        Ok(())
    }

    /// Adds a record's hash, and checks the tiles that it fills.
    fn leaf(&mut self, leaf: Hash) -> Result<(), VerifyError> {
        let mut full = Vec::new();
        let size = self.frontier.size() + 1;
        let tiles = &mut self.tiles;
        self.frontier.push(leaf, |height, hash| {
            let level = height / TILE_HEIGHT;
            if let Some(tile) = tiles.get_mut(level as usize).filter(|_| height % TILE_HEIGHT == 0) {
                tile.push(hash);
                if tile.len() as u64 == TILE_WIDTH {
                    full.push((level, std::mem::take(tile)));
                }
            }
        });
        for (level, hashes) in full {
            let index = tile::full_tiles(size, level) - 1;
            let bytes = tile::encode(&hashes);
            self.check_tile(level, index, TILE_WIDTH, &bytes)?;
            if index + 1 == tile::full_tiles(self.size, level) {
                self.check_older_widths(Row::Hashes(level), index, TILE_WIDTH, &bytes)?;
            }
        }
        Ok(())
    }

    /// Checks the partial tile of each level.
    fn check_right_edge(&self) -> Result<(), VerifyError> {
        for (level, hashes) in (0..LEVELS).zip(&self.tiles) {
            let (index, width) = (tile::full_tiles(self.size, level), hashes.len() as u64);
            if width > 0 {
                let bytes = tile::encode(hashes);
                self.check_tile(level, index, width, &bytes)?;
                self.check_older_widths(Row::Hashes(level), index, width, &bytes)?;
            }
        }
        Ok(())
    }

    fn check_tile(&self, level: u32, index: u64, width: u64, expected: &[u8]) -> Result<(), VerifyError> {
        let key = tile::key(Row::Hashes(level), index, width);
        let stored = fetch(self.read, &key)?;
        // The log may have filled a partial tile since its checkpoint was read.
        let stored = match stored {
            None if width < TILE_WIDTH => {
                fetch(self.read, &tile::key(Row::Hashes(level), index, TILE_WIDTH))?
                    .filter(|full| full.len() > expected.len())
                    .map(|mut full| {
                        full.truncate(expected.len());
                        full
                    })
            }
            stored => stored,
        };
        match stored {
            None => Err(ReadError::damaged(key, "is missing").into()),
            Some(bytes) if bytes != expected => {
                Err(ReadError::damaged(key, "does not fit the records below it").into())
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks partial tiles that are smaller than the one at hand: each must be its beginning.
    fn check_older_widths(&self, row: Row, index: u64, width: u64, newest: &[u8]) -> Result<(), VerifyError> {
        let mut ends = Vec::new();
        match row {
            Row::Hashes(_) => ends.extend((1..width as usize).map(|w| w * 32)),
            Row::Entries => {
                let lengths = tile::records(newest).flatten().map(|record| record.len() + 2);
                ends.extend(lengths.scan(0, |end, length| {
                    *end += length;
                    Some(*end)
                }));
            }
        }
        for (older, end) in (1..width).zip(ends) {
            let key = tile::key(row, index, older);
            if let Some(bytes) = fetch(self.read, &key)?
                && newest.get(..end) != Some(bytes.as_slice())
            {
                return Err(ReadError::damaged(key, "is not the beginning of the newer ones").into());
            }
        }
        Ok(())
    }
}

/// Request ids seen in one pass: those whose digest falls to this pass.
struct Ids {
    pass: u64,
    passes: u64,
    /// Half of a SHA-256 digest, so that nobody who chooses ids can make two of them collide.
    seen: HashMap<u128, u64>,
}

impl Ids {
    fn add(&mut self, id: &str, index: u64) -> Result<(), VerifyError> {
        let digest: [u8; 32] = Sha256::digest(id).into();
        let half = digest.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
        if half % u128::from(self.passes) != u128::from(self.pass) {
            return Ok(());
        }
        match self.seen.insert(half, index) {
            Some(first) => Err(VerifyError::Duplicate { first, second: index, request_id: id.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
