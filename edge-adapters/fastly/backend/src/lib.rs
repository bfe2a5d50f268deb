//! The gate's counters on a Fastly KV store: `wasi:keyvalue` by generation match.
//!
//! The store behind it is durable and only eventually consistent, so what is read may be old. What is written is not:
//! [`counters`] writes only with the generation that it has read, or as a new entry, and so a swap on an old value
//! fails and is tried again on a newer one. After [`SWAPS_MOST`] lost swaps in a row, and whenever the platform takes
//! no more writes, the answer is an error: then the gate denies.
//!
//! [`key`] is how a counter's name is written in a KV store, which allows fewer characters. For wasm, a thin shell
//! turns both into a component of the world `backend`.

#[cfg(target_family = "wasm")]
tollgate_fastly_platform::bindings!("tollgate:fastly/backend", with: {
    "fastly:compute/async-io@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::async_io,
    "fastly:compute/http-body@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::http_body,
    "fastly:compute/types@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::types,
});

mod counters;
mod key;
mod listing;

#[cfg(target_family = "wasm")]
mod component;

pub use counters::{Counters, Entry, Insert, Kv, KvError, SWAPS_MOST, Swap, Version};
pub use key::{KeyError, read, write};
pub use listing::{Listing, ListingError};
