//! What guest authors write against: an HTTP handler, a key-value store, settings, other servers, and, for a tenant
//! that brings its own rules, a policy.
//!
//! A whole app:
//!
//! ```
//! use tollgate_sdk::http::{IntoResponse, Request};
//! use tollgate_sdk::{kv, serve};
//!
//! async fn handle(request: Request) -> Result<impl IntoResponse, kv::Error> {
//!     let visits = kv::open("default")?.increment("visits", 1)?;
//!     Ok(format!("{} was asked for; visit {visits}\n", request.uri().path()))
//! }
//!
//! serve!(handle);
//! # fn main() {}
//! ```
//!
//! It is a library of crate type `cdylib`, built with `cargo build --release --target wasm32-wasip2`. The component
//! imports only what the code calls, and the host grants imports one by one: an app that never opens a store needs no
//! grant for one.
//!
//! What a grant does not allow is an error value here, never a trap. What breaks a limit (work, time, memory) ends
//! the run; no code of the guest sees it.

#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod http;
pub mod kv;
mod log;
pub mod policy;

/// What the macros need, and nobody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::http::server::serve;
    pub use crate::log::write_line;
    pub use wasip3;
}
