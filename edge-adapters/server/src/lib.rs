//! The server adapter: listener, stores, telemetry, admin address.

mod stores;
pub use stores::*;
