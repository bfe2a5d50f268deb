//! What an app was given. A closed list: an import that no grant covers is refused at load.

use crate::{Egress, Name};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The capabilities of one app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Outgoing HTTP: `wasi:http/outgoing-handler` (0.2) and `wasi:http/client` (0.3).
    pub http: Option<Arc<Egress>>,
    /// `wasi:keyvalue`: the stores that it may open, by the name it opens them with.
    pub keyvalue: BTreeMap<Name, Backend>,
    /// `wasi:config/store`: names and values; none when the app may not ask at all.
    pub config: Option<BTreeMap<String, String>>,
    /// Environment variables. Empty unless given; the import itself is always met.
    pub environment: BTreeMap<String, String>,
    /// `wasi:filesystem`; none when the app may not import it.
    pub files: Option<Files>,
    /// Whether `wasi:sockets` may be imported. Every call of it fails: language runtimes import it without use.
    pub inert_sockets: bool,
    /// Whether `wasi:clocks` is withheld.
    pub no_clocks: bool,
    /// Whether `wasi:random` is withheld.
    pub no_random: bool,
}

/// What a key-value store stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The host's memory: gone when it stops.
    Memory,
    /// The host's database: durable when a write returns.
    Sqlite,
}

/// The file tree that an app sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The import is met, and there is no directory.
    None,
    /// One directory, seen as `/`.
    Directory {
        /// Where it is on the host. Checked at load, and opened for each instance; nothing outside it can be reached.
        path: PathBuf,
        /// What may be done with it.
        access: Access,
    },
}

/// What may be done with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read, write, create and delete.
    ReadWrite,
}
