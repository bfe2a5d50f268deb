//! What a whole host must do, as stories. One binary, so that the engine is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop here"
)]

mod admission;
mod audit;
mod clients;
mod concurrent;
mod conformance;
mod deploy;
mod drain;
mod edge_cloudflare;
mod edge_deployed;
mod edge_fastly;
mod edge_gas;
mod edge_target;
mod faults;
mod fields;
mod grants;
mod hostile;
mod http2;
mod isolation;
mod limits;
mod reload;
mod samples;
mod serving;
mod smuggling;
mod trust;
