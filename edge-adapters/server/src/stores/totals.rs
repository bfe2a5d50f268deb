//! What each tenant's stores hold together: one sum over memory and database, which every write is held against before
//! it is made.

use dashmap::DashMap;
use std::sync::Arc;
use tollgate_runtime::{BucketError, COUNTS, Name, Storage};

/// What one entry counts beside the bytes of its key and value, on whatever it stands: in memory roughly a tree node,
/// two fat pointers and a time; in the database a row and its place in an index.
pub(super) const ENTRY_BYTES: u64 = 96;

/// The sums of all tenants.
#[derive(Clone, Default)]
pub(super) struct Totals(Arc<DashMap<Name, Arc<Storage>>>);

impl Totals {
    /// The sum of one tenant.
    pub(super) fn of(&self, tenant: &Name) -> Arc<Storage> {
        if let Some(storage) = self.0.get(tenant) {
            return storage.clone();
        }
        // Until a tenant's total is set, there is none: so what is there when a database is opened can be counted.
        let unbounded = || {
            let storage = Storage::default();
            storage.limit(u64::MAX);
            Arc::new(storage)
        };
        self.0.entry(tenant.clone()).or_insert_with(unbounded).clone()
    }

    /// The sum that a store is counted in; none for the one that the tenant's gate counts in, which is the host's.
    pub(super) fn of_store(&self, tenant: &Name, store: &Name) -> Option<Arc<Storage>> {
        (store.as_str() != COUNTS).then(|| self.of(tenant))
    }
}

/// Counts what is to be written, or refuses it.
pub(super) fn take(storage: &Storage, bytes: u64) -> Result<(), BucketError> {
    let full = || BucketError::TotalFull { limit: storage.used().limit };
    storage.take(bytes).then_some(()).ok_or_else(full)
}

/// What one transaction changes of tenants' sums. What it takes is taken at once, so that nobody else has it meanwhile;
/// what it gives back is given when it is committed. One that is not committed changes nothing.
#[derive(Default)]
pub(super) struct Held {
    taken: Vec<(Arc<Storage>, u64)>,
    given: Vec<(Arc<Storage>, u64)>,
}

impl Held {
    /// A store that held so much is to hold so much.
    pub(super) fn change(&mut self, storage: &Arc<Storage>, from: u64, to: u64) -> Result<(), BucketError> {
        if to > from {
            take(storage, to - from)?;
            self.taken.push((storage.clone(), to - from));
        } else if to < from {
            self.give(storage.clone(), from - to);
        }
        Ok(())
    }

    /// So much is dropped.
    pub(super) fn give(&mut self, storage: Arc<Storage>, bytes: u64) {
        self.given.push((storage, bytes));
    }

    /// It is committed.
    pub(super) fn committed(mut self) {
        self.taken.clear();
        for (storage, bytes) in self.given.drain(..) {
            storage.give(bytes);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (storage, bytes) in self.taken.drain(..) {
            storage.give(bytes);
        }
    }
}
