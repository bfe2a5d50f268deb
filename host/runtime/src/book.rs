//! The seam to the audit book.

use crate::bindings::Entry;
use futures::future::BoxFuture;

/// The book that every request is written into.
pub trait Book: Send + Sync {
    /// Notes that a request was admitted, before it runs, so that it has a record even if the host is killed.
    fn admitted(&self, entry: &Entry) -> Result<(), BookError>;

    /// Writes a request's record. Durable when it returns.
    fn settle(&self, entry: Entry) -> BoxFuture<'_, Result<u64, BookError>>;
}

/// Why the book took no record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BookError {
    /// More records wait than the book may hold back.
    #[error("the audit log is behind: {waiting} records wait")]
    Behind {
        /// How many wait.
        waiting: usize,
    },
    /// The log can't be written; the text is for the host's log.
    #[error("the audit log can't be written: {0}")]
    Store(String),
    /// The host is stopping.
    #[error("the audit log is closed")]
    Closed,
}
