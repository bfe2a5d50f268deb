//! Compare-and-swap over a KV store, by generation.

use crate::key::{self, KeyError};

/// How often one handle may lose a swap. Each loss means that somebody else's write went through; each try is two
/// round trips to the store, and a request has few of them to spare.
pub const SWAPS_MOST: u32 = 16;

/// What a KV store may answer besides what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The condition of a write does not hold any more.
    #[error("the entry has changed")]
    Moved,
    /// The platform takes no more of these now.
    #[error("the KV store takes no more requests for this key now")]
    TooMany,
    /// Anything else; the text is for the log.
    #[error("the KV store failed: {0}")]
    Failed(String),
}

/// An entry as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes.
    pub value: Vec<u8>,
    /// What tells this version from every other of the key.
    pub generation: u64,
}

/// When a write may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// Whatever is there.
    Always,
    /// If there is nothing.
    IfAbsent,
    /// If this generation is there.
    IfGeneration(u64),
}

/// The part of a KV store that counters stand on. Keys are as [`key::write`] has them.
pub trait Kv {
    /// Reads an entry.
    ///
    /// # Errors
    /// The store's own.
    fn lookup(&self, key: &str) -> Result<Option<Entry>, KvError>;

    /// Writes an entry.
    ///
    /// # Errors
    /// [`KvError::Moved`] if the condition does not hold; otherwise the store's own.
    fn insert(&self, key: &str, value: &[u8], when: Insert) -> Result<(), KvError>;

    /// Removes an entry, if it is there.
    ///
    /// # Errors
    /// The store's own.
    fn delete(&self, key: &str) -> Result<(), KvError>;
}

/// One version of a key, to be swapped.
#[derive(Debug)]
pub struct Version {
    key: String,
    entry: Option<Entry>,
    lost: u32,
}

impl Version {
    /// What was read.
    pub fn value(&self) -> Option<&[u8]> {
        self.entry.as_ref().map(|entry| entry.value.as_slice())
    }
}

/// How a swap ended.
#[derive(Debug)]
pub enum Swap {
    /// It was written.
    Done,
    /// Somebody else had written first. This is what is there now.
    Moved(Version),
}

/// Named values in a KV store.
#[derive(Debug)]
pub struct Counters<K>(pub K);

impl<K: Kv> Counters<K> {
    /// Reads a key, to be swapped.
    ///
    /// # Errors
    /// The store's own, and keys that it can't hold.
    pub fn begin(&self, key: &str) -> Result<Version, KvError> {
        let key = written(key)?;
        let entry = self.0.lookup(&key)?;
        Ok(Version { key, entry, lost: 0 })
    }

    /// Writes `value` if the key is still as `version` has it.
    ///
    /// # Errors
    /// The store's own; and that too many swaps were lost in a row.
    pub fn swap(&self, version: Version, value: &[u8]) -> Result<Swap, KvError> {
        let Version { key, entry, lost } = version;
        let when = entry.map_or(Insert::IfAbsent, |entry| Insert::IfGeneration(entry.generation));
        match self.0.insert(&key, value, when) {
            Ok(()) => return Ok(Swap::Done),
            Err(KvError::Moved) => {}
            Err(error) => return Err(error),
        }
        let lost = lost + 1;
        if lost >= SWAPS_MOST {
            return Err(KvError::Failed(format!("contended: an entry changed {SWAPS_MOST} times in a row")));
        }
        let entry = self.0.lookup(&key)?;
        Ok(Swap::Moved(Version { key, entry, lost }))
    }

    /// Adds to a decimal number; what is not there is 0.
    ///
    /// # Errors
    /// The store's own; too many lost swaps; and a value that is no number, or would be none.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        let mut version = self.begin(key)?;
        loop {
            let present = number(version.value())?;
            let next = present.checked_add(delta);
            let next = next.ok_or_else(|| KvError::Failed("a number would be too large".to_owned()))?;
            match self.swap(version, next.to_string().as_bytes())? {
                Swap::Done => return Ok(next),
                Swap::Moved(again) => version = again,
            }
        }
    }

    /// A value.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.lookup(&written(key)?)?.map(|entry| entry.value))
    }

    /// Writes a value, whatever is there.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        self.0.insert(&written(key)?, value, Insert::Always)
    }

    /// Removes a value, if it is there.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn delete(&self, key: &str) -> Result<(), KvError> {
        self.0.delete(&written(key)?)
    }
}

fn written(key: &str) -> Result<String, KvError> {
    key::write(key).map_err(|error: KeyError| KvError::Failed(error.to_string()))
}

fn number(value: Option<&[u8]>) -> Result<i64, KvError> {
    let Some(value) = value else { return Ok(0) };
    let text = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| KvError::Failed("a value is no whole number".to_owned()))
}

#[cfg(test)]
mod tests;
