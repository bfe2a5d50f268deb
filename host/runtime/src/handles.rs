//! What guests hold of key-value stores: the stores they may open, and the handles of those they did.

use crate::names::Name;
use crate::seams::Bucket;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The stores that a guest may open, by the name it opens them with. Opened at load.
#[derive(Clone, Default)]
pub(crate) struct GuestStores(pub(crate) Arc<BTreeMap<Name, Arc<dyn Bucket>>>);

/// An open bucket.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct OpenBucket(pub(crate) Arc<dyn Bucket>);

/// A compare-and-swap that has read, and not yet written.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct CasHandle {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) key: String,
    pub(crate) seen: Option<Bytes>,
}
