//! Changes that are durable in the journal and not in files yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

/// For each key its newest value, or none if it was deleted.
///
/// A partial tile that a wider one follows is dropped: only the checkpoint between the two needs it, and that is
/// replaced in here as well. So it never becomes a file.
#[derive(Clone, Default)]
pub(super) struct Overlay {
    changes: BTreeMap<String, Option<Bytes>>,
    bytes: usize,
}

impl Overlay {
    /// What became of a key: a value, or its deletion; none if it did not change.
    pub(super) fn get(&self, key: &str) -> Option<Option<&Bytes>> {
        self.changes.get(key).map(Option::as_ref)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every key, and its value or none.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        self.changes.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// Sets a key, or deletes it. Narrower partial tiles are dropped, but those to `keep`.
    pub(super) fn set(&mut self, key: String, value: Option<Bytes>, keep: impl Fn(&str) -> bool) {
        if value.is_some()
            && let Some((directory, width)) = partial(&key)
        {
            let from = (Bound::Excluded(directory), Bound::Unbounded);
            let beside = self.changes.range::<str, _>(from);
            let narrower: Vec<String> = beside
                .take_while(|(other, _)| other.starts_with(directory))
                .filter(|(_, value)| value.is_some())
                .filter(|(other, _)| partial(other).is_some_and(|at| at.0 == directory && at.1 < width))
                .filter(|(other, _)| !keep(other))
                .map(|(other, _)| other.clone())
                .collect();
            for other in narrower {
                self.take(&other);
            }
        }
        self.take(&key);
        self.bytes += size(&key, value.as_ref());
        self.changes.insert(key, value);
    }

    /// The widest partial tile of this tile's place, if this value goes on where it ends.
    pub(super) fn prefix_of(&self, key: &str, value: &[u8]) -> Option<(&str, &Bytes)> {
        let directory =
            partial(key).map_or_else(|| format!("{key}.p"), |(directory, _)| directory.to_owned());
        let from = (Bound::Excluded(directory.as_str()), Bound::Unbounded);
        let beside =
            self.changes.range::<str, _>(from).take_while(|(other, _)| other.starts_with(&directory));
        let partials = beside.filter_map(|(other, value)| Some((partial(other)?.1, other, value.as_ref()?)));
        let (_, other, part) = partials.max_by_key(|(width, ..)| *width)?;
        value.starts_with(part).then_some((other.as_str(), part))
    }

    /// Forgets what stands in files by now, unless it has changed since.
    pub(super) fn forget(&mut self, written: &Self) {
        for (key, value) in &written.changes {
            let same = |now: &Option<Bytes>| match (now, value) {
                (Some(now), Some(then)) => now.as_ptr() == then.as_ptr() && now.len() == then.len(),
                (now, then) => now.is_none() && then.is_none(),
            };
            if self.changes.get(key).is_some_and(same) {
                self.take(key);
            }
        }
    }

    fn take(&mut self, key: &str) {
        if let Some(value) = self.changes.remove(key) {
            self.bytes -= size(key, value.as_ref());
        }
    }
}

fn size(key: &str, value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len)
}

/// The directory and the width of a partial tile: `tile/0/000.p` and 7 of `tile/0/000.p/7`.
fn partial(key: &str) -> Option<(&str, u64)> {
    let (directory, width) = key.rsplit_once('/')?;
    directory.ends_with(".p").then_some(directory).zip(width.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::Overlay;
    use bytes::Bytes;

    fn set(overlay: &mut Overlay, key: &str, value: &'static str) {
        overlay.set(key.to_owned(), Some(Bytes::from_static(value.as_bytes())), |_| false);
    }

    fn keys(overlay: &Overlay) -> Vec<&str> {
        overlay.iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn only_the_widest_partial_tile_of_each_place_is_kept() {
        let mut overlay = Overlay::default();
        for key in
            ["tile/0/000.p/9", "tile/0/000.p/10", "tile/0/001.p/1", "tile/entries/000.p/8", "tile/0/000"]
        {
            set(&mut overlay, key, "x");
        }
        assert_eq!(
            keys(&overlay),
            ["tile/0/000", "tile/0/000.p/10", "tile/0/001.p/1", "tile/entries/000.p/8"]
        );
        overlay.set("tile/0/000.p/7".into(), None, |_| false);
        set(&mut overlay, "tile/0/000.p/11", "y");
        let at_0: Vec<_> = overlay.iter().filter(|(key, _)| key.starts_with("tile/0/000.p")).collect();
        assert_eq!(at_0, [("tile/0/000.p/11", Some(&Bytes::from_static(b"y"))), ("tile/0/000.p/7", None)]);
        let bytes: usize = overlay.iter().map(|(key, value)| key.len() + value.map_or(0, Bytes::len)).sum();
        assert_eq!(overlay.bytes(), bytes);
    }

    #[test]
    fn a_tile_goes_on_where_the_widest_partial_one_of_its_place_ends() {
        let mut overlay = Overlay::default();
        set(&mut overlay, "tile/0/000.p/9", "ab");
        set(&mut overlay, "tile/0/000.p/10", "abc");
        set(&mut overlay, "tile/0/001.p/1", "z");
        let prefix = |key, value: &str| overlay.prefix_of(key, value.as_bytes()).map(|(key, _)| key);
        assert_eq!(prefix("tile/0/000.p/11", "abcd"), Some("tile/0/000.p/10"));
        assert_eq!(prefix("tile/0/000", "abcd"), Some("tile/0/000.p/10"));
        assert_eq!(prefix("tile/0/000.p/11", "abd"), None, "it is another");
        assert_eq!((prefix("tile/1/000", "abcd"), prefix("checkpoint", "abcd")), (None, None));
        overlay.set("tile/0/001.p/1".into(), None, |_| false);
        assert!(overlay.prefix_of("tile/0/001", b"zz").is_none(), "it was deleted");
    }

    #[test]
    fn what_was_written_is_forgotten_unless_it_has_changed_since() {
        let mut overlay = Overlay::default();
        for key in ["a", "b", "c"] {
            set(&mut overlay, key, "1");
        }
        overlay.set("d".into(), None, |_| false);
        let written = overlay.clone();
        overlay.set("b".into(), Some(Bytes::copy_from_slice(b"1")), |_| false);
        overlay.set("c".into(), None, |_| false);
        overlay.forget(&written);
        assert_eq!(keys(&overlay), ["b", "c"]);
        let rest = overlay.clone();
        overlay.forget(&rest);
        assert!(overlay.is_empty() && overlay.bytes() == 0);
    }
}
