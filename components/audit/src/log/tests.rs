use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::merkle::tests::naive_root;
use crate::merkle::{empty_root, hash_leaf};
use crate::record::tests::entry;
use crate::verify::verify_log;

pub(crate) const ORIGIN: &str = "log.example/audit";

/// A bucket in memory that fails when told to.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) values: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    fail: Rc<Cell<Option<Failure>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Failure {
    /// Refuses the write.
    Write,
    /// Keeps the write, and says that it failed.
    WriteKept,
    Delete,
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.values.borrow().get(key).cloned())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        if self.fail.get() == Some(Failure::Write) {
            return Err("disk full".into());
        }
        self.values.borrow_mut().extend(values.iter().cloned());
        if self.fail.get() == Some(Failure::WriteKept) { Err("time-out".into()) } else { Ok(()) }
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        assert!(keys.len() <= 1_000, "the host takes no larger batch");
        if self.fail.get() == Some(Failure::Delete) {
            return Err("not now".into());
        }
        keys.iter().for_each(|key| drop(self.values.borrow_mut().remove(key)));
        Ok(())
    }
}

impl Memory {
    /// A reader for the functions that read a log from files.
    pub(crate) fn reader(&self) -> impl Fn(&str) -> std::io::Result<Option<Vec<u8>>> {
        let values = self.values.clone();
        move |key| Ok(values.borrow().get(key).cloned())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.values.borrow().keys().cloned().collect()
    }
}

pub(crate) struct TestSigner(pub(crate) SigningKey);

impl Signer for TestSigner {
    fn verifier_key(&self) -> String {
        VerifierKey::new(ORIGIN, self.0.verifying_key().to_bytes()).unwrap().to_string()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.0.sign(text).to_bytes().to_vec())
    }
}

pub(crate) fn signer() -> TestSigner {
    TestSigner(SigningKey::from_bytes(&[42; 32]))
}

pub(crate) fn key() -> VerifierKey {
    signer().verifier_key().parse().unwrap()
}

pub(crate) fn open(memory: &Memory) -> Result<Log<Memory, TestSigner>, LogError> {
    Log::open(ORIGIN, memory.clone(), signer())
}

/// A log with this many records, appended in groups of `group`.
pub(crate) fn log_of(size: u64, group: usize) -> (Memory, Log<Memory, TestSigner>) {
    let memory = Memory::default();
    let mut log = open(&memory).unwrap();
    let entries: Vec<Entry> = (0..size).map(entry).collect();
    for group in entries.chunks(group) {
        log.append(group).unwrap();
    }
    (memory, log)
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|i| hash_leaf(&canonical(&entry(i)).unwrap())).collect()
}

fn checkpoint_of(log: &Log<Memory, TestSigner>) -> Checkpoint {
    let note = Note::parse(log.checkpoint().as_bytes()).unwrap();
    Checkpoint::parse(note.verify(&key()).unwrap()).unwrap()
}

#[test]
fn a_new_log_has_a_signed_checkpoint_over_nothing() {
    let memory = Memory::default();
    let log = open(&memory).unwrap();
    assert_eq!(log.size(), 0);
    assert_eq!(memory.keys(), ["checkpoint"]);
    assert_eq!(checkpoint_of(&log), Checkpoint { origin: ORIGIN.into(), size: 0, root: empty_root() });
    assert_eq!(open(&memory).unwrap().checkpoint(), log.checkpoint());
}

#[test]
fn an_append_writes_records_hashes_and_checkpoint_and_returns_the_first_index() {
    let (memory, mut log) = log_of(3, 3);
    assert_eq!(log.append(&[entry(3), entry(4)]), Ok(3));
    assert_eq!(log.append(&[]), Ok(5));
    assert_eq!(
        memory.keys(),
        ["checkpoint", "tile/0/000.p/3", "tile/0/000.p/5", "tile/entries/000.p/3", "tile/entries/000.p/5"]
    );
}

