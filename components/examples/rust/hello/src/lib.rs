//! The smallest app: every request is answered with a line of text.
//!
//! Shows `serve!`. Imports nothing but what a standard library brings, so it needs no grant.

use tollgate_sdk::http::Request;

async fn handle(request: Request) -> String {
    format!("hello from {} (wasi:http 0.3, Rust)\n", request.uri().path())
}

tollgate_sdk::serve!(handle);
