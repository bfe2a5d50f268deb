//! What a kill or a power cut leaves, and damage.

use proptest::prelude::*;

use super::*;

const BLOCK: usize = 4_096;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The directory as it is at this moment, for a store that was killed.
fn killed(directory: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(directory, copied.path());
    copied
}

/// The log's files after the store was opened.
fn opened(directory: &Path) -> Values {
    let store = open(directory);
    let found = files(directory);
    drop(store);
    assert_eq!(files(directory), found);
    found
}

fn journal(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

/// The length of the frame that begins here.
fn frame_len(journal: &[u8], at: usize) -> usize {
    52 + u32::from_le_bytes(*journal[at + 12..].first_chunk().unwrap()) as usize
}

#[test]
fn deleted_files_do_not_come_back_with_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_many(batch(&[("tile/0/000.p/1", "x"), ("checkpoint", "one")])).unwrap();
    write_out(&store).unwrap();
    store.delete_many(&["tile/0/000.p/1".into()]).unwrap();
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    assert_eq!(opened(killed(dir.path()).path()), values(&[("checkpoint", "two")]));
    write_out(&store).unwrap();
    assert_eq!(opened(killed(dir.path()).path()), values(&[("checkpoint", "two")]));
}

#[test]
fn a_partial_tile_that_a_power_cut_tore_is_whole_again_though_a_wider_one_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (key, value) in [("tile/0/000.p/1", "1"), ("tile/0/000.p/2", "12"), ("tile/0/000.p/3", "123")] {
        store.set_many(batch(&[(key, value), ("checkpoint", value)])).unwrap();
        if value != "12" {
            write_out(&store).unwrap();
        }
    }
    let cut = killed(dir.path());
    for torn in ["tile/0/000.p/1", "tile/0/000.p/3", "checkpoint"] {
        fs::write(cut.path().join(torn), "").unwrap();
    }
    let whole = values(&[("tile/0/000.p/1", "1"), ("tile/0/000.p/3", "123"), ("checkpoint", "123")]);
    assert_eq!(opened(cut.path()), whole);
}

/// A store whose journal files have both been used: behind the newest frames there are older ones.
fn with_stale_frames(directory: &Path) -> LogStore {
    let store = open(directory);
    for generation in 0..3 {
        for number in 0..5 {
            let value = format!("{generation} {number}");
            store.set_many(batch(&[("checkpoint", &value), ("tile/0/000", &value)])).unwrap();
        }
        store.shared.begin_journal().unwrap();
    }
    store
}

#[test]
fn frames_of_older_generations_mean_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_stale_frames(dir.path());
    assert_eq!(opened(killed(dir.path()).path())["checkpoint"], b"2 4");
    store.set_many(batch(&[("checkpoint", "last")])).unwrap();
    let crashed = killed(dir.path());
    assert_eq!(seen(crashed.path(), &["checkpoint"]), values(&[("checkpoint", "last")]));
    let now = values(&[("checkpoint", "last"), ("tile/0/000", "2 4")]);
    assert_eq!(opened(crashed.path()), now);
    // Generation 5 is in the first file, over generation 3.
    let newest = journal(dir.path(), ".journal");
    assert_eq!(&newest[..12], b"TGJ2\x05\0\0\0\0\0\0\0");
    assert_eq!(&newest[5 * BLOCK..][..12], b"TGJ2\x03\0\0\0\0\0\0\0");
}

#[test]
fn damage_before_whole_frames_is_an_error_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_stale_frames(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    store.set_many(batch(&[("checkpoint", "two")])).unwrap();
    let good = journal(dir.path(), ".journal");
    for frame in [0, BLOCK] {
        for place in frame..frame + frame_len(&good, frame) {
            let crashed = killed(dir.path());
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            fs::write(crashed.path().join(".journal"), &bad).unwrap();
            let before = files(crashed.path());
            let is_damaged = |error: LogStoreError| matches!(error, LogStoreError::Damaged { file: ".journal", offset } if offset == frame as u64);
            assert!(is_damaged(LogReader::open(crashed.path()).err().unwrap()), "{place}");
            assert!(is_damaged(LogStore::open(crashed.path()).err().unwrap()), "{place}");
            assert_eq!(journal(crashed.path(), ".journal"), bad);
            assert_eq!(files(crashed.path()), before);
        }
    }
}

#[test]
fn a_journal_file_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    for gone in [".journal", ".journal.2"] {
        let crashed = killed(dir.path());
        fs::remove_file(crashed.path().join(gone)).unwrap();
        for _ in ["at first", "and again"] {
            let error = LogStore::open(crashed.path()).err().unwrap();
            assert!(matches!(error, LogStoreError::Damaged { .. }), "{gone}: {error}");
        }
        // With both gone, the log is what its files say.
        for name in [".journal", ".journal.2"] {
            drop(fs::remove_file(crashed.path().join(name)));
        }
        assert_eq!(opened(crashed.path()), files(dir.path()));
    }
}

