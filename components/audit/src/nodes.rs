//! The nodes of a stored tree, computed from its tiles.

use std::collections::HashMap;

use crate::merkle::Hash;
use crate::proof::Nodes;
use crate::tile::{self, Row, TILE_HEIGHT, TILE_WIDTH};

/// Why a node could not be had.
#[derive(Debug)]
pub(crate) enum NodeError<E> {
    /// The store failed.
    Fetch(E),
    /// The tile of this key is missing, or has another length than the tree's size asks for.
    Tile(String),
}

/// Nodes of the tree of `size` leaves, from tiles that `fetch` reads. Tiles are kept, so that a proof reads each once.
pub(crate) struct TileNodes<F> {
    fetch: F,
    size: u64,
    tiles: HashMap<(u32, u64), Vec<Hash>>,
}

impl<E, F: Fn(&str) -> Result<Option<Vec<u8>>, E>> TileNodes<F> {
    pub(crate) fn new(size: u64, fetch: F) -> Self {
        Self { fetch, size, tiles: HashMap::new() }
    }

    fn tile(&mut self, level: u32, index: u64) -> Result<&[Hash], NodeError<E>> {
        let width = match index < tile::full_tiles(self.size, level) {
            true => TILE_WIDTH,
            false => tile::partial_width(self.size, level),
        };
        match self.tiles.entry((level, index)) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let hashes = read_tile(&self.fetch, level, index, width)?;
                Ok(place.insert(hashes))
            }
        }
    }
}

impl<E, F: Fn(&str) -> Result<Option<Vec<u8>>, E>> Nodes for TileNodes<F> {
    type Error = NodeError<E>;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, NodeError<E>> {
        let (level, inner) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let per_tile = TILE_WIDTH >> inner;
        let (tile_index, place) = (index / per_tile, index % per_tile);
        let tile = self.tile(level, tile_index)?;
        tile::subtree(tile, inner, place)
            .ok_or_else(|| NodeError::Tile(tile::key(Row::Hashes(level), tile_index, TILE_WIDTH)))
    }
}

/// The first `width` hashes of a tile. A log may have replaced a partial tile by the full one since the checkpoint was
/// read, so the full tile serves too (tlog-tiles, "Partial Tiles").
pub(crate) fn read_tile<E>(
    fetch: &impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
    level: u32,
    index: u64,
    width: u64,
) -> Result<Vec<Hash>, NodeError<E>> {
    let key = tile::key(Row::Hashes(level), index, width);
    let hashes = match fetch(&key).map_err(NodeError::Fetch)? {
        Some(bytes) => tile::decode(&bytes, width),
        None if width < TILE_WIDTH => {
            let full = fetch(&tile::key(Row::Hashes(level), index, TILE_WIDTH)).map_err(NodeError::Fetch)?;
            full.and_then(|bytes| tile::decode(&bytes, TILE_WIDTH)).map(|mut hashes| {
                hashes.truncate(usize::try_from(width).unwrap_or(usize::MAX));
                hashes
            })
        }
        None => None,
    };
    hashes.filter(|hashes| !hashes.is_empty()).ok_or(NodeError::Tile(key))
}
