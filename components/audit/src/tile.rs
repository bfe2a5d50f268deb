//! Tiles and entry bundles of C2SP tlog-tiles v0.1.0: their keys, widths and bytes.

use crate::merkle::{Hash, perfect_root};

/// Hashes in a full tile, and records in a full entry bundle.
pub(crate) const TILE_WIDTH: u64 = 256;

/// How much of the tree one level of tiles spans: the base-2 logarithm of [`TILE_WIDTH`].
pub(crate) const TILE_HEIGHT: u32 = 8;

/// Levels of tiles that a tree of fewer than 2^64 leaves can have.
pub(crate) const LEVELS: u32 = u64::BITS / TILE_HEIGHT;

/// Key of the newest checkpoint.
pub(crate) const CHECKPOINT_KEY: &str = "checkpoint";

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Records.
    Entries,
    /// Hashes of this level.
    Hashes(u32),
}

/// The key of a tile or bundle with `width` elements, 1 to 256.
pub(crate) fn key(row: Row, index: u64, width: u64) -> String {
    let mut key = match row {
        Row::Entries => "tile/entries".to_owned(),
        Row::Hashes(level) => format!("tile/{level}"),
    };
    let mut unit = 1;
    while index / unit >= 1000 {
        unit *= 1000;
    }
    loop {
        let element = index / unit % 1000;
        let mark = if unit > 1 { "x" } else { "" };
        key.push_str(&format!("/{mark}{element:03}"));
        if unit == 1 {
            break;
        }
        unit /= 1000;
    }
    if width < TILE_WIDTH {
        key.push_str(&format!(".p/{width}"));
    }
    key
}

/// How many full tiles the level has in a tree of `size` leaves; also the index of its partial tile.
pub(crate) fn full_tiles(size: u64, level: u32) -> u64 {
    size.checked_shr((level + 1) * TILE_HEIGHT).unwrap_or(0)
}

/// The width of the level's partial tile in a tree of `size` leaves; 0 if there is none.
pub(crate) fn partial_width(size: u64, level: u32) -> u64 {
    size.checked_shr(level * TILE_HEIGHT).unwrap_or(0) % TILE_WIDTH
}

/// The bytes of a tile.
pub(crate) fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes of a tile that must have `width` of them; none if its length is another.
pub(crate) fn decode(bytes: &[u8], width: u64) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() as u64 == width).then(|| hashes.to_vec())
}

/// The root of the perfect subtree of `2^height` hashes, `place` such subtrees into the tile; none if the tile ends
/// before it.
pub(crate) fn subtree(tile: &[Hash], height: u32, place: u64) -> Option<Hash> {
    let count = 1_usize.checked_shl(height)?;
    let start = usize::try_from(place).ok()?.checked_mul(count)?;
    perfect_root(tile.get(start..start.checked_add(count)?)?)
}

/// Appends a record of at most 65,535 bytes to a bundle.
pub(crate) fn push_record(bundle: &mut Vec<u8>, record: &[u8]) {
    let length = u16::try_from(record.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(record);
}

/// The records of a bundle in order; `None` once, and then nothing, where the bundle breaks off.
pub(crate) fn records(bundle: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bundle);
    std::iter::from_fn(move || {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let Some((length, tail)) = bytes.split_first_chunk::<2>() else { return Some(None) };
        let Some((record, tail)) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return Some(None);
        };
        rest = Some(tail);
        Some(Some(record))
    })
}

/// The records of a bundle that must hold `width` of them; none if it is broken or holds another number.
pub(crate) fn records_of(bundle: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let all = records(bundle).collect::<Option<Vec<_>>>()?;
    (all.len() as u64 == width).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_standard() {
        assert_eq!(key(Row::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(key(Row::Hashes(0), 1067, 256), "tile/0/x001/067");
        assert_eq!(key(Row::Hashes(1), 0, 17), "tile/1/000.p/17");
        assert_eq!(key(Row::Entries, 273, 112), "tile/entries/273.p/112");
        assert_eq!(key(Row::Entries, 1000, 256), "tile/entries/x001/000");
        assert!(key(Row::Entries, u64::MAX, 256).starts_with("tile/entries/x018/x446/"));
    }

    #[test]
    fn the_tree_of_seventy_thousand_has_the_tiles_that_the_standard_lists() {
        let widths = [0, 1, 2, 3].map(|level| (full_tiles(70_000, level), partial_width(70_000, level)));
        assert_eq!(widths, [(273, 112), (1, 17), (0, 1), (0, 0)]);
        assert_eq!((full_tiles(256, 0), partial_width(256, 0), partial_width(256, 1)), (1, 0, 1));
        assert_eq!(full_tiles(u64::MAX, 7), 0);
    }

    #[test]
    fn a_bundle_gives_back_its_records_and_shows_where_it_breaks() {
        let mut bundle = Vec::new();
        push_record(&mut bundle, b"first");
        push_record(&mut bundle, b"");
        push_record(&mut bundle, b"third");
        assert_eq!(records_of(&bundle, 3), Some(vec![&b"first"[..], b"", b"third"]));
        assert_eq!(records_of(&bundle, 2), None);
        assert_eq!(records_of(&bundle[..bundle.len() - 1], 3), None);
        assert_eq!(records(&bundle[..8]).collect::<Vec<_>>(), vec![Some(&b"first"[..]), None]);
    }
}
