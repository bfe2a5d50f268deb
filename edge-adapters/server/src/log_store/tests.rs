use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use proptest::prelude::*;

use super::*;
use crate::log_store::journal::JournalFile;

type Values = BTreeMap<String, Vec<u8>>;

fn batch(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
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

fn put(directory: &Path, values: &Values) {
    for (key, value) in values {
        let path = directory.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }
}

/// A disk that fails when told to.
struct Faulty {
    file: std::fs::File,
    fault: Arc<AtomicU8>,
}

const HALF_WRITE: u8 = 1;
const HALF_WRITE_AND_NO_WAY_BACK: u8 = 2;
const SYNC: u8 = 3;

impl JournalFile for Faulty {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if matches!(self.fault.load(Ordering::Relaxed), HALF_WRITE | HALF_WRITE_AND_NO_WAY_BACK) {
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

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.fault.load(Ordering::Relaxed) == HALF_WRITE_AND_NO_WAY_BACK {
            return Err(io::Error::other("read-only"));
        }
        self.file.set_len(len)
    }
}

/// A store in `directory` on a disk that fails as the returned switch says.
fn faulty(directory: &Path) -> (LogStore, Arc<AtomicU8>) {
    let store = LogStore::open(directory).unwrap();
    let fault = Arc::new(AtomicU8::new(0));
    let file = fs::OpenOptions::new().write(true).open(directory.join(".journal")).unwrap();
    store.writer.lock().journal.file = Box::new(Faulty { file, fault: fault.clone() });
    (store, fault)
}

#[test]
fn what_was_set_is_read_and_stands_in_plain_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("state/log");
    let store = LogStore::open(&log).unwrap();
    assert_eq!(store.get("checkpoint").unwrap(), None);
    assert_eq!(store.get("tile/0/000").unwrap(), None);
    store.set_many(batch(&[("tile/0/x001/067.p/3", "tile"), ("checkpoint", "one")])).unwrap();
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    store.set_many(vec![]).unwrap();
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(fs::read(log.join("tile/0/x001/067.p/3")).unwrap(), b"tile");
    store.delete_many(&["tile/0/x001/067.p/3".into(), "tile/9/000".into()]).unwrap();
    assert_eq!(files(&log), Values::from_iter(batch(&[("checkpoint", "two")])));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    assert!(matches!(LogStore::open(dir.path()), Err(LogStoreError::Locked(_))));
    drop(store);
    assert!(LogStore::open(dir.path()).is_ok());
}

#[test]
fn keys_that_are_none_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let values = batch(&[("checkpoint", "one"), ("../outside", "two")]);
    assert!(matches!(store.set_many(values), Err(LogStoreError::Key(key)) if key == "../outside"));
    assert!(matches!(store.get(".journal"), Err(LogStoreError::Key(_))));
    assert!(matches!(store.delete_many(&[".lock".into()]), Err(LogStoreError::Key(_))));
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was_and_usable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = faulty(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    fault.store(HALF_WRITE, Ordering::Relaxed);
    let error = store.set_many(batch(&[("checkpoint", "two"), ("tile/0/000", "x")])).unwrap_err();
    assert_eq!(error.to_string(), "writing `.journal` failed");
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"one"[..]));
    fault.store(0, Ordering::Relaxed);
    store.set_many(batch(&[("checkpoint", "three")])).unwrap();
    drop(store);
    LogStore::open(dir.path()).unwrap();
    assert_eq!(files(dir.path()), Values::from_iter(batch(&[("checkpoint", "three")])));
}

#[test]
fn after_a_failed_sync_or_a_half_write_that_stays_the_next_call_tells_what_is_there() {
    for (how, after) in [(SYNC, "two"), (HALF_WRITE_AND_NO_WAY_BACK, "one")] {
        let dir = tempfile::tempdir().unwrap();
        let (store, fault) = faulty(dir.path());
        store.set_many(batch(&[("checkpoint", "one")])).unwrap();
        fault.store(how, Ordering::Relaxed);
        assert!(matches!(store.set_many(batch(&[("checkpoint", "two")])), Err(LogStoreError::Io { .. })));
        assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(after.as_bytes()));
        store.set_many(batch(&[("checkpoint", "three")])).unwrap();
        drop(store);
        let store = LogStore::open(dir.path()).unwrap();
        assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"three"[..]));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_written_by_the_next_call_that_can() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    fs::write(dir.path().join("tile"), b"in the way").unwrap();
    let values = batch(&[("tile/0/000", "x"), ("checkpoint", "two")]);
    assert!(matches!(store.set_many(values.clone()), Err(LogStoreError::Io { .. })));
    assert!(
        matches!(store.get("checkpoint"), Err(LogStoreError::Io { .. })),
        "a reader would see half a batch"
    );
    fs::remove_file(dir.path().join("tile")).unwrap();
    assert_eq!(store.get("checkpoint").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(files(dir.path()), Values::from_iter(values));
}

