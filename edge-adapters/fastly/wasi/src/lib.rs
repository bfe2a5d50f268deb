//! What apps stand on in a Fastly service: WASI 0.2, over a platform that has no `wasi:http`.
//!
//! An app's imports are met here and nowhere else, so it reaches nothing of the platform but what its grants name. The
//! front begins a run (`run`), and the app is called with the request and the place for its response that `http_in`
//! makes. A sandbox has one request at a time, and so there is one run at a time; outside a run, while an app is
//! instantiated, there is nothing to ask, no environment and no output.
//!
//! Reading a body waits for it, also where WASI has it return at once: the platform can't be asked whether there is
//! something without losing the news that a body broke off. Before anything waits, what the app has answered so far
//! goes out.

#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "it is exported from wasm, and only there")
)]

tollgate_fastly_platform::bindings!("tollgate:fastly/wasi", with: {
    "fastly:compute/async-io@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::async_io,
    "fastly:compute/backend@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::backend,
    "fastly:compute/http-body@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::http_body,
    "fastly:compute/http-req@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::http_req,
    "fastly:compute/http-resp@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::http_resp,
    "fastly:compute/http-types@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::http_types,
    "fastly:compute/log@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::log,
    "fastly:compute/secret-store@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::secret_store,
    "fastly:compute/types@0.1.0": tollgate_fastly_platform::bindings::fastly::compute::types,
    "wasi:clocks/wall-clock@0.2.6": tollgate_fastly_platform::bindings::wasi::clocks::wall_clock,
    "wasi:random/random@0.2.6": tollgate_fastly_platform::bindings::wasi::random::random,
});

mod bodies;
mod fields;
mod http_in;
mod http_out;
mod lines;
mod pending;
mod poll;
mod run;
mod sink;
mod source;
mod streams;
mod system;
mod types;

/// Whatever is exported.
struct Wasi;

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "generated from the WIT")]
mod exports {
    use crate::Wasi;

    crate::bindings::export!(Wasi with_types_in crate::bindings);
}
