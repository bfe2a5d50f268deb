use super::super::UsageTotals;
use super::super::totals::ENTRY_BYTES;
use super::*;
use std::os::unix::fs::PermissionsExt;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn open(path: &Path) -> SqliteBuckets {
    SqliteBuckets::open(path, StoreLimits::default()).unwrap()
}

/// What a kill would leave: the files as they are at this moment, without anything being closed.
fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        // The shared memory is rebuilt from the WAL, as after a reboot.
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let buckets = open(&before.path().join("db"));
    let bucket = buckets.open_store(&name("acme"), &name("s"));
    for number in 0..20 {
        bucket.write(vec![(format!("k{number:02}"), Some(Bytes::from("v")))]).await.unwrap();
    }
    bucket.increment("sum", 41).await.unwrap();
    let usage = buckets.usage_book();
    usage.add(&name("acme"), Hour(7), UsageTotals { requests: 1, gas: 5, bytes_in: 2, bytes_out: 3 });
    usage.flush().await.unwrap();
    copy_files(before.path(), after.path());

    let again = open(&after.path().join("db"));
    let bucket = again.open_store(&name("acme"), &name("s"));
    assert_eq!(bucket.keys(None, 100).await.unwrap().keys.len(), 21);
    assert_eq!(bucket.increment("sum", 1).await.unwrap(), 42);
    let read = again.usage_book().read(&name("acme"), Hour(0), Hour(9)).await.unwrap();
    let gas: Vec<_> = read.iter().map(|(hour, sum)| (*hour, sum.gas)).collect();
    assert_eq!(gas, [(Hour(7), 5)]);
    let all = again.usage_book().of_hour(Hour(7)).await.unwrap();
    assert_eq!(
        all.into_iter().map(|(tenant, sum)| (tenant, sum.gas)).collect::<Vec<_>>(),
        [(name("acme"), 5)]
    );
    assert!(again.usage_book().of_hour(Hour(8)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_nobody_wrote_for_the_idle_time_is_dropped_and_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let limits = StoreLimits { store_bytes: 1_000, ..StoreLimits::default() };
    let buckets = SqliteBuckets::open(&folder.path().join("db"), limits).unwrap();
    let bucket = buckets.open_store(&name("acme"), &name("limits"));
    let large = |key: &str| vec![(key.to_owned(), Some(Bytes::from(vec![1; 600])))];
    bucket.write(large("old")).await.unwrap();
    assert!(matches!(bucket.write(large("new")).await, Err(BucketError::Full { .. })));
    // No time at all: whatever was written before this second's end is idle.
    buckets.forget_idle(&name("acme"), &name("limits"), Duration::ZERO).await.unwrap();
    bucket.write(large("new")).await.unwrap();
    assert_eq!(bucket.keys(None, 10).await.unwrap().keys, ["new"]);
}

#[tokio::test]
async fn a_torn_write_at_the_end_of_the_wal_loses_only_what_was_not_acknowledged() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let buckets = open(&before.path().join("db"));
    let bucket = buckets.open_store(&name("acme"), &name("s"));
    bucket.write(vec![("kept".to_owned(), Some(Bytes::from("v")))]).await.unwrap();
    let whole = std::fs::metadata(before.path().join("db-wal")).unwrap().len();
    bucket.write(vec![("torn".to_owned(), Some(Bytes::from(vec![1; 9_000])))]).await.unwrap();
    copy_files(before.path(), after.path());
    let wal = std::fs::OpenOptions::new().write(true).open(after.path().join("db-wal")).unwrap();
    wal.set_len(whole + 5_000).unwrap();

    let again = open(&after.path().join("db"));
    let bucket = again.open_store(&name("acme"), &name("s"));
    assert_eq!(bucket.keys(None, 100).await.unwrap().keys, ["kept"]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let connection = schema::open(&path).unwrap();
    // SQLite's own bound on pages answers just as a full disk does.
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    connection.pragma_update_and_check(None, "max_page_count", pages + 20, |_| Ok(())).unwrap();
    let usage = Arc::new(Pending::default());
    let (limits, totals) = (StoreLimits::default(), Totals::default());
    let file = SameFile::at(&path).unwrap();
    let writer = Writer::start(connection, limits, totals.clone(), Arc::clone(&usage), file).unwrap();
    let readers = Readers::open(&path).unwrap();
    let buckets = SqliteBuckets {
        database: Arc::new(Database { writer, readers, usage }),
        limits,
        totals: totals.clone(),
    };
    let bucket = buckets.open_store(&name("acme"), &name("s"));
    bucket.write(vec![("a".to_owned(), Some(Bytes::from("v")))]).await.unwrap();
    buckets.usage_book().add(&name("acme"), Hour(1), UsageTotals { gas: 9, ..UsageTotals::default() });

    let full = bucket.write(vec![("b".to_owned(), Some(Bytes::from(vec![1; 500_000])))]).await;
    assert!(matches!(&full, Err(BucketError::Backend(text)) if text.contains("full")), "{full:?}");
    assert_eq!(bucket.keys(None, 100).await.unwrap().keys, ["a"]);
    let entry = 2 + ENTRY_BYTES;
    assert_eq!(totals.of(&name("acme")).used().used, entry, "what was not written is not counted");

    // Small writes go on, with true books of bytes, and no usage is lost by the failure.
    bucket.write(vec![("c".to_owned(), Some(Bytes::from("v")))]).await.unwrap();
    assert_eq!(bucket.keys(None, 100).await.unwrap().keys, ["a", "c"]);
    assert_eq!(totals.of(&name("acme")).used().used, 2 * entry);
    let read = buckets.usage_book().read(&name("acme"), Hour(0), Hour(9)).await.unwrap();
    assert_eq!(read.get(&Hour(1)).unwrap().gas, 9);
}

#[tokio::test]
async fn writes_that_wait_together_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let buckets = open(&path);
    let bucket = buckets.open_store(&name("acme"), &name("s"));
    bucket.increment("n", 0).await.unwrap();
    // Another process holds the database while 100 writers queue up.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writes = Box::pin(futures::future::join_all((0..100).map(|_| bucket.increment("n", 1))));
    assert!(futures::poll!(&mut writes).is_pending());
    let wal = || std::fs::metadata(folder.path().join("db-wal")).unwrap().len();
    let before = wal();
    other.execute_batch("COMMIT").unwrap();
    let sums = writes.await;
    assert!(sums.iter().all(Result::is_ok));
    let pages = (wal() - before) / 4_096;
    assert!(pages < 20, "{pages} pages for 100 writes: at least one for each commit");
}

