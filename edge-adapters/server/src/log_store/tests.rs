use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU8, Ordering};

use super::journal::{Change, Journal, JournalFile};
use super::shared::State;
use super::*;

mod crash;
mod live;

type Values = BTreeMap<String, Vec<u8>>;

/// The store's thread stays out of the way until the store is dropped.
const BY_HAND: Bounds = Bounds {
    interval: Duration::from_secs(3_600),
    overlay_bytes: OVERLAY_BYTES,
    journal_bytes: JOURNAL_BYTES,
};

/// The store's thread writes at once.
const AT_ONCE: Bounds = Bounds { interval: Duration::ZERO, ..BY_HAND };

fn open(directory: &Path) -> LogStore {
    LogStore::open_with(directory, BY_HAND).unwrap()
}

fn write_out(store: &LogStore) -> Result<(), LogStoreError> {
    store.shared.write_out(&mut store.shared.files.lock())
}

fn batch(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn values(pairs: &[(&str, &str)]) -> Values {
    batch(pairs).into_iter().collect()
}

/// All files of the log in a directory, and not the store's own.
fn files(directory: &Path) -> Values {
    fn walk(directory: &Path, prefix: &str, found: &mut Values) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = Values::new();
    walk(directory, "", &mut found);
    found
}

/// Which keys a reader finds, and their values.
fn seen(directory: &Path, keys: &[&str]) -> Values {
    let reader = LogReader::open(directory).unwrap();
    let found = keys.iter().filter_map(|key| Some(((*key).to_owned(), reader.read(key).unwrap()?)));
    found.collect()
}

/// A disk that fails when told to.
struct Faulty {
    file: std::fs::File,
    fault: Arc<AtomicU8>,
}

const HALF_WRITE: u8 = 1;
const SYNC: u8 = 2;

impl JournalFile for Faulty {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.fault.load(Ordering::Relaxed) == HALF_WRITE {
            JournalFile::write_all_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        JournalFile::write_all_at(&self.file, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fault.load(Ordering::Relaxed) == SYNC {
            Err(io::Error::other("lost"))
        } else {
            self.file.sync_data()
        }
    }
}

/// A store in `directory` on a disk that fails as the returned switch says.
fn faulty(directory: &Path) -> (LogStore, Arc<AtomicU8>) {
    let store = open(directory);
    let fault = Arc::new(AtomicU8::new(0));
    let mut state = store.shared.state.lock();
    let Journal { live, other, .. } = &mut state.journal;
    for half in [live, other] {
        let file = fs::OpenOptions::new().write(true).open(directory.join(half.name)).unwrap();
        half.file = Box::new(Faulty { file, fault: fault.clone() });
    }
    drop(state);
    (store, fault)
}

#[test]
fn what_was_set_is_read_and_comes_to_stand_in_plain_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("state/log");
    let store = open(&log);
    assert_eq!(store.get("checkpoint").unwrap(), None);
    assert_eq!(store.get("tile/0/000").unwrap(), None);
    store.set_many(batch(&[("tile/0/x001/067.p/3", "tile"), ("checkpoint", "one")])).unwrap();
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    store.set_many(vec![]).unwrap();
    for _ in ["from memory", "from files"] {
        assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(store.get("tile/0/x001/067.p/3").unwrap().as_deref(), Some(&b"tile"[..]));
        write_out(&store).unwrap();
    }
    assert_eq!(fs::read(log.join("tile/0/x001/067.p/3")).unwrap(), b"tile");
    store.delete_many(&["tile/0/x001/067.p/3".into(), "tile/9/000".into()]).unwrap();
    assert_eq!(store.get("tile/0/x001/067.p/3").unwrap(), None);
    write_out(&store).unwrap();
    assert_eq!(files(&log), values(&[("checkpoint", "two")]));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(LogStore::open(dir.path()), Err(LogStoreError::Locked(_))));
    drop(store);
    assert!(LogStore::open(dir.path()).is_ok());
}

