//! Audit logs: no bytes break their readers, no proof but the right one holds, and a log with a changed byte never
//! verifies as a whole.

use crate::input::Input;
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use tollgate_audit::note::{Note, VerifierKey, assemble};
use tollgate_audit::{
    Actor, ActorKind, Checkpoint, Entry, Hash, Log, Outcome, Signer, Store, Summary, Usage, VerifyError,
    canonical, entry, hash_leaf, parse, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion, verify_log,
};

const ORIGIN: &str = "log.example/audit";

/// Reads the input as each form, as a proof, as changes to a good log, and as a log that our own key vouches for.
pub fn run(data: &[u8]) {
    read(data);
    prove(&mut Input::new(data));
    change(&mut Input::new(data));
    claim(&mut Input::new(data));
}

fn read(data: &[u8]) {
    if let Ok(record) = parse(data) {
        assert_eq!(canonical(&record).unwrap(), data, "a record has one form");
    }
    if let Ok(note) = Note::parse(data) {
        assert!(
            note.verify(&key()).is_err() || note.text() == Note::parse(&good()["checkpoint"]).unwrap().text()
        );
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.text(), text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
    }
}

/// Proofs in a small tree, by the definitions of RFC 9162, section 2.1; then changed.
fn prove(input: &mut Input<'_>) {
    let size = 1 + input.below(40);
    let leaves: Vec<Hash> = (0..size).map(|leaf| hash_leaf(&[leaf as u8])).collect();
    let index = input.below(size);
    let (root, mut proof) = (root(&leaves), path(&leaves, index));
    assert_eq!(verify_inclusion(&leaves[index], index as u64, size as u64, &root, &proof), Ok(()));
    let old = input.below(size + 1);
    let old_root = self::root(&leaves[..old]);
    let grown = if old == 0 || old == size { Vec::new() } else { consistency(&leaves, old, true) };
    assert_eq!(verify_consistency(old as u64, &old_root, size as u64, &root, &grown), Ok(()));
    if distort(&mut proof, input) {
        assert!(verify_inclusion(&leaves[index], index as u64, size as u64, &root, &proof).is_err());
    }
    let mut other = grown;
    if distort(&mut other, input) {
        assert!(verify_consistency(old as u64, &old_root, size as u64, &root, &other).is_err());
    }
    // Figures of any size.
    let (index, size) = (input.scaled(), input.scaled());
    let _ = verify_inclusion(&root, index, size, &old_root, &other);
    let _ = verify_consistency(index, &root, size, &old_root, &other);
}

/// Whether the proof is another now.
fn distort(proof: &mut Vec<Hash>, input: &mut Input<'_>) -> bool {
    let before = proof.clone();
    let at = input.below(proof.len() + 1);
    match input.byte() % 4 {
        0 => proof.truncate(at),
        1 => proof.insert(at, *before.first().unwrap_or(&[0; 32])),
        _ => {
            let (place, bits) = (input.below(32), input.byte());
            if let Some(hash) = proof.get_mut(at) {
                hash[place] ^= bits;
            }
        }
    }
    *proof != before
}

fn children(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::new().finalize().into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves));
            children(&root(left), &root(right))
        }
    }
}

/// The greatest power of two below the number of leaves.
fn split(leaves: &[Hash]) -> usize {
    leaves.len().next_power_of_two() / 2
}

fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves));
    let (mut path, beside) = match index.checked_sub(left.len()) {
        None => (self::path(left, index), root(right)),
        Some(index) => (self::path(right, index), root(left)),
    };
    path.push(beside);
    path
}

fn consistency(leaves: &[Hash], old: usize, whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves));
    let (mut proof, beside) = match old.checked_sub(left.len()) {
        None | Some(0) => (consistency(left, old, whole), root(right)),
        Some(old) => (consistency(right, old, false), root(left)),
    };
    proof.push(beside);
    proof
}

type Files = BTreeMap<String, Vec<u8>>;

/// A log's files in memory.
#[derive(Default)]
struct Memory(RefCell<Files>);

impl Store for &Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.borrow().get(key).cloned())
    }
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        keys.iter().map(|key| self.get(key)).collect()
    }
    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        self.0.borrow_mut().extend(values.iter().cloned());
        Ok(())
    }
    fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        keys.iter().for_each(|key| drop(self.0.borrow_mut().remove(key)));
        Ok(())
    }
}

struct OurSigner;

impl Signer for OurSigner {
    fn verifier_key(&self) -> String {
        key().to_string()
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        Ok(sign(text))
    }
}

fn signing() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

fn sign(text: &[u8]) -> Vec<u8> {
    signing().sign(text).to_bytes().to_vec()
}

fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN, signing().verifying_key().to_bytes()).unwrap()
}

