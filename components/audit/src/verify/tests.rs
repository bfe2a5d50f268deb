use std::collections::HashSet;

use ed25519_dalek::Signer as _;

use super::*;
use crate::log::Log;
use crate::log::tests::{Memory, ORIGIN, key, log_of, open, signer};
use crate::note::{Note, assemble};
use crate::reader::{entry as read_entry, prove_consistency, prove_inclusion, recorded};
use crate::record::canonical;
use crate::record::tests::entry;
use crate::{verify_consistency, verify_inclusion};

fn verify(memory: &Memory) -> Result<Summary, VerifyError> {
    verify_log(&memory.reader(), &key())
}

#[test]
fn a_log_that_holds_sums_up_what_is_in_it() {
    let (memory, log) = log_of(600, 50);
    let summary = verify(&memory).unwrap();
    assert_eq!((summary.origin.as_str(), summary.size), (ORIGIN, 600));
    assert_eq!(summary.earliest, Some(entry(0).time));
    assert_eq!(summary.latest, Some(entry(599).time));
    assert!(log.checkpoint().starts_with("log.example/audit\n600\n"));
    let (memory, _) = log_of(0, 1);
    let summary = verify(&memory).unwrap();
    assert_eq!((summary.size, summary.earliest, summary.latest), (0, None, None));
}

#[test]
fn a_flipped_bit_in_any_byte_of_any_file_is_found() {
    // 258 records in three groups leave full, partial and superseded tiles at two levels.
    let (memory, _) = log_of(258, 86);
    verify(&memory).unwrap();
    for key in memory.keys() {
        let good = memory.values.borrow()[&key].clone();
        // Every byte of small files; of the large bundle a stride that meets lengths, names and values.
        let step = if good.len() > 20_000 { 101 } else { 7 };
        for place in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 8);
            memory.values.borrow_mut().insert(key.clone(), bad);
            assert!(verify(&memory).is_err(), "byte {place} of {key}");
        }
        memory.values.borrow_mut().insert(key.clone(), good);
    }
    verify(&memory).unwrap();
}

#[test]
fn every_byte_of_a_small_log_counts() {
    let (memory, _) = log_of(3, 2);
    for key in memory.keys() {
        let good = memory.values.borrow()[&key].clone();
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                memory.values.borrow_mut().insert(key.clone(), bad);
                assert!(verify(&memory).is_err(), "bit {bit} of byte {place} of {key}");
            }
        }
        for bad in [good[..good.len() - 1].to_vec(), [&good[..], b"\n"].concat()] {
            memory.values.borrow_mut().insert(key.clone(), bad);
            assert!(verify(&memory).is_err(), "length of {key}");
        }
        memory.values.borrow_mut().insert(key.clone(), good);
    }
}

#[test]
fn a_missing_file_is_found() {
    let (memory, _) = log_of(600, 600);
    for key in memory.keys() {
        let good = memory.values.borrow_mut().remove(&key).unwrap();
        assert!(verify(&memory).is_err(), "{key}");
        memory.values.borrow_mut().insert(key, good);
    }
}

#[test]
fn a_second_record_of_one_request_is_found() {
    let (memory, mut log) = log_of(300, 300);
    log.append(&[entry(7)]).unwrap();
    let error = verify(&memory).unwrap_err();
    assert!(matches!(error, VerifyError::Duplicate { first: 7, second: 300, .. }), "{error}");
}

#[test]
fn ids_are_compared_in_every_pass() {
    let ids: Vec<String> = (0..100).map(|i| entry(i).request_id).collect();
    for twice in 0..100 {
        let found = (0..3).any(|pass| {
            let mut seen = Ids { pass, passes: 3, seen: HashMap::new() };
            (0..).zip(&ids).any(|(at, id)| seen.add(id, at).is_err()) || seen.add(&ids[twice], 100).is_err()
        });
        assert!(found, "{twice}");
    }
}

/// Signs a checkpoint over records that were put into the bundle by hand, as a host with the key could.
fn forged(records: &[&[u8]]) -> Memory {
    let (memory, _) = log_of(0, 1);
    let mut frontier = Frontier::empty();
    let (mut bundle, mut tile) = (Vec::new(), Vec::new());
    for record in records {
        tile::push_record(&mut bundle, record);
        tile.push(hash_leaf(record));
        frontier.push(hash_leaf(record), |_, _| {});
    }
    let checkpoint =
        crate::Checkpoint { origin: ORIGIN.into(), size: records.len() as u64, root: frontier.root() };
    let text = checkpoint.text();
    let note = assemble(&text, &key(), &signer().0.sign(text.as_bytes()).to_bytes());
    let mut values = memory.values.borrow_mut();
    values.insert("checkpoint".into(), note.into_bytes());
    values.insert(format!("tile/entries/000.p/{}", records.len()), bundle);
    values.insert(format!("tile/0/000.p/{}", records.len()), tile::encode(&tile));
    drop(values);
    memory
}

