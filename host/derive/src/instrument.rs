//! Gas inside a guest: a component or a core module, written again so that it counts what it does.
//!
//! The host's engine can count fuel by itself; other platforms can't. Here the count is put into the guest's own code, so
//! that it is the same number everywhere: to the unit what wasmtime 48.0.8 counts by the same [`Schedule`] for the same
//! run on a fresh instance.
//!
//! # The cell
//!
//! The count is a mutable `i64` global, the *cell*. It holds what was used less the limit: negative while there is gas.
//! A core module either imports it or exports it ([`Cell`]); in JavaScript the former is one `WebAssembly.Global` for all
//! modules of a component, made with `-limit` (a limit is at most 2^63 - 1), and `limit + cell` was used. In a component
//! the largest core module has the cell, because its own global is the cheapest to reach, and modules that are
//! instantiated after it import it; those before (in practice one of trampolines) have cells of their own. The component
//! exports [`GAS_INTERFACE`], by which the host reads what all used and sets the limit. Components that are composed side
//! by side tell their sum. Where there are several cells, each has the whole limit for itself, so hold the sum against it
//! after each call.
//!
//! # What is charged
//!
//! Every operator at its price in the schedule, 1 for each call of a function, bulk operators also for each byte or
//! element, and what the engine counts when a module starts, in a start function that is added. Only code that runs is
//! charged. Code that wasmtime makes for itself is not in the bytes, and not charged: the adapters between composed
//! components. Their fuel is the only difference between both counts, so for a composition native fuel is the sum of its
//! parts and that.
//!
//! # When a guest is out of gas
//!
//! Out of gas is a trap (`unreachable`), and the cell is 0 or more then. The cell is looked at in every turn of a loop,
//! before the first call in a function, when a function of more than 512 units begins, before bulk operators of unknown
//! length, and in straight code each 16,384 units. Small functions that call none but small ones are charged, and leave
//! the look to their callers. So a guest may use somewhat more than its limit, never without bound, and how much more
//! depends on where it looks, which differs from where the engine looks. The verdict does not,
//! if it is made from the count: **a run is within its gas if, and only if, it ended and used less than the limit.**
//! (A trap because of gas says the same, because the cell is never ahead of what was used.) While a component starts,
//! the limit is the one given here.
//!
//! # Where exactness ends
//!
//! Both counts are equal after each call that returns, and after a trap of `unreachable` or inside a function of the
//! host. Any other trap (a division by zero, an access out of bounds) ends a block in its middle, and then neither count
//! has all that ran: the engine loses what the innermost function used since it was entered or last came back from a
//! call, this one what was not charged yet. After a trap wasmtime lets nobody enter a component, so its cell can't be read
//! there: bill the limit. Two things make equal runs: a fresh instance (an allocator that is warm takes other ways), and
//! an engine that maps initial memory, as wasmtime does by default on Linux (`startup.rs`).
//!
//! # What is refused
//!
//! Whatever the engine does not let guests use (garbage collection, exceptions, threads, 64-bit memories), by the
//! operator's name; what is instrumented already; and components that take code from elsewhere, or that have core modules
//! of their own beside instances of components with core modules, which no toolchain makes. Sections about places in the
//! code (DWARF, branch hints) are left out.
//!
//! # What it costs
//!
//! Charges are put where they are few (`body.rs` tells how): in wasmtime a run takes about 1.1 times what it takes
//! without, less than with the engine's own fuel; code grows by a quarter.

mod body;
mod cell;
mod code;
mod component;
mod facts;
mod module;
mod operators;
mod startup;
mod survey;

pub use facts::CELL;

use crate::schedule::Schedule;
use wasmparser::{Parser, Payload, Validator};

/// The interface by which an instrumented component tells its gas (`wit/platform/gas.wit`).
pub const GAS_INTERFACE: &str = "tollgate:platform/gas@0.1.0";

/// Where a module's cell is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A global that whoever instantiates the module supplies: mutable, `i64`.
    Imported {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// A global of the module itself.
    Exported {
        /// The export's name.
        name: String,
        /// The limit until the host sets another one: it holds while the module starts.
        limit: u64,
    },
}

/// Bytes that can't be instrumented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// They are not valid, or not valid with what guests may use.
    #[error("it is not valid: {0}")]
    Malformed(String),
    /// An operator that guests may not use.
    #[error("operator `{name}` (proposal {proposal}) at byte {offset} is not among what guests may use")]
    Operator {
        /// The operator.
        name: &'static str,
        /// Where it comes from.
        proposal: &'static str,
        /// Where it stands.
        offset: u64,
    },
    /// They count already.
    #[error("it counts gas already: instrument the component as it was signed")]
    AlreadyMetered,
    /// Sections that don't fit each other, although they were valid.
    #[error("its sections don't fit each other")]
    Uneven,
    /// A way to put components together that nothing that we know of makes.
    #[error("{0}")]
    Shape(&'static str),
    /// What was made is not valid: a defect here.
    #[error("what was made of it is not valid, which is a defect of the instrumenter: {0}")]
    Defect(String),
}

impl From<wasmparser::BinaryReaderError> for InstrumentError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Writes a core module again so that it charges every operator to its cell.
///
/// # Errors
/// [`InstrumentError`] says what it is that can't be instrumented.
pub fn module(bytes: &[u8], schedule: &Schedule, cell: &Cell) -> Result<Vec<u8>, InstrumentError> {
    check(bytes)?;
    finish(module::instrument(Parser::new(0), bytes, schedule, cell)?.finish())
}

/// Writes a component again so that every core module in it charges every operator, and exports [`GAS_INTERFACE`].
///
/// `limit` holds while the component starts, until the host sets another one.
///
/// # Errors
/// [`InstrumentError`] says what it is that can't be instrumented.
pub fn component(bytes: &[u8], schedule: &Schedule, limit: u64) -> Result<Vec<u8>, InstrumentError> {
    check(bytes)?;
    finish(component::instrument(bytes, schedule, limit, true)?.finish())
}

/// As [`component()`], for a host that makes instances of the core modules by itself, as JavaScript does: the component
/// tells nothing, and the host reads and sets the cells, globals by the name of [`CELL`] among the modules' exports. They
/// can be read after a trap, too.
///
/// # Errors
/// [`InstrumentError`] says what it is that can't be instrumented.
pub fn modules(bytes: &[u8], schedule: &Schedule, limit: u64) -> Result<Vec<u8>, InstrumentError> {
    check(bytes)?;
    finish(component::instrument(bytes, schedule, limit, false)?.finish())
}

/// Checks that the bytes are valid with what guests may use; where an operator is to blame, it is named.
fn check(bytes: &[u8]) -> Result<(), InstrumentError> {
    let Err(error) = Validator::new_with_features(operators::guest_features()).validate_all(bytes) else {
        return Ok(());
    };
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionEntry(body) = payload? {
            facts::find_refused(&body)?;
        }
    }
    Err(error.into())
}

/// Checks what was made.
fn finish(written: Vec<u8>) -> Result<Vec<u8>, InstrumentError> {
    Validator::new_with_features(operators::guest_features())
        .validate_all(&written)
        .map_err(|error| InstrumentError::Defect(error.to_string()))?;
    Ok(written)
}