#[test]
fn partial_tiles_go_when_the_full_tile_is_there_and_not_before() {
    let (memory, mut log) = log_of(255, 5);
    assert_eq!(memory.keys().iter().filter(|key| key.contains(".p/")).count(), 2 * 51);
    log.append(&[entry(255)]).unwrap();
    assert_eq!(memory.keys(), ["checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
}

#[test]
fn partial_tiles_that_a_stopped_host_left_go_after_the_next_append() {
    let (memory, mut log) = log_of(250, 10);
    memory.fail.set(Some(Failure::Delete));
    log.append(&(250..260).map(entry).collect::<Vec<_>>()).unwrap();
    assert!(memory.keys().contains(&"tile/0/000.p/250".to_owned()));
    memory.fail.set(None);
    let mut log = open(&memory).unwrap();
    log.append(&[entry(260)]).unwrap();
    let left: Vec<_> = memory.keys().into_iter().filter(|key| key.contains("000.p/")).collect();
    assert_eq!(left, ["tile/1/000.p/1"]);
}

#[test]
fn deleting_is_tried_again_and_is_no_failure_of_the_append() {
    let (memory, mut log) = log_of(255, 255);
    memory.fail.set(Some(Failure::Delete));
    assert_eq!(log.append(&[entry(255)]), Ok(255));
    assert!(memory.keys().contains(&"tile/0/000.p/255".to_owned()));
    memory.fail.set(None);
    log.append(&[entry(256)]).unwrap();
    assert!(!memory.keys().contains(&"tile/0/000.p/255".to_owned()));
}

#[test]
fn a_group_larger_than_a_tile_fills_tiles_and_begins_the_next() {
    let (memory, log) = log_of(70_000, 70_000);
    assert_eq!(log.size(), 70_000);
    let keys = memory.keys();
    for key in ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
        assert!(keys.contains(&key.to_owned()), "{key}");
    }
    assert_eq!(keys.len(), 1 + 274 + 274 + 2 + 1);
    assert_eq!(checkpoint_of(&log).root, naive_root(&leaves(70_000)));
    assert_eq!(open(&memory).unwrap().checkpoint(), log.checkpoint());
    let summary = verify_log(&memory.reader(), &key()).unwrap();
    assert_eq!((summary.size, summary.root), (70_000, checkpoint_of(&log).root));
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let proof = log.prove(index, 70_000).unwrap();
        let leaf = hash_leaf(&canonical(&entry(index)).unwrap());
        assert_eq!(proof::verify_inclusion(&leaf, index, 70_000, &summary.root, &proof), Ok(()));
    }
}

#[test]
fn a_failed_write_leaves_the_log_as_it_was() {
    let (memory, mut log) = log_of(254, 100);
    let (before, files) = (log.checkpoint().to_owned(), memory.values.borrow().clone());
    memory.fail.set(Some(Failure::Write));
    let group: Vec<Entry> = (254..300).map(entry).collect();
    assert_eq!(log.append(&group), Err(LogError::Store("disk full".into())));
    assert_eq!((log.size(), log.checkpoint()), (254, before.as_str()));
    assert_eq!(*memory.values.borrow(), files);
    memory.fail.set(None);
    assert_eq!(log.append(&group), Ok(254));
    assert_eq!(checkpoint_of(&log).root, naive_root(&leaves(300)));
    verify_log(&memory.reader(), &key()).unwrap();
}

#[test]
fn a_store_that_kept_a_write_it_called_failed_is_not_written_over() {
    let (memory, mut log) = log_of(4, 4);
    memory.fail.set(Some(Failure::WriteKept));
    assert!(log.append(&[entry(4)]).is_err());
    memory.fail.set(None);
    assert!(
        matches!(log.append(&[entry(5)]), Err(LogError::Store(text)) if text.contains("open the log again"))
    );
    let mut log = open(&memory).unwrap();
    assert_eq!(log.append(&[entry(5)]), Ok(5));
}

