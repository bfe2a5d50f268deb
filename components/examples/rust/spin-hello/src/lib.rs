//! An app written for Spin, with `spin-sdk` as it comes: nothing in it is made for this host.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn hello(request: Request) -> impl IntoResponse {
    format!("hello from {} (spin-sdk, Rust)\n", request.uri().path())
}