#[test]
fn the_journal_is_emptied_when_it_has_grown_and_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let journal = || fs::metadata(dir.path().join(".journal")).unwrap().len();
    store.writer.lock().journal_bytes = 300;
    let mut longest = 0;
    for number in 0..40 {
        store
            .set_many(vec![
                (format!("tile/0/{number:03}"), vec![number; 9]),
                ("checkpoint".into(), vec![number]),
            ])
            .unwrap();
        longest = longest.max(journal());
        assert!(journal() <= 300);
    }
    assert!(longest > 100);
    store.writer.lock().journal_bytes = JOURNAL_BYTES;
    store.set_many(batch(&[("checkpoint", "last")])).unwrap();
    assert!(journal() > 0);
    drop(store);
    LogStore::open(dir.path()).unwrap();
    assert_eq!((journal(), files(dir.path()).len()), (0, 41));
}

#[test]
fn files_are_synced_one_by_one_where_the_system_cannot_do_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store.set_many(batch(&[("tile/0/x001/000", "x"), ("checkpoint", "one")])).unwrap();
    let writer = store.writer.lock();
    assert_eq!(writer.unsynced.len(), 2);
    store.files.sync(&writer.unsynced).unwrap();
    assert!(store.files.sync(&BTreeSet::from(["tile/missing".to_owned()])).is_err());
}

#[test]
fn deleted_files_do_not_come_back_with_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    store.set_many(batch(&[("tile/0/000.p/1", "x"), ("checkpoint", "one")])).unwrap();
    store.delete_many(&["tile/0/000.p/1".into()]).unwrap();
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    drop(store);
    LogStore::open(dir.path()).unwrap();
    assert_eq!(files(dir.path()), Values::from_iter(batch(&[("checkpoint", "two")])));
}

#[test]
fn damage_before_whole_frames_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
    let journal = dir.path().join(".journal");
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    let first_end = fs::metadata(&journal).unwrap().len() as usize;
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    drop(store);
    let (good, before) = (fs::read(&journal).unwrap(), files(dir.path()));
    for place in 0..first_end {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        fs::write(&journal, &bad).unwrap();
        assert!(matches!(LogStore::open(dir.path()), Err(LogStoreError::Damaged { offset: 0 })), "{place}");
        assert_eq!(fs::read(&journal).unwrap(), bad);
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn threads_share_a_store_and_batches_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = LogStore::open(dir.path()).unwrap();
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

/// Batches of few keys, so that they overlap.
fn batches() -> impl Strategy<Value = Vec<Vec<(String, Vec<u8>)>>> {
    let key = prop::sample::select(vec![
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/000.p/9",
        "tile/entries/x001/000",
    ]);
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let change = (key.prop_map(str::to_owned), value);
    prop::collection::vec(prop::collection::vec(change, 1..5), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A crash while the last batch was on its way: the journal ends anywhere in its frame, and the files are those
    /// of before it, or, once the frame is whole, any mixture.
    #[test]
    fn a_cut_journal_gives_the_state_before_or_after_the_batch(batches in batches(), mixture: u64) {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        let journal = dir.path().join(".journal");
        let (mut before, mut start) = (Values::new(), 0);
        for batch in &batches {
            before = files(dir.path());
            start = fs::metadata(&journal).unwrap().len() as usize;
            store.set_many(batch.clone()).unwrap();
        }
        drop(store);
        let (after, whole) = (files(dir.path()), fs::read(&journal).unwrap());
        for end in start..=whole.len() {
            let crashed = tempfile::tempdir().unwrap();
            let complete = end == whole.len();
            put(crashed.path(), &before);
            if complete {
                // What a power cut leaves of files that were not synced: new, old, torn, or gone.
                for (place, (key, value)) in after.iter().enumerate() {
                    match mixture >> (place * 2) & 3 {
                        0 => put(crashed.path(), &Values::from([(key.clone(), value.clone())])),
                        1 => put(crashed.path(), &Values::from([(key.clone(), value[..value.len() / 2].to_vec())])),
                        2 => drop(fs::remove_file(crashed.path().join(key))),
                        _ => {}
                    }
                }
            }
            fs::write(crashed.path().join(".journal"), &whole[..end]).unwrap();
            let store = LogStore::open(crashed.path()).unwrap();
            prop_assert_eq!(&files(crashed.path()), if complete { &after } else { &before }, "cut at {}", end);
            store.set_many(batch(&[("checkpoint", "next")])).unwrap();
        }
    }

    #[test]
    fn a_torn_last_frame_with_any_byte_wrong_is_dropped(batches in batches(), at: prop::sample::Index, bit in 0_u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path()).unwrap();
        let journal = dir.path().join(".journal");
        let (mut before, mut start) = (Values::new(), 0);
        for batch in &batches {
            before = files(dir.path());
            start = fs::metadata(&journal).unwrap().len() as usize;
            store.set_many(batch.clone()).unwrap();
        }
        drop(store);
        let mut bytes = fs::read(&journal).unwrap();
        let place = start + at.index(bytes.len() - start);
        bytes[place] ^= 1_u8 << bit;
        let crashed = tempfile::tempdir().unwrap();
        put(crashed.path(), &before);
        fs::write(crashed.path().join(".journal"), bytes).unwrap();
        LogStore::open(crashed.path()).unwrap();
        prop_assert_eq!(files(crashed.path()), before);
    }
}
