//! What a tenant's bucket is configured to be.

use crate::bindings::admission::KeyField;
use crate::bindings::tollgate::gate::types::Unit;
use crate::names::Name;
use std::time::Duration;

/// One bucket of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSetting {
    /// Its name.
    pub name: Name,
    /// What it counts.
    pub unit: Unit,
    /// Units in each window.
    pub quota: u64,
    /// The window.
    pub window: Duration,
    /// What tells one count from another.
    pub key: Vec<KeyField>,
    /// For gas: what is taken at admission.
    pub reserve: u64,
    /// How exact the count has to be. A host counts exactly, whatever is asked for.
    pub consistency: Consistency,
}

/// How exact a count has to be, for platforms that can't count exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Never more than the quota.
    #[default]
    Exact,
    /// More than the quota while many ask at the same time, and at most twice.
    Approximate,
    /// The quota for each place that counts, and for as long as places have not heard of each other.
    Eventual,
}