#[test]
fn keys_that_are_none_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let values = batch(&[("checkpoint", "one"), ("../outside", "two")]);
    assert!(matches!(store.set_many(values), Err(LogStoreError::Key(key)) if key == "../outside"));
    assert!(matches!(store.get(".journal"), Err(LogStoreError::Key(_))));
    assert!(matches!(store.delete_many(&[".lock".into()]), Err(LogStoreError::Key(_))));
    drop(store);
    assert!(files(dir.path()).is_empty());
}

#[test]
fn partial_tiles_that_were_replaced_within_an_interval_never_become_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let sizes = |sizes: std::ops::Range<u32>| {
        for size in sizes {
            let tiles =
                ["tile/0/000.p", "tile/entries/000.p"].map(|tile| (format!("{tile}/{size}"), vec![1]));
            store.set_many([&tiles[..], &[("checkpoint".into(), size.to_string().into())]].concat()).unwrap();
        }
        write_out(&store).unwrap();
        files(dir.path()).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(sizes(1..100), ["checkpoint", "tile/0/000.p/99", "tile/entries/000.p/99"]);
    // What the published checkpoint needs stays until it is deleted.
    assert_eq!(sizes(100..201).len(), 5);
    let all: Vec<String> = (1..256).map(|size| format!("tile/0/000.p/{size}")).collect();
    store.set_many(batch(&[("tile/0/000", "full"), ("checkpoint", "256")])).unwrap();
    store.delete_many(&all).unwrap();
    assert_eq!(sizes(0..0).len(), 4, "the bundle's two, the full tile and the checkpoint");
}

#[test]
fn the_store_writes_files_by_itself_and_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open_with(dir.path(), AT_ONCE).unwrap();
    for round in ["one", "two", "three"] {
        store.set_many(batch(&[("checkpoint", round)])).unwrap();
        while files(dir.path()) != values(&[("checkpoint", round)]) {
            std::thread::yield_now();
        }
    }
    drop(store);
    let store = open(dir.path());
    store.set_many(batch(&[("checkpoint", "four")])).unwrap();
    assert_eq!(files(dir.path()), values(&[("checkpoint", "three")]));
    drop(store);
    assert_eq!(files(dir.path()), values(&[("checkpoint", "four")]));
}

#[test]
fn whoever_sets_faster_than_files_are_written_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open_with(dir.path(), Bounds { overlay_bytes: 9, ..BY_HAND }).unwrap();
    store.set_many(batch(&[("tile/0/000", "more than nine bytes")])).unwrap();
    assert!(files(dir.path()).is_empty());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    assert_eq!(files(dir.path()), values(&[("tile/0/000", "more than nine bytes")]));
}

#[test]
fn the_journal_begins_anew_when_it_has_grown_and_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { journal_bytes: 40_000, ..BY_HAND };
    let store = LogStore::open_with(dir.path(), bounds).unwrap();
    let length = || store.shared.state.lock().journal.len();
    let mut longest = 0;
    for number in 0..100 {
        let tile = (format!("tile/0/{number:03}"), vec![number; 9]);
        store.set_many(vec![tile, ("checkpoint".into(), vec![number])]).unwrap();
        longest = longest.max(length());
    }
    assert!((60_000..100_000).contains(&longest), "{longest}");
    drop(store);
    assert_eq!(files(dir.path()).len(), 101);
    let bytes = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
    let before = (bytes(".journal"), bytes(".journal.2"));
    let store = open(dir.path());
    assert_eq!(store.shared.state.lock().journal.len(), 4_096, "one frame of nothing");
    assert_eq!((bytes(".journal"), bytes(".journal.2")), before, "files are used again");
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was_and_usable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = faulty(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    fault.store(HALF_WRITE, Ordering::Relaxed);
    let error = store.set_many(batch(&[("checkpoint", "two"), ("tile/0/000", "x")])).unwrap_err();
    assert_eq!(error.to_string(), "writing `.journal.2` failed");
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(seen(dir.path(), &["checkpoint", "tile/0/000"]), values(&[("checkpoint", "one")]));
    fault.store(0, Ordering::Relaxed);
    store.set_many(batch(&[("checkpoint", "three")])).unwrap();
    drop(store);
    open(dir.path());
    assert_eq!(files(dir.path()), values(&[("checkpoint", "three")]));
}

