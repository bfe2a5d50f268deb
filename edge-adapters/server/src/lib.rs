//! The server adapter: listener, stores, outgoing HTTP, the audit book, telemetry, and the admin address.
//!
//! Everything that touches a socket or a disk on behalf of the runtime is here; the runtime knows only its seams.

mod admin;
mod ask;
mod audit_book;
mod caller;
mod listener;
mod log_bucket;
mod log_store;
mod outbound;
mod server;
mod signer;
mod stores;
mod telemetry;

pub use admin::{Admin, Check, StatusText};
pub use ask::{AskError, ask_admin};
pub use audit_book::*;
pub use caller::{CallError, Caller};
pub use listener::*;
pub use log_bucket::LogBucket;
pub use log_store::{LogReader, LogStore, LogStoreError, OpenBook, OpenBookError, OpenedRequest};
pub use outbound::*;
pub use server::*;
pub use signer::*;
pub use stores::*;
pub use telemetry::*;