#[test]
fn sums_of_usage_stop_at_the_end_of_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let buckets = open(&folder.path().join("db"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let usage = buckets.usage_book();
    for _ in 0..3 {
        usage.add(
            &name("acme"),
            Hour(1),
            UsageTotals { gas: u64::MAX, requests: 1, ..UsageTotals::default() },
        );
        runtime.block_on(usage.flush()).unwrap();
    }
    let sum = runtime.block_on(usage.read(&name("acme"), Hour(1), Hour(1))).unwrap();
    assert_eq!(sum.get(&Hour(1)).map(|sum| (sum.gas, sum.requests)), Some((i64::MAX.unsigned_abs(), 3)));
}

#[tokio::test]
async fn usage_is_written_by_itself_when_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let buckets = open(&path);
    buckets.usage_book().add(&name("acme"), Hour(1), UsageTotals { gas: 9, ..UsageTotals::default() });
    let other = rusqlite::Connection::open(&path).unwrap();
    let rows = || other.query_row("SELECT count(*) FROM usage", (), |row| row.get::<_, i64>(0)).unwrap();
    // Seen from outside, and nothing is asked of the writer.
    while rows() == 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let _buckets = open(&folder.path().join("db"));
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn a_later_layout_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(open(&path));
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let refused = SqliteBuckets::open(&path, StoreLimits::default()).err().unwrap().to_string();
    assert!(refused.contains("layout 9") && refused.contains("knows only 1"), "{refused}");
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    std::fs::write(&path, "certainly not a database, but long enough to look like one").unwrap();
    let refused = SqliteBuckets::open(&path, StoreLimits::default()).err().unwrap().to_string();
    assert!(refused.contains("db") && refused.contains("not a database"), "{refused}");
}
