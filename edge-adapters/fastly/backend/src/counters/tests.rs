use super::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A store in which somebody else writes before each of the next writes.
#[derive(Default)]
struct Busy {
    entries: RefCell<BTreeMap<String, Entry>>,
    generations: Cell<u64>,
    others: Cell<u32>,
    refuses: Cell<bool>,
}

impl Busy {
    fn put(&self, key: &str, value: &[u8]) {
        self.generations.set(self.generations.get() + 1);
        let entry = Entry { value: value.to_vec(), generation: self.generations.get() };
        self.entries.borrow_mut().insert(key.to_owned(), entry);
    }
}

impl Kv for &Busy {
    fn lookup(&self, key: &str) -> Result<Option<Entry>, KvError> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn insert(&self, key: &str, value: &[u8], when: Insert) -> Result<(), KvError> {
        if self.refuses.get() {
            return Err(KvError::TooMany);
        }
        if self.others.get() > 0 {
            self.others.set(self.others.get() - 1);
            let there = number(self.lookup(key)?.as_ref().map(|entry| entry.value.as_slice()))?;
            self.put(key, (there + 100).to_string().as_bytes());
        }
        let there = self.lookup(key)?.map(|entry| entry.generation);
        let holds = match when {
            Insert::Always => true,
            Insert::IfAbsent => there.is_none(),
            Insert::IfGeneration(generation) => there == Some(generation),
        };
        if !holds {
            return Err(KvError::Moved);
        }
        self.put(key, value);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), KvError> {
        self.entries.borrow_mut().remove(key);
        Ok(())
    }
}

#[test]
fn a_number_that_others_add_to_misses_nothing() {
    let store = Busy::default();
    store.others.set(3);
    assert_eq!(Counters(&store).increment("n", 1), Ok(301));
    assert_eq!(Counters(&store).increment("n", -1), Ok(300));
}

#[test]
fn a_swap_of_a_version_that_is_gone_changes_nothing_and_shows_the_present_one() {
    let store = Busy::default();
    let counters = Counters(&store);
    let (one, other) = (counters.begin("a/b").unwrap(), counters.begin("a/b").unwrap());
    assert!(matches!(counters.swap(one, b"first"), Ok(Swap::Done)));
    let Ok(Swap::Moved(now)) = counters.swap(other, b"second") else { panic!("it had moved") };
    assert_eq!(now.value(), Some(&b"first"[..]));
    assert!(matches!(counters.swap(now, b"second"), Ok(Swap::Done)));
    assert_eq!(counters.get("a/b"), Ok(Some(b"second".to_vec())));
}

#[test]
fn after_many_lost_swaps_it_is_an_error_and_not_an_endless_loop() {
    let store = Busy::default();
    store.others.set(u32::MAX);
    let error = Counters(&store).increment("n", 1).unwrap_err();
    assert!(error.to_string().contains("contended"), "{error}");
    assert_eq!(u32::MAX - store.others.get(), SWAPS_MOST);
}

#[test]
fn a_store_that_takes_no_more_writes_is_an_error_at_once() {
    let store = Busy::default();
    store.refuses.set(true);
    assert_eq!(Counters(&store).increment("n", 1), Err(KvError::TooMany));
}

#[test]
fn a_value_that_is_no_number_is_not_counted_on() {
    let store = Busy::default();
    Counters(&store).set("n", b"many").unwrap();
    assert!(Counters(&store).increment("n", 1).is_err());
    Counters(&store).set("n", i64::MAX.to_string().as_bytes()).unwrap();
    assert!(Counters(&store).increment("n", 1).is_err());
    Counters(&store).delete("n").unwrap();
    assert_eq!(Counters(&store).increment("n", 1), Ok(1));
}
