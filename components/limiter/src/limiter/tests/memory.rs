//! A store in memory, with faults on request.

use std::collections::BTreeMap;

use crate::{Bucket, Charge, Store, StoreError, Swap, Unit};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Memory {
    pub(super) values: BTreeMap<String, (u64, Vec<u8>)>,
    /// A key that somebody else always writes first.
    pub(super) moves: Option<String>,
    /// A key that cannot be written.
    pub(super) fails: Option<String>,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) key: String,
    version: u64,
    value: Option<Vec<u8>>,
}

impl Memory {
    pub(super) fn keys(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8]) {
        let version = self.values.get(key).map_or(0, |(version, _)| *version) + 1;
        self.values.insert(key.into(), (version, value.into()));
    }
}

impl Store for Memory {
    type Cas = Seen;

    fn begin(&mut self, key: &str) -> Result<Seen, StoreError> {
        let (version, value) = self.values.get(key).cloned().unzip();
        Ok(Seen { key: key.into(), version: version.unwrap_or(0), value })
    }

    fn current(&mut self, cas: &Seen) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(cas.value.clone())
    }

    fn swap(&mut self, cas: Seen, value: &[u8]) -> Result<Swap<Seen>, StoreError> {
        if self.fails.as_ref() == Some(&cas.key) {
            return Err(StoreError("the disk is full".into()));
        }
        let now = self.begin(&cas.key)?;
        if now.version != cas.version || self.moves.as_ref() == Some(&cas.key) {
            return Ok(Swap::Moved(now));
        }
        self.set(&cas.key, value);
        Ok(Swap::Done)
    }
}

pub(super) fn bucket(name: &str, quota: u64, window: u64) -> Bucket {
    Bucket { name: name.into(), unit: Unit::Requests, quota, window }
}

pub(super) fn charge(bucket: &str, key: &str, cost: u64) -> Charge {
    Charge { bucket: bucket.into(), key: key.into(), cost }
}
