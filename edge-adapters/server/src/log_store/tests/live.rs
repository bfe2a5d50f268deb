//! Readers of a log that is being written.

use std::sync::atomic::AtomicUsize;

use super::*;

#[test]
fn a_reader_sees_a_batch_as_soon_as_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys = ["tile/0/000.p/1", "tile/0/000.p/2", "checkpoint"];
    assert!(seen(dir.path(), &keys).is_empty());
    store.set_many(batch(&[("tile/0/000.p/1", "1"), ("checkpoint", "one")])).unwrap();
    let one = values(&[("tile/0/000.p/1", "1"), ("checkpoint", "one")]);
    assert_eq!(seen(dir.path(), &keys), one);
    write_out(&store).unwrap();
    store.set_many(batch(&[("tile/0/000.p/2", "2"), ("checkpoint", "two")])).unwrap();
    assert_eq!(files(dir.path()), one, "files are older, and whole");
    let two = values(&[("tile/0/000.p/1", "1"), ("tile/0/000.p/2", "2"), ("checkpoint", "two")]);
    assert_eq!(seen(dir.path(), &keys), two);
    store.shared.begin_journal().unwrap();
    assert_eq!(seen(dir.path(), &keys), two);
    drop(store);
    assert_eq!(seen(dir.path(), &keys), two);
}

#[test]
fn a_reader_tells_what_stands_in_a_tile_s_file_and_not_what_should() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_many(batch(&[("tile/0/000", "good"), ("checkpoint", "one")])).unwrap();
    write_out(&store).unwrap();
    fs::write(dir.path().join("tile/0/000"), "bad").unwrap();
    assert_eq!(seen(dir.path(), &["tile/0/000"]), values(&[("tile/0/000", "bad")]));
}

#[test]
fn a_mirror_without_a_journal_is_read_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("checkpoint"), "one").unwrap();
    assert_eq!(seen(dir.path(), &["checkpoint", "tile/0/000"]), values(&[("checkpoint", "one")]));
    assert!(seen(&dir.path().join("none"), &["checkpoint"]).is_empty());
}

#[test]
fn a_journal_of_an_earlier_version_is_refused_and_its_files_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".journal"), b"TGJ1 and frames").unwrap();
    fs::write(dir.path().join("checkpoint"), "one").unwrap();
    assert!(matches!(LogStore::open(dir.path()), Err(LogStoreError::Older)));
    assert_eq!(fs::read(dir.path().join(".journal")).unwrap(), b"TGJ1 and frames");
    assert_eq!(seen(dir.path(), &["checkpoint"]), values(&[("checkpoint", "one")]));
}

/// Each batch is a tile of its own and a checkpoint that needs it. Files are written and the journal begins anew all
/// the time; a reader who opens the log finds at least what was acknowledged before, and every tile of it.
#[test]
fn readers_find_every_acknowledged_batch_whatever_the_store_is_doing() {
    const BATCHES: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { journal_bytes: 10_000, ..AT_ONCE };
    let store = LogStore::open_with(dir.path(), bounds).unwrap();
    store.set_many(batch(&[("checkpoint", "0")])).unwrap();
    write_out(&store).unwrap();
    let acknowledged = AtomicUsize::new(0);
    let number =
        |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap().parse::<usize>().unwrap();
    let tile = |number: usize| format!("tile/0/x{:03}/{:03}", number / 20, number % 20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 1..=BATCHES {
                let at_text = at.to_string();
                store.set_many(batch(&[(&tile(at), &at_text), ("checkpoint", &at_text)])).unwrap();
                acknowledged.store(at, Ordering::SeqCst);
            }
        });
        for plain in [false, true] {
            let (acknowledged, dir) = (&acknowledged, dir.path());
            scope.spawn(move || {
                loop {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let reader = (!plain).then(|| LogReader::open(dir).unwrap());
                    let read = |key: &str| match &reader {
                        Some(reader) => reader.read(key).unwrap(),
                        None => fs::read(dir.join(key)).ok(),
                    };
                    let size = number(read("checkpoint"));
                    assert!(plain || size >= least, "{size} of {least}");
                    for at in 1..=size {
                        assert_eq!(number(read(&tile(at))), at);
                    }
                    if least == BATCHES {
                        break;
                    }
                }
            });
        }
    });
}