/// A crash while a generation begins: any of the blocks of its first frame may be on disk, and any may be torn.
#[test]
fn a_generation_that_a_crash_cuts_short_leaves_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = with_stale_frames(dir.path());
    store.set_many(batch(&[("checkpoint", "one")])).unwrap();
    let before = killed(dir.path());
    // What comes while the files are synced goes into the first frame, here of several blocks.
    let mut seed = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(3 * BLOCK)
    .collect();
    let meanwhile = vec![("tile/0/001".to_owned(), noise), ("checkpoint".to_owned(), b"two".to_vec())];
    let mut state = store.shared.state.lock();
    for (key, value) in &meanwhile {
        state.overlay.set(key.clone(), Some(value.clone().into()), |_| false);
    }
    drop(state);
    let State { journal: log, overlay, .. } = &mut *store.shared.state.lock();
    assert!(log.begin(&Change::all(overlay)).is_ok());
    let (old, new) = (journal(before.path(), ".journal.2"), journal(dir.path(), ".journal.2"));
    let len = frame_len(&new, 0);
    assert!(len > 3 * BLOCK);
    let state_of = |mixed: &[u8]| {
        let crashed = killed(before.path());
        fs::write(crashed.path().join(".journal.2"), mixed).unwrap();
        opened(crashed.path())["checkpoint"].clone()
    };
    for on_disk in 0..16_usize {
        let mut mixed = old.clone();
        for block in (0..4).filter(|block| on_disk >> block & 1 == 1) {
            let place = block * BLOCK..(block + 1) * BLOCK;
            mixed[place.clone()].copy_from_slice(&new[place]);
        }
        let expected = if on_disk == 15 { &b"two"[..] } else { b"one" };
        assert_eq!(state_of(&mixed), expected, "{on_disk:b}");
    }
    for cut in (0..60).chain((60..len).step_by(997)) {
        let mixed = [&new[..cut], &old[cut..]].concat();
        assert_eq!(state_of(&mixed), b"one", "{cut}");
    }
}

/// What a store is told, and what it does by itself.
#[derive(Clone, Debug)]
enum Step {
    Set(Vec<(String, Vec<u8>)>),
    WriteOut,
    Begin,
    Open,
}

const KEYS: [&str; 5] = ["checkpoint", "tile/0/000", "tile/0/001", "tile/0/000.p/9", "tile/entries/x001/000"];

/// Batches of few keys, so that they overlap.
fn a_batch() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let key = prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned);
    prop::collection::vec((key, prop::collection::vec(any::<u8>(), 0..40)), 1..5)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => a_batch().prop_map(Step::Set),
        2 => Just(Step::WriteOut),
        1 => Just(Step::Begin),
        1 => Just(Step::Open),
    ];
    prop::collection::vec(step, 1..12)
}

