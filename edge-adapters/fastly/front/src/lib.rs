//! What meets clients in a Fastly service: the request line of the server, as far as this platform has it.
//!
//! ```text
//! facts → route → admit ──permit──► app or origin → respond → settle
//!                   │ refusal                          ▲
//!                   └──────────────────────────────────┘
//! ```
//!
//! Spelling, routes and refusals are those of [`tollgate_request`], records those of [`tollgate_audit`], and the gate
//! is the three signed components: nothing is decided here. [`Settings`] is what the bundler writes, and [`House`]
//! what is made of it for each sandbox. [`answer`] is the line, top to bottom. For wasm, a thin shell turns it into a
//! component of the world `front`.

tollgate_fastly_platform::bindings!("tollgate:fastly/front", with: {
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

mod facts;
mod house;
mod line;
mod origin;
mod platform;
mod record;
mod refusal;
mod run;
mod settings;

#[cfg(target_family = "wasm")]
mod component;

pub use house::{House, SettingsError};
pub use line::answer;
pub use settings::{Bucket, Client, Component, KeyField, Place, Route, Settings, Tenant};
pub use tollgate_fastly_platform::Failure;
