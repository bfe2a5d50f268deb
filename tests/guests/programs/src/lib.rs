//! Guests for the integration tests: each file in `examples/` is a component of its own, which says in its first line
//! what it does. All of them together are one cargo run.
//!
//! They take what they need from the query, so that one component serves many tests. A hostile one does the one thing
//! that its name says; the host has to answer for it.

use tollgate_sdk::http::{Request, query_value};

/// What nearly every one of them uses.
pub mod prelude {
    pub use crate::query_number;
    pub use tollgate_sdk::http::{
        Body, Closed, HeaderName, HeaderValue, IntoResponse, Request, Response, StatusCode, query_value,
    };
    pub use tollgate_sdk::serve;
}

/// A number from the query, or this one if there is none.
pub fn query_number(request: &Request, name: &str, otherwise: u64) -> u64 {
    query_value(request, name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Works and never stops, in a way that no compiler removes.
pub fn spin() -> ! {
    let mut state = 1_u64;
    loop {
        state = std::hint::black_box(state).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
}