#[test]
fn after_a_failed_sync_the_next_call_tells_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = faulty(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    fault.store(SYNC, Ordering::Relaxed);
    assert!(matches!(store.set_many(batch(&[("checkpoint", "two")])), Err(LogStoreError::Io { .. })));
    // The journal is opened anew, and so gets rid of the fault.
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(files(dir.path()), values(&[("checkpoint", "two")]));
    store.set_many(batch(&[("checkpoint", "three")])).unwrap();
    drop(store);
    open(dir.path());
    assert_eq!(files(dir.path()), values(&[("checkpoint", "three")]));
}

#[test]
fn a_generation_that_cannot_begin_loses_nothing() {
    for how in [HALF_WRITE, SYNC] {
        let dir = tempfile::tempdir().unwrap();
        let (store, fault) = faulty(dir.path());
        store.set_many(batch(&[("tile/0/000", "x"), ("checkpoint", "one")])).unwrap();
        fault.store(how, Ordering::Relaxed);
        assert!(store.shared.begin_journal().is_err());
        assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"one"[..]));
        store.set_many(batch(&[("checkpoint", "two")])).unwrap();
        drop(store);
        open(dir.path());
        assert_eq!(files(dir.path()), values(&[("tile/0/000", "x"), ("checkpoint", "two")]));
    }
}

#[test]
fn a_file_that_cannot_be_written_refuses_the_next_batch_and_is_written_when_it_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open_with(dir.path(), AT_ONCE).unwrap();
    fs::write(dir.path().join("tile"), b"in the way").unwrap();
    store.set_many(batch(&[("tile/0/000", "x"), ("checkpoint", "one")])).unwrap();
    while !store.shared.state.lock().in_doubt {
        std::thread::yield_now();
    }
    assert!(matches!(store.set_many(batch(&[("checkpoint", "two")])), Err(LogStoreError::Io { .. })));
    assert!(matches!(store.get("checkpoint"), Err(LogStoreError::Io { .. })));
    let keys = ["tile/0/000", "checkpoint"];
    fs::remove_file(dir.path().join("tile")).unwrap();
    assert_eq!(seen(dir.path(), &keys), values(&[("tile/0/000", "x"), ("checkpoint", "one")]));
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(files(dir.path()), values(&[("tile/0/000", "x"), ("checkpoint", "one")]));
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    drop(store);
    assert_eq!(files(dir.path()), values(&[("tile/0/000", "x"), ("checkpoint", "two")]));
}

#[test]
fn few_files_are_open_however_many_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let open_files = || fs::read_dir("/dev/fd").unwrap().count();
    let before = open_files();
    store.set_many((0..900).map(|n| (format!("tile/0/{n:03}"), vec![1])).collect()).unwrap();
    write_out(&store).unwrap();
    assert!(open_files() < before + 200, "{before} {}", open_files());
    store.shared.begin_journal().unwrap();
    assert_eq!(files(dir.path()).len(), 900);
}

#[test]
fn threads_share_a_store_and_batches_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { journal_bytes: 10_000, overlay_bytes: 30, ..AT_ONCE };
    let store = LogStore::open_with(dir.path(), bounds).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..10 {
                    let value = format!("{thread} {round}");
                    store.set_many(batch(&[("tile/0/000", &value), ("checkpoint", &value)])).unwrap();
                }
            });
        }
    });
    assert_eq!(store.get("tile/0/000").unwrap(), store.get("checkpoint").unwrap());
}
