//! A whole host in a test: signed guests, a gate of components, real sockets, a log on disk.
//!
//! ```ignore
//! Case::guest("spin_forever").limits("fuel = 100_000").get("/").expect_problem(502, "out-of-fuel");
//! ```
//!
//! A case names what matters to its story; everything else has a default. `cargo xtask guests` builds the guests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop here"
)]
#![allow(missing_docs, reason = "the names say it, and the tests are the readers")]

mod answer;
mod attack;
mod case;
mod client;
mod files;
mod host;
pub mod http1;
pub mod http2;
mod log;
mod pulse;
mod raw;
mod siege;
mod vectors;
mod vendor;
mod verdict;
mod viceroy;
mod worker;

pub use answer::{Answer, Body};
pub use attack::{Attack, Evidence, Want};
pub use case::{App, Case, Site, Tenant};
pub use files::{binary, contains, guest, key, sign, sign_as_importing, sign_until, workspace};
pub use host::{Host, Process};
pub use http1::Http1;
pub use http2::Http2;
pub use log::{Log, Record};
pub use pulse::{Bytes, Footprint, Pace, Pulse};
pub use raw::{Ask, Connection, Reply, Sending};
pub use siege::{Siege, Strictness};
pub use vectors::{Difference, Expect, Platform, Vector, Vectors};
pub use vendor::{Fault, Ran, TOKEN, Vendor};
pub use viceroy::Viceroy;
pub use worker::{Wanted, Worker, build_bundle, try_bundle};