#[test]
fn an_entry_that_is_too_large_is_named_by_its_place_and_nothing_is_written() {
    let (memory, mut log) = log_of(2, 2);
    let large = Entry { metadata: vec![("n".into(), "v".repeat(1024)); 64], ..entry(9) };
    let files = memory.values.borrow().clone();
    assert_eq!(log.append(&[entry(2), large, entry(3)]), Err(LogError::TooLarge(1)));
    assert_eq!(*memory.values.borrow(), files);
    assert_eq!(log.append(&[entry(2)]), Ok(2));
}

#[test]
fn a_key_of_another_name_or_another_key_does_not_open_the_log() {
    let (memory, _) = log_of(2, 2);
    assert!(matches!(Log::open("other.example", memory.clone(), signer()), Err(LogError::Signer(_))));
    let other = TestSigner(SigningKey::from_bytes(&[1; 32]));
    assert!(matches!(Log::open(ORIGIN, memory.clone(), other), Err(LogError::Corrupt(_))));
}

#[test]
fn tiles_without_a_checkpoint_are_not_written_over() {
    for size in [1, 7, 255, 256, 1000] {
        let (memory, _) = log_of(size, 64);
        memory.values.borrow_mut().remove("checkpoint");
        assert!(matches!(open(&memory), Err(LogError::Corrupt(_))), "{size}");
    }
}

#[test]
fn a_damaged_right_edge_does_not_open() {
    let (memory, _) = log_of(600, 600);
    for key in ["checkpoint", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"] {
        let good = memory.values.borrow()[key].clone();
        for place in (0..good.len()).step_by(if key == "checkpoint" { 1 } else { 37 }) {
            let mut bad = good.clone();
            bad[place] ^= 0x04;
            memory.values.borrow_mut().insert(key.into(), bad);
            assert!(matches!(open(&memory), Err(LogError::Corrupt(_))), "byte {place} of {key}");
        }
        memory.values.borrow_mut().remove(key);
        assert!(matches!(open(&memory), Err(LogError::Corrupt(_))), "{key} missing");
        memory.values.borrow_mut().insert(key.into(), good);
    }
    assert!(open(&memory).is_ok());
}

#[test]
fn a_proof_over_a_damaged_tile_is_an_error() {
    let (memory, log) = log_of(600, 600);
    memory.values.borrow_mut().get_mut("tile/0/001").unwrap()[100] ^= 1;
    assert!(matches!(log.prove(300, 600), Err(LogError::Corrupt(_))));
    assert!(matches!(log.prove(300, 599), Err(LogError::Corrupt(_))));
    assert_eq!(log.prove(600, 600), Err(LogError::OutOfRange));
    assert_eq!(log.prove(0, 601), Err(LogError::OutOfRange));
    assert_eq!(log.prove(0, 0), Err(LogError::OutOfRange));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_groups_make_the_tree_of_the_definition(
        groups in prop::collection::vec(0_usize..400, 1..8),
        reopen: u8,
        at: prop::sample::Index,
        within: prop::sample::Index,
    ) {
        let memory = Memory::default();
        let mut log = open(&memory).unwrap();
        let mut size = 0;
        for (place, &group) in groups.iter().enumerate() {
            let entries: Vec<Entry> = (size..size + group as u64).map(entry).collect();
            prop_assert_eq!(log.append(&entries), Ok(size));
            size += group as u64;
            if reopen >> place & 1 == 1 {
                log = open(&memory).unwrap();
            }
            prop_assert_eq!(log.size(), size);
        }
        let leaves = leaves(size);
        prop_assert_eq!(checkpoint_of(&log).root, naive_root(&leaves));
        prop_assert_eq!(verify_log(&memory.reader(), &key()).unwrap().size, size);
        if size > 0 {
            let part = at.index(size as usize) + 1;
            let index = within.index(part);
            let proof = log.prove(index as u64, part as u64).unwrap();
            let root = naive_root(&leaves[..part]);
            prop_assert_eq!(
                proof::verify_inclusion(&leaves[index], index as u64, part as u64, &root, &proof), Ok(())
            );
        }
    }
}
