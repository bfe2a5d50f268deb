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
#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from the WIT"
)]
mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../../wit/deps/io",
            "../../../wit/deps/clocks",
            "../../../wit/deps/random",
            "../../../wit/deps/cli",
            "../../../wit/deps/fastly",
            "../../../wit/deps/keyvalue",
            "../../../wit/platform",
            "../../../wit/gate",
            "../wit",
        ],
        world: "tollgate:fastly/backend",
        generate_all,
    });
}

mod counters;
mod key;
mod listing;

#[cfg(target_family = "wasm")]
mod component;

pub use counters::{Counters, Entry, Insert, Kv, KvError, SWAPS_MOST, Swap, Version};
pub use key::{KeyError, read, write};
pub use listing::{Listing, ListingError};
