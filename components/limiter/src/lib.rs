//! The rate limiter: GCRA over several buckets, all or nothing.
//!
//! The core is plain Rust: time is an argument, and the counters live behind [`Store`], so every rule here is
//! tested natively. For wasm, a thin shell turns it into a component of the world `rate-limiter`, with
//! `wasi:keyvalue/atomics` as the store.
//!
//! What is promised of each bucket and key: over every stretch of `t` nanoseconds, the takes admitted with a `now`
//! in it sum to at most `quota + quota · t / window`. That holds for any order of writers and any clock, forwards
//! or backwards. Reserves that are given back later may be spent again, see [`Limiter::settle`].

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
        path: ["../../wit/deps/keyvalue", "../../wit/platform", "../../wit/gate"],
        world: "tollgate:gate/rate-limiter",
        generate_all,
        additional_derives: [PartialEq, Eq],
        additional_derives_ignore: ["cas-error"],
    });
}

mod buckets;
mod divide;
mod gcra;
mod limiter;
mod store;

#[cfg(target_family = "wasm")]
mod component;

pub use bindings::exports::tollgate::gate::limiter::{Adjustment, Limited, TakeError};
pub use bindings::tollgate::gate::types::{Bucket, Charge, Diagnostic, RateStatus, Unit};
pub use gcra::{Corrupt, VALUE_BYTES};
pub use limiter::{KEY_BYTES_MAX, Limiter};
pub use store::{Store, StoreError, Swap};
