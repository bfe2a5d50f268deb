//! What meets clients in a Fastly service: the request line of the server, as far as this platform has it.
//!
//! ```text
//! facts → route → admit ──permit──► origin → respond → settle
//!                   │ refusal                   ▲
//!                   └───────────────────────────┘
//! ```
//!
//! Spelling, routes and refusals are those of [`tollgate_request`], records those of [`tollgate_audit`], and the gate
//! is the three signed components: nothing is decided here. [`Settings`] is what the bundler writes, and [`House`]
//! what is made of it for each sandbox. [`answer`] is the line, top to bottom. For wasm, a thin shell turns it into a
//! component of the world `front`.

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
        world: "tollgate:fastly/front",
        generate_all,
    });
}

mod facts;
mod house;
mod line;
mod platform;
mod record;
mod refusal;
mod settings;

#[cfg(target_family = "wasm")]
mod component;

pub use house::{House, SettingsError};
pub use line::answer;
pub use platform::Failure;
pub use settings::{Bucket, Client, KeyField, Route, Settings, Tenant};