fn record(number: u64) -> Entry {
    Entry {
        request_id: format!("{number:032x}"),
        time: 1_795_000_000_000_000_000 + number,
        tenant: "acme".into(),
        actor: Actor { id: "ada".into(), kind: ActorKind::Client, groups: Vec::new() },
        action: "GET".into(),
        resource: "acme/web/web acme.test /".into(),
        outcome: Outcome::Answered(200),
        client_address: "192.0.2.7".into(),
        metadata: Vec::new(),
        trace_id: "0".repeat(32),
        usage: Usage::default(),
        limits: Vec::new(),
        policies: Vec::new(),
    }
}

/// A log of 258 records in three groups: full, partial and superseded tiles at two levels.
fn good() -> &'static Files {
    static GOOD: OnceLock<Files> = OnceLock::new();
    GOOD.get_or_init(|| {
        let memory = Memory::default();
        let mut log = Log::open(ORIGIN, &memory, OurSigner).unwrap();
        for group in 0..3 {
            let records: Vec<Entry> = (group * 86..group * 86 + 86).map(record).collect();
            log.append(&records).unwrap();
        }
        drop(log);
        let files = memory.0.into_inner();
        assert_eq!(verify(&files).unwrap().size, 258);
        files
    })
}

fn verify(files: &Files) -> Result<Summary, VerifyError> {
    verify_log(&|key: &str| Ok(files.get(key).cloned()), &key())
}

/// Files of the good log, changed.
fn change(input: &mut Input<'_>) {
    let mut files = good().clone();
    let names: Vec<&String> = good().keys().collect();
    for _ in 0..1 + input.below(3) {
        let name = names[input.below(names.len())];
        let kind = input.byte() % 8;
        let bytes = files.entry(name.clone()).or_default();
        let at = input.below(bytes.len() + 1);
        match kind {
            0 => drop(files.remove(name)),
            1 => bytes.truncate(at),
            2 => {
                let length = input.below(64);
                bytes.splice(at..at, input.bytes(length).iter().copied());
            }
            3 => bytes.clone_from(&good()[names[input.below(names.len())]]),
            _ => {
                let bits = input.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
        }
    }
    // What is left away may be a partial tile that nobody needs any more.
    let changed = files.iter().any(|(name, bytes)| name != "checkpoint" && good()[name] != *bytes);
    match verify(&files) {
        Ok(found) => {
            assert!(!changed, "a changed log verified");
            assert_eq!(found, verify(good()).unwrap());
        }
        Err(_) => assert!(files != *good()),
    }
    use_it(files, input);
}

/// Files of the input's own under a checkpoint that our key signed, whatever it says.
fn claim(input: &mut Input<'_>) {
    let mut files = Files::new();
    let few = input.flag();
    let size = if few { input.below(600) as u64 } else { input.scaled() };
    let mut root = [0; 32];
    let stated = input.bytes(32);
    root[..stated.len()].copy_from_slice(stated);
    let text = Checkpoint { origin: ORIGIN.into(), size, root }.text();
    files.insert("checkpoint".into(), assemble(&text, &key(), &sign(text.as_bytes())).into_bytes());
    while !input.is_empty() {
        let name = ["tile/entries/000", "tile/0/000", "tile/1/000", "tile/entries/001", "tile/0/001"];
        let mut name = input.choice(&name).to_owned();
        let width = if few { size % 256 } else { input.byte().into() };
        if input.flag() {
            name += &format!(".p/{width}");
        }
        let length = input.below(200);
        files.insert(name, input.bytes(length).to_vec());
    }
    if let Ok(found) = verify(&files) {
        assert_eq!((found.size, found.root), (size, root));
        assert!(size <= 600, "nobody wrote so many");
    }
    use_it(files, input);
}

/// Reads and writes a log that may be damaged: it says so, or it goes on.
fn use_it(files: Files, input: &mut Input<'_>) {
    let key = key();
    let read = |name: &str| Ok(files.get(name).cloned());
    let index = input.below(300) as u64;
    if let Ok(proof) = prove_inclusion(&read, &key, index) {
        let leaf = hash_leaf(&proof.record);
        let Checkpoint { size, root, .. } = proof.checkpoint;
        assert_eq!(verify_inclusion(&leaf, index, size, &root, &proof.hashes), Ok(()));
    }
    let _ = entry(&read, &key, input.scaled());
    let _ = prove_consistency(&read, &key, index, input.scaled());
    let whole = verify(&files).is_ok();
    let memory = Memory(RefCell::new(files));
    let Ok(mut log) = Log::open(ORIGIN, &memory, OurSigner) else { return };
    let _ = log.prove(index, log.size());
    let before = log.size();
    // A log may be damaged far from its right edge, which is all that is read to go on.
    if log.append(&[record(1 << 40)]).is_ok() && whole {
        drop(log);
        assert_eq!(verify(&memory.0.borrow()).unwrap().size, before + 1);
    }
}
