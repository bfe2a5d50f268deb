//! The log's writer: opens, appends, proves. All I/O goes through [`Store`] and [`Signer`].
//!
//! A log is opened by its checkpoint: the signature must be the signer's own (an Ed25519 signature is a pure function
//! of key and text, so signing again and comparing verifies it), and the right edge that the tiles hold must hash to
//! the checkpoint's root and fit the newest entry bundle. Tiles further left are checked where a proof reads them, and
//! all of them by [`verify_log`](crate::verify_log).

use crate::checkpoint::Checkpoint;
use crate::merkle::Hash;
use crate::nodes::{NodeError, TileNodes};
use crate::note::{self, Note, VerifierKey};
use crate::proof::{self, Nodes as _};
use crate::record::{Entry, canonical};
use crate::tile::{self, CHECKPOINT_KEY, Row, TILE_WIDTH};

mod edge;

use edge::Edge;

/// Keys that are kept for deletion while the store refuses to delete. Beyond it they stay in the store, where they do
/// no harm.
const MAX_GARBAGE: usize = 8_192;

/// Keys that one call deletes; hosts bound their batches.
const DELETED_AT_ONCE: usize = 500;

/// A key-value bucket that holds one log and nothing else. Errors are texts of the store's own.
pub trait Store {
    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// If the store failed.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;

    /// The values of several keys, in their order.
    ///
    /// # Errors
    /// If the store failed.
    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String>;

    /// Writes all of these, durably, or none.
    ///
    /// # Errors
    /// If the store failed.
    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String>;

    /// Deletes those of these keys that exist.
    ///
    /// # Errors
    /// If the store failed.
    fn delete_many(&self, keys: &[String]) -> Result<(), String>;
}

/// Signs for the host.
pub trait Signer {
    /// The verifier key, `name+id+key`.
    fn verifier_key(&self) -> String;

    /// An Ed25519 signature over the text. The same text always gives the same signature (RFC 8032, section 5.1.6).
    ///
    /// # Errors
    /// If the signer failed.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String>;
}

/// Why the log could not be opened, written or read: `audit-error` of `wit/gate/audit.wit`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The store failed. Nothing of this call is in the log.
    #[error("the log's store failed: {0}")]
    Store(String),
    /// The stored log contradicts itself.
    #[error(
        "the stored log is damaged: {0}; restore it from a copy, or begin a new log in another directory"
    )]
    Corrupt(String),
    /// The entry at this place of the call is too large. Nothing of this call is in the log.
    #[error("entry {0} of the call has more than 65,535 bytes in its canonical form")]
    TooLarge(u32),
    /// An index or size beyond the log's size.
    #[error("the index or size lies beyond the log's size")]
    OutOfRange,
    /// The signer failed, or signs under another name than the log's origin.
    #[error("the signer failed: {0}")]
    Signer(String),
}

impl From<NodeError<String>> for LogError {
    fn from(error: NodeError<String>) -> Self {
        match error {
            NodeError::Fetch(error) => Self::Store(error),
            NodeError::Tile(key) => Self::Corrupt(format!("`{key}` is missing or has a wrong length")),
        }
    }
}

/// A log that is open for writing. One instance writes a log.
pub struct Log<S, K> {
    store: S,
    signer: K,
    key: VerifierKey,
    edge: Edge,
    /// The newest checkpoint, signed.
    note: String,
    /// Partial tiles that a full tile has replaced.
    garbage: Vec<String>,
    /// A write failed: before the next one, make sure that the store did not keep it.
    write_failed: bool,
}

impl<S: Store, K: Signer> Log<S, K> {
    /// Opens the log of this origin, beginning it if the bucket is empty. The signer's key must be named like the
    /// origin, which is how a client of a log knows its key.
    ///
    /// # Errors
    /// If the store or the signer fails, or what is stored contradicts itself or is another log.
    pub fn open(origin: &str, store: S, signer: K) -> Result<Self, LogError> {
        let key: VerifierKey = signer.verifier_key().parse().map_err(|e| LogError::Signer(format!("{e}")))?;
        if key.name() != origin {
            let text = format!("its key is named `{}`, and the log's origin is `{origin}`", key.name());
            return Err(LogError::Signer(text));
        }
        let stored = store.get(CHECKPOINT_KEY).map_err(LogError::Store)?;
        let (edge, note) = match &stored {
            Some(bytes) => load(bytes, &store, &signer, &key)?,
            None => begin(&store, &signer, &key)?,
        };
        let garbage = edge.possible_garbage();
        Ok(Self { store, signer, key, edge, note, garbage, write_failed: false })
    }

