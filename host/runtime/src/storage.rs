//! What one tenant's key-value stores hold together, whatever each of them stands on.

use crate::gauge::{Gauge, Used};

/// The sum over a tenant's key-value stores, and the most that it may be. Kept by whoever keeps the stores, for as long
/// as they are kept; the limit is the tenant's, and is set before anything of the tenant runs.
#[derive(Default)]
pub struct Storage(Gauge);

impl Storage {
    /// Counts what is to be written, before it is. False, and nothing is counted, if the sum would pass the total.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        self.0.take(bytes)
    }

    /// Counts what is there already, though it be more than the total: then nothing more is written.
    pub fn found(&self, bytes: u64) {
        self.0.put(bytes);
    }

    /// Gives back what was counted.
    pub fn give(&self, bytes: u64) {
        self.0.give(bytes);
    }

    /// Sets the total. What is above it already stays.
    pub fn limit(&self, bytes: u64) {
        self.0.limit(bytes);
    }

    /// What is held, and the total.
    #[must_use]
    pub fn used(&self) -> Used {
        self.0.read()
    }
}
