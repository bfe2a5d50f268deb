//! A request between HTTP and the gate, the same on every platform: one spelling of host and path, clean headers, the
//! route, and what the host itself answers.
//!
//! The server's line and the front of a Fastly service both go through here, so that a policy sees the same facts on
//! both, and a client the same refusals. No engine, no socket, no clock and no randomness: it builds for wasm.

mod headers;
mod message;
mod problem;
mod spelling;
mod table;

pub use headers::{
    bearer, clean_request_headers, clean_trailers, content_length, drop_hop_by_hop, shown, trace_id,
};
pub use message::{MalformedResponse, announce, has_no_body, request_headers, response_headers};
pub use problem::{Blame, End};
pub use spelling::{Spelling, path};
pub use table::{HostPattern, Table};

/// A request that can't be understood; the text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);
