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
mod faults;
mod grants;
mod limits;
mod reload;
mod samples;
mod serving;
mod trust;
