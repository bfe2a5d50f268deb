//! The right edge of a stored log: what the next append changes.

use crate::log::LogError;
use crate::merkle::{Frontier, Hash, hash_leaf};
use crate::nodes::read_tile;
use crate::tile::{self, LEVELS, Row, TILE_HEIGHT, TILE_WIDTH};

/// The rightmost tile of one level, while it is partial.
#[derive(Clone, Debug, Default)]
struct PartialTile {
    hashes: Vec<Hash>,
    stored: Widths,
}

/// Which widths of a partial tile may be in the store.
#[derive(Clone, Copy, Debug, Default)]
struct Widths([u64; 4]);

impl Widths {
    /// All of 1 to `width`.
    fn up_to(width: u64) -> Self {
        let mut widths = Self::default();
        (1..=width).for_each(|width| widths.add(width));
        widths
    }

    fn add(&mut self, width: u64) {
        if let Some(word) = self.0.get_mut((width / 64) as usize) {
            *word |= 1 << (width % 64);
        }
    }

    fn iter(self) -> impl Iterator<Item = u64> {
        let has =
            move |width: &u64| self.0.get((width / 64) as usize).is_some_and(|w| w >> (width % 64) & 1 == 1);
        (1..TILE_WIDTH).filter(has)
    }
}

/// The right edge: the frontier of the tree, the partial tile of each level, and the partial entry bundle.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    frontier: Frontier,
    tiles: [PartialTile; LEVELS as usize],
    bundle: Vec<u8>,
}

impl Edge {
    pub(super) fn empty() -> Self {
        Self { frontier: Frontier::empty(), tiles: Default::default(), bundle: Vec::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Reads the edge of a log of `size` records, and checks that tile and bundle of the newest records agree.
    pub(super) fn load(
        size: u64,
        get: impl Fn(&str) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<Self, LogError> {
        let mut edge = Self::empty();
        // Levels are read from the lowest, subtrees stand with the largest first.
        let mut subtrees = Vec::new();
        for (level, tile) in (0..LEVELS).zip(&mut edge.tiles) {
            let width = tile::partial_width(size, level);
            if width == 0 {
                continue;
            }
            let hashes = read_tile(&get, level, tile::full_tiles(size, level), width)?;
            for height in (0..TILE_HEIGHT).filter(|height| width >> height & 1 == 1) {
                subtrees.extend(tile::subtree(&hashes, height, (width >> height) - 1));
            }
            *tile = PartialTile { hashes, stored: Widths::up_to(width) };
        }
        subtrees.reverse();
        let lost = || LogError::Corrupt("the newest tiles do not make a tree".to_owned());
        edge.frontier = Frontier::from_subtrees(size, subtrees).ok_or_else(lost)?;

        let width = tile::partial_width(size, 0);
        if width > 0 {
            let key = tile::key(Row::Entries, tile::full_tiles(size, 0), width);
            edge.bundle = get(&key).map_err(LogError::Store)?.unwrap_or_default();
            let records = tile::records_of(&edge.bundle, width)
                .ok_or_else(|| LogError::Corrupt(format!("`{key}` is missing or broken")))?;
            let [leaves, ..] = &edge.tiles;
            if !records.iter().map(|record| hash_leaf(record)).eq(leaves.hashes.iter().copied()) {
                return Err(LogError::Corrupt(format!("`{key}` does not fit the hashes of its records")));
            }
        }
        Ok(edge)
    }

    /// Adds a record. A tile or bundle that this fills goes into `batch`, and the keys of its partial forms into
    /// `superseded`.
    pub(super) fn push(
        &mut self,
        record: &[u8],
        batch: &mut Vec<(String, Vec<u8>)>,
        superseded: &mut Vec<String>,
    ) {
        tile::push_record(&mut self.bundle, record);
        let size = self.frontier.size() + 1;
        let Self { frontier, tiles, bundle } = self;
        frontier.push(hash_leaf(record), |height, hash| {
            let level = height / TILE_HEIGHT;
            let Some(tile) = tiles.get_mut(level as usize).filter(|_| height % TILE_HEIGHT == 0) else {
                return;
            };
            tile.hashes.push(hash);
            if (tile.hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            let index = tile::full_tiles(size, level) - 1;
            let full = std::mem::take(tile);
            for row in rows(level) {
                superseded.extend(full.stored.iter().map(|width| tile::key(row, index, width)));
            }
            if level == 0 {
                batch.push((tile::key(Row::Entries, index, TILE_WIDTH), std::mem::take(bundle)));
            }
            batch.push((tile::key(Row::Hashes(level), index, TILE_WIDTH), tile::encode(&full.hashes)));
        });
    }

    /// Puts the partial tiles that changed since the log had `old_size` records into `batch`.
    pub(super) fn write_partial_tiles(&mut self, old_size: u64, batch: &mut Vec<(String, Vec<u8>)>) {
        let size = self.size();
        for (level, tile) in (0..LEVELS).zip(&mut self.tiles) {
            let (index, width) = (tile::full_tiles(size, level), tile::partial_width(size, level));
            let unchanged =
                (index, width) == (tile::full_tiles(old_size, level), tile::partial_width(old_size, level));
            if width == 0 || unchanged {
                continue;
            }
            tile.stored.add(width);
            if level == 0 {
                batch.push((tile::key(Row::Entries, index, width), self.bundle.clone()));
            }
            batch.push((tile::key(Row::Hashes(level), index, width), tile::encode(&tile.hashes)));
        }
    }

    /// The partial forms of the newest full tile of each level: a host that stopped between writing the full tile and
    /// deleting them left them behind.
    pub(super) fn possible_garbage(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for level in 0..LEVELS {
            if let Some(index) = tile::full_tiles(self.size(), level).checked_sub(1) {
                for row in rows(level) {
                    keys.extend((1..TILE_WIDTH).map(|width| tile::key(row, index, width)));
                }
            }
        }
        keys
    }
}

/// What is stored at one level: hashes, and at level 0 the records too.
fn rows(level: u32) -> impl Iterator<Item = Row> {
    (level == 0).then_some(Row::Entries).into_iter().chain([Row::Hashes(level)])
}
