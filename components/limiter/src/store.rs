//! What the core asks of the place where counters live.

/// The store failed. The text is its own, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// How a compare-and-swap ended.
#[derive(Debug)]
pub enum Swap<C> {
    /// The value was written.
    Done,
    /// Somebody else had written first, and nothing was changed. The handle sees the value that is there now.
    Moved(C),
}

/// Compare-and-swap on named values: the part of `wasi:keyvalue/atomics` that the limiter uses.
pub trait Store {
    /// A handle on one key, bound to the version that it has read.
    type Cas;

    /// Begins a compare-and-swap on `key`.
    ///
    /// # Errors
    /// The store's own.
    fn begin(&mut self, key: &str) -> Result<Self::Cas, StoreError>;

    /// The value that the handle is bound to; none if the key does not exist.
    ///
    /// # Errors
    /// The store's own.
    fn current(&mut self, cas: &Self::Cas) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes `value` if the key has not changed since the handle was bound to it.
    ///
    /// # Errors
    /// The store's own. Whether the value was written is then not known.
    fn swap(&mut self, cas: Self::Cas, value: &[u8]) -> Result<Swap<Self::Cas>, StoreError>;
}
