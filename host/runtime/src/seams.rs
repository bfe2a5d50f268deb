//! What an adapter supplies: stores, an outgoing transport and a signer. Closed and small; each is
//! one capability.

use crate::{Egress, EgressError, Name, Storage};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime_wasi_http::WasiBody;

/// Opens the stores that `wasi:keyvalue` buckets stand on.
pub trait Buckets: Send + Sync {
    /// The store of this tenant with this name. Two tenants' stores never share a key, whatever the names.
    fn bucket(
        &self,
        tenant: &Name,
        store: &Name,
        backend: crate::Backend,
    ) -> Result<Arc<dyn Bucket>, BucketError>;

    /// What this tenant's stores hold together; always the same value for the same tenant. The store [`COUNTS`] is the
    /// host's own, and is not in it.
    ///
    /// [`COUNTS`]: crate::COUNTS
    fn storage(&self, tenant: &Name) -> Arc<Storage>;
}

/// One store of keys and values. A write is durable, as far as its backend promises to be, when it returns.
pub trait Bucket: Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, BucketError>>;

    /// Sets (some) and deletes (none), all or nothing.
    fn write(&self, changes: Vec<(String, Option<Bytes>)>) -> BoxFuture<'_, Result<(), BucketError>>;

    /// Up to `limit` keys after the cursor, in byte order.
    fn keys<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Keys, BucketError>>;

    /// Sets a key if its value is still `expected`.
    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<Swap, BucketError>>;

    /// Adds to a decimal number, beginning at zero, and returns the sum.
    fn increment<'a>(&'a self, key: &'a str, delta: i64) -> BoxFuture<'a, Result<i64, BucketError>>;
}

/// A page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The keys.
    pub keys: Vec<String>,
    /// The cursor for the next page; none at the end.
    pub next: Option<String>,
}

/// How a compare-and-swap went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// The value is set.
    Done,
    /// The value was no longer as expected; this is what it is now.
    Lost(Option<Bytes>),
}

/// Why a store gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BucketError {
    /// No backend of this kind is configured.
    #[error("no `{backend}` backend is configured")]
    NoBackend {
        /// The backend's name.
        backend: &'static str,
    },
    /// A key or value is larger than the store takes.
    #[error("{what} of {bytes} bytes is more than {limit}")]
    TooLarge {
        /// `key`, `value` or `batch`.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The value that was to be incremented is no number, or the sum is out of range.
    #[error("the value is not a 64-bit number, or would leave its range")]
    NotANumber,
    /// The store is full.
    #[error("the store is full: {limit} bytes")]
    Full {
        /// Its limit in bytes.
        limit: u64,
    },
    /// All of the tenant's stores together are full.
    #[error("the tenant's stores are full: {limit} bytes in all")]
    TotalFull {
        /// The tenant's total in bytes.
        limit: u64,
    },
    /// The backend failed; the text is for the log.
    #[error("{0}")]
    Backend(String),
}

/// Sends outgoing requests that the guest's [`Egress`] allows.
pub trait Transport: Send + Sync {
    /// Sends one request and returns the response's head; both bodies stream. The transport resolves the host, asks
    /// [`Egress::address`] about every address before it connects, and keeps connections per tenant.
    fn send(
        &self,
        upstream: Upstream,
        request: http::Request<WasiBody>,
    ) -> BoxFuture<'static, Result<http::Response<WasiBody>, EgressError>>;
}

/// For whom, and within what bounds, an outgoing request is sent.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Whose connections are used.
    pub tenant: Name,
    /// What may be reached.
    pub egress: Arc<Egress>,
    /// How many connections the tenant may have in all.
    pub connections: usize,
    /// How long a connection may take, name look-up and TLS included.
    pub connect: Duration,
    /// How long the response's head may take.
    pub first_byte: Duration,
    /// How long the response's body may pause.
    pub between_bytes: Duration,
    /// When the run ends, whatever the others say.
    pub deadline: Instant,
}

/// Signs the audit log's checkpoints.
pub trait Signer: Send + Sync {
    /// The public key as a C2SP signed-note verifier key.
    fn verifier_key(&self) -> String;

    /// An Ed25519 signature (RFC 8032).
    fn sign(&self, text: &[u8]) -> Result<[u8; 64], String>;
}