    /// How many records the log has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The newest checkpoint, signed.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.note
    }

    /// Appends records in this order, and a new checkpoint over them, in one [`Store::set_many`]. Returns the first
    /// record's index. After an error the log is as it was before.
    ///
    /// # Errors
    /// If an entry is too large, the store or the signer fails, or the store kept a write that it had called failed.
    pub fn append(&mut self, entries: &[Entry]) -> Result<u64, LogError> {
        let first = self.size();
        if entries.is_empty() {
            return Ok(first);
        }
        self.check_after_failure()?;
        let mut next = self.edge.clone();
        let mut batch = Vec::with_capacity(4);
        let mut superseded = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let too_large = |_| LogError::TooLarge(u32::try_from(place).unwrap_or(u32::MAX));
            next.push(&canonical(entry).map_err(too_large)?, &mut batch, &mut superseded);
        }
        next.write_partial_tiles(first, &mut batch);
        let note = sign(&next, &self.signer, &self.key)?;
        batch.push((CHECKPOINT_KEY.to_owned(), note.clone().into_bytes()));
        if let Err(error) = self.store.set_many(&batch) {
            self.write_failed = true;
            return Err(LogError::Store(error));
        }
        self.edge = next;
        self.note = note;
        self.garbage.append(&mut superseded);
        self.collect_garbage();
        Ok(first)
    }

    /// The inclusion proof of the record at `index` in the tree of the first `size` records.
    ///
    /// # Errors
    /// If `index >= size` or `size` is beyond the log, the store fails, or the tiles that it reads are damaged.
    pub fn prove(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        if index >= size || size > self.size() {
            return Err(LogError::OutOfRange);
        }
        let mut nodes = TileNodes::new(self.size(), |key: &str| self.store.get(key));
        let path = proof::inclusion(&mut nodes, index, size)?;
        // The newest tree's root is known, so a damaged tile on the way is noticed.
        let leaf = nodes.node(0, index)?;
        let whole = match size == self.size() {
            true => path.clone(),
            false => proof::inclusion(&mut nodes, index, self.size())?,
        };
        proof::verify_inclusion(&leaf, index, self.size(), &self.edge.root(), &whole).map_err(|_| {
            LogError::Corrupt(format!("the tiles over record {index} do not lead to the checkpoint's root"))
        })?;
        Ok(path)
    }

    /// A store that calls a write failed, yet kept it, holds a checkpoint that we did not publish. Writing over it
    /// would fork the log.
    fn check_after_failure(&mut self) -> Result<(), LogError> {
        if self.write_failed {
            let stored = self.store.get(CHECKPOINT_KEY).map_err(LogError::Store)?;
            if stored.as_deref() != Some(self.note.as_bytes()) {
                let text = "the store kept a write that it had called failed: open the log again";
                return Err(LogError::Store(text.to_owned()));
            }
            self.write_failed = false;
        }
        Ok(())
    }

    /// Deletes what full tiles have replaced. The records are durable by now, so a failure here is no failure of the
    /// append; the keys are tried again the next time.
    fn collect_garbage(&mut self) {
        while let Some(from) =
            self.garbage.len().checked_sub(1).map(|last| last / DELETED_AT_ONCE * DELETED_AT_ONCE)
        {
            let Some(some) = self.garbage.get(from..) else { break };
            if self.store.delete_many(some).is_err() {
                break;
            }
            self.garbage.truncate(from);
        }
        self.garbage.truncate(MAX_GARBAGE);
    }
}

/// The signed checkpoint of a tree.
fn sign<K: Signer>(edge: &Edge, signer: &K, key: &VerifierKey) -> Result<String, LogError> {
    let checkpoint = Checkpoint { origin: key.name().to_owned(), size: edge.size(), root: edge.root() };
    let text = checkpoint.text();
    let signature = signer.sign(text.as_bytes()).map_err(LogError::Signer)?;
    if signature.len() != 64 {
        return Err(LogError::Signer(format!("its signature has {} bytes, not 64", signature.len())));
    }
    Ok(note::assemble(&text, key, &signature))
}

/// Begins a log: a checkpoint over no records. Tiles without a checkpoint are a log that lost it, and are left alone.
fn begin<S: Store, K: Signer>(store: &S, signer: &K, key: &VerifierKey) -> Result<(Edge, String), LogError> {
    let first_tiles: Vec<String> =
        (1..=TILE_WIDTH).map(|width| tile::key(Row::Hashes(0), 0, width)).collect();
    let found = store.get_many(&first_tiles).map_err(LogError::Store)?;
    if found.iter().any(Option::is_some) {
        return Err(LogError::Corrupt("there are tiles, but no `checkpoint`".to_owned()));
    }
    let edge = Edge::empty();
    let note = sign(&edge, signer, key)?;
    store.set_many(&[(CHECKPOINT_KEY.to_owned(), note.clone().into_bytes())]).map_err(LogError::Store)?;
    Ok((edge, note))
}

/// Reads the newest checkpoint and the right edge under it.
fn load<S: Store, K: Signer>(
    bytes: &[u8],
    store: &S,
    signer: &K,
    key: &VerifierKey,
) -> Result<(Edge, String), LogError> {
    let corrupt = |why: String| LogError::Corrupt(format!("`{CHECKPOINT_KEY}`: {why}"));
    let note = Note::parse(bytes).map_err(|e| corrupt(e.to_string()))?;
    let signature =
        note.claimed_signature(key).ok_or_else(|| corrupt(format!("it is not signed by `{key}`")))?;
    if signer.sign(note.text().as_bytes()).map_err(LogError::Signer)? != signature {
        return Err(corrupt(format!("the signature of `{key}` does not fit its text")));
    }
    let checkpoint = Checkpoint::parse(note.text()).map_err(|e| corrupt(e.to_string()))?;
    if checkpoint.origin != key.name() {
        return Err(corrupt(format!("it is of the log `{}`", checkpoint.origin)));
    }
    let edge = Edge::load(checkpoint.size, |key| store.get(key))?;
    if edge.root() != checkpoint.root {
        return Err(corrupt("its root hash is not that of the newest tiles".to_owned()));
    }
    // `bytes` is UTF-8, as a parsed note is.
    Ok((edge, String::from_utf8_lossy(bytes).into_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