#[test]
fn a_well_signed_log_of_other_forms_is_refused() {
    let good = canonical(&entry(0)).unwrap();
    verify(&forged(&[&good])).unwrap();
    let spaced = [b" ", good.as_slice()].concat();
    for record in [&b"{}"[..], b"", b"GET / HTTP/1.1", &spaced] {
        assert!(matches!(verify(&forged(&[&good, record])), Err(VerifyError::Record { index: 1, .. })));
    }
}

#[test]
fn a_log_of_another_key_or_origin_is_refused() {
    let (memory, _) = log_of(3, 3);
    let other = crate::note::VerifierKey::new(ORIGIN, [9; 32]).unwrap();
    assert!(verify_log(&memory.reader(), &other).is_err());
    let name = crate::note::VerifierKey::new("other.example", *key().public_key()).unwrap();
    let text = Note::parse(&memory.values.borrow()["checkpoint"]).unwrap().text().to_owned();
    let note = assemble(&text, &name, &signer().0.sign(text.as_bytes()).to_bytes());
    memory.values.borrow_mut().insert("checkpoint".into(), note.into_bytes());
    assert!(matches!(verify_log(&memory.reader(), &name), Err(VerifyError::Read(ReadError::Damaged { .. }))));
}

#[test]
fn a_log_that_grows_while_it_is_read_still_verifies() {
    let (memory, mut log) = log_of(250, 50);
    let checkpoint = memory.values.borrow()["checkpoint"].clone();
    log.append(&(250..600).map(entry).collect::<Vec<_>>()).unwrap();
    let live = memory.reader();
    let read = move |key: &str| match key {
        "checkpoint" => Ok(Some(checkpoint.clone())),
        key => live(key),
    };
    assert_eq!(verify_log(&read, &key()).unwrap().size, 250);
    assert_eq!(prove_inclusion(&read, &key(), 249).unwrap().checkpoint.size, 250);
}

#[test]
fn proofs_from_files_hold_and_read_as_tlog_proofs() {
    let (memory, log) = log_of(600, 50);
    let read = memory.reader();
    let root = verify(&memory).unwrap().root;
    for index in [0, 255, 256, 511, 512, 599] {
        let proof = prove_inclusion(&read, &key(), index).unwrap();
        assert_eq!(proof.record, canonical(&entry(index)).unwrap());
        assert_eq!(proof.record, read_entry(&read, &key(), index).unwrap());
        assert_eq!(verify_inclusion(&hash_leaf(&proof.record), index, 600, &root, &proof.hashes), Ok(()));
        assert_eq!(proof.hashes, log.prove(index, 600).unwrap());
        let text = proof.to_tlog_proof();
        assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")));
        assert!(text.ends_with(log.checkpoint()));
        assert_eq!(text.lines().count(), 2 + proof.hashes.len() + 1 + 5);
    }
    assert!(matches!(
        prove_inclusion(&read, &key(), 600),
        Err(ReadError::OutOfRange { asked: 600, size: 600 })
    ));
    assert!(read_entry(&read, &key(), 600).is_err());
}

#[test]
fn an_older_checkpoint_is_consistent_with_a_newer_one() {
    let (memory, mut log) = log_of(300, 300);
    let old = verify(&memory).unwrap();
    log.append(&(300..777).map(entry).collect::<Vec<_>>()).unwrap();
    let new = verify(&memory).unwrap();
    let proof = prove_consistency(&memory.reader(), &key(), 300, 777).unwrap();
    assert_eq!(verify_consistency(300, &old.root, 777, &new.root, &proof), Ok(()));
    assert!(prove_consistency(&memory.reader(), &key(), 300, 778).is_err());
    assert!(prove_consistency(&memory.reader(), &key(), 301, 300).is_err());
}

#[test]
fn a_starting_host_learns_which_requests_are_recorded() {
    let (memory, _) = log_of(600, 64);
    let id = |number| entry(number).request_id;
    let ids: HashSet<String> = [id(3), id(599), id(600)].into();
    let read = memory.reader();
    assert_eq!(recorded(&read, &key(), 0, &ids).unwrap(), HashSet::from([id(3), id(599)]));
    assert_eq!(recorded(&read, &key(), 300, &ids).unwrap(), HashSet::from([id(599)]));
    assert!(recorded(&read, &key(), 600, &ids).unwrap().is_empty());
}

#[test]
fn a_checkpoint_rolled_back_by_hand_still_verifies_as_the_older_log() {
    // What a lone log cannot show: only somebody who kept the newer checkpoint sees this, by its consistency proof.
    let (memory, mut log) = log_of(10, 10);
    let old = memory.values.borrow()["checkpoint"].clone();
    log.append(&[entry(10)]).unwrap();
    memory.values.borrow_mut().insert("checkpoint".into(), old);
    assert_eq!(verify(&memory).unwrap().size, 10);
    assert_eq!(open(&memory).as_ref().map(Log::size).ok(), Some(10));
}
