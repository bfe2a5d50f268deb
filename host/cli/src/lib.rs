//! The tollgate binary: configuration and commands.
//!
//! [`config`] is `tollgate.toml`, checked.

pub mod config;