/// What a power cut leaves of files that were not synced: new, torn, or gone.
fn cut_power(directory: &Path, mixture: u64) {
    for (place, (key, value)) in files(directory).into_iter().enumerate() {
        let path = directory.join(&key);
        match mixture >> (place * 2) & 3 {
            0 => fs::write(path, &value[..value.len() / 2]).unwrap(),
            1 => fs::remove_file(path).unwrap(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The host is killed after each step: all that was acknowledged is there, for a reader at once, and in files after
    /// the next start.
    #[test]
    fn a_kill_after_any_step_loses_nothing(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Some(open(dir.path()));
        let mut expected = Values::new();
        for step in steps {
            let now = store.as_ref().unwrap();
            match step {
                Step::Set(batch) => {
                    now.set_many(batch.clone()).unwrap();
                    expected.extend(batch);
                }
                Step::WriteOut => write_out(now).unwrap(),
                Step::Begin => now.shared.begin_journal().unwrap(),
                Step::Open => {
                    drop(store.take());
                    store = Some(open(dir.path()));
                }
            }
            let found = seen(dir.path(), &["checkpoint"]);
            prop_assert_eq!(found.get("checkpoint"), expected.get("checkpoint"));
            prop_assert_eq!(&opened(killed(dir.path()).path()), &expected);
        }
    }

    /// A power cut while the last batch was on its way: its frame ends anywhere, with older frames behind it, and files
    /// that were not synced are new, torn or gone.
    #[test]
    fn a_cut_journal_gives_the_state_before_or_after_the_batch(
        batches in prop::collection::vec(a_batch(), 1..4),
        written: bool,
        mixture: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = with_stale_frames(dir.path());
        let (last, earlier) = batches.split_last().unwrap();
        let synced = files(dir.path());
        let mut before = synced.clone();
        for batch in earlier {
            store.set_many(batch.clone()).unwrap();
            before.extend(batch.clone());
        }
        if written {
            write_out(&store).unwrap();
        }
        let stood = killed(dir.path());
        let start = store.shared.state.lock().journal.len() as usize;
        store.set_many(last.clone()).unwrap();
        let mut after = before.clone();
        after.extend(last.clone());
        let (old, new) = (journal(stood.path(), ".journal"), journal(dir.path(), ".journal"));
        let whole = start + frame_len(&new, start);
        for end in (start..whole).step_by(11).chain([whole - 1, whole]) {
            let crashed = killed(stood.path());
            if synced != files(crashed.path()) {
                cut_power(crashed.path(), mixture);
                // What was synced, and not written since, is not harmed.
                for (key, value) in synced.iter().filter(|(key, _)| !earlier.iter().flatten().any(|(k, _)| k == *key)) {
                    fs::write(crashed.path().join(key), value).unwrap();
                }
            }
            let mixed = [&new[..end], &old[end..]].concat();
            // What stood there before may happen to end as the frame does.
            let complete = mixed[..whole] == new[..whole];
            fs::write(crashed.path().join(".journal"), mixed).unwrap();
            let store = open(crashed.path());
            prop_assert_eq!(&files(crashed.path()), if complete { &after } else { &before }, "cut at {}", end);
            store.set_many(batch(&[("checkpoint", "next")])).unwrap();
        }
    }

    #[test]
    fn a_last_frame_with_any_bit_wrong_is_dropped(batch in a_batch(), at: prop::sample::Index, bit in 0_u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let store = with_stale_frames(dir.path());
        let before = files(dir.path());
        let start = store.shared.state.lock().journal.len() as usize;
        store.set_many(batch).unwrap();
        let crashed = killed(dir.path());
        let mut bytes = journal(crashed.path(), ".journal");
        let place = start + at.index(frame_len(&bytes, start));
        bytes[place] ^= 1_u8 << bit;
        fs::write(crashed.path().join(".journal"), bytes).unwrap();
        prop_assert_eq!(opened(crashed.path()), before);
    }
}

/// Appends entries of so many bytes to a log's tiles, as the audit component does, with the checkpoint.
struct Growing<'a> {
    store: &'a LogStore,
    tile: Vec<u8>,
    width: usize,
    number: usize,
    /// All that was acknowledged but the partial tiles that a wider one followed.
    acknowledged: Values,
}

impl Growing<'_> {
    fn append(&mut self, entries: &[usize]) {
        let mut batch: Vec<(String, Vec<u8>)> = Vec::new();
        self.acknowledged.retain(|key, _| !key.contains(".p/"));
        for &bytes in entries {
            self.tile.extend(std::iter::repeat_n(self.width as u8, bytes));
            self.width += 1;
            if self.width == 8 {
                batch.push((format!("tile/entries/{:03}", self.number), std::mem::take(&mut self.tile)));
                (self.number, self.width) = (self.number + 1, 0);
            }
        }
        if self.width > 0 {
            batch.push((format!("tile/entries/{:03}.p/{}", self.number, self.width), self.tile.clone()));
        }
        batch.push(("checkpoint".into(), format!("{} {}", self.number, self.width).into()));
        self.acknowledged.extend(batch.iter().cloned());
        self.store.set_many(batch).unwrap();
    }
}

#[derive(Debug, Clone)]
enum Move {
    Append(Vec<usize>),
    WriteOut,
    Begin,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        6 => prop::collection::vec(0..300_usize, 1..12).prop_map(Move::Append),
        1 => Just(Move::WriteOut),
        1 => Just(Move::Begin),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tiles_that_grew_in_the_journal_are_whole_after_a_kill(moves in moves()) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut log =
            Growing { store: &store, tile: Vec::new(), width: 0, number: 0, acknowledged: Values::new() };
        for one in moves {
            match one {
                Move::Append(entries) => log.append(&entries),
                Move::WriteOut => write_out(&store).unwrap(),
                Move::Begin => store.shared.begin_journal().unwrap(),
            }
            let cut = killed(dir.path());
            let read = LogReader::open(cut.path()).unwrap();
            for (key, value) in &log.acknowledged {
                let there = read.read(key).unwrap();
                prop_assert_eq!(there.as_ref(), Some(value));
            }
            let found = opened(cut.path());
            for (key, value) in &log.acknowledged {
                prop_assert_eq!(found.get(key), Some(value), "{}", key);
            }
        }
    }
}

#[test]
fn a_batch_takes_as_much_of_the_journal_as_it_adds_to_its_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // It does not pack well.
    let mut tile: Vec<u8> = (0..2_000_u32).flat_map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
    store.set_many(vec![("tile/entries/000.p/1".into(), tile.clone())]).unwrap();
    let before = store.shared.state.lock().journal.len();
    tile.extend(b"and some more");
    store.set_many(vec![("tile/entries/000.p/2".into(), tile.clone())]).unwrap();
    assert_eq!(store.shared.state.lock().journal.len() - before, BLOCK as u64);
    assert_eq!(opened(killed(dir.path()).path())["tile/entries/000.p/2"], tile);
}
