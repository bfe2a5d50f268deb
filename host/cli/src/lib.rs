//! The tollgate binary: configuration and commands.
//!
//! [`config`] is `tollgate.toml`, checked. [`house`] loads everything that it names. [`host`] puts a whole host
//! together, in one value that a test can start too; [`deployment`] is what another platform runs, on disk. [`commands`]
//! is the command line, and [`output`] the one place that prints.

pub mod commands;
pub mod config;
pub mod deployment;
pub mod host;
pub mod house;
mod memory;
pub mod output;
pub mod watch;

pub use config::Config;
pub use host::{RunningHost, start};
