//! The policy engine: Cedar policies to a verdict with reasons.
//!
//! [`Engine`] is the whole of it, and runs anywhere: it does no I/O and reads no clock. Built for wasm, the crate
//! is also the component of the WIT world `tollgate:gate/policy-engine`.
//!
//! A decision goes through four steps. `scope` finds the rules whose scope holds, `reads` knows which facts
//! their clauses look at, `question` puts just those in Cedar's terms, and Cedar's evaluator does the rest.

mod directory;
mod engine;
mod facts;
mod question;
mod reads;
mod rules;
mod scope;
mod size;
mod vocabulary;

#[cfg(target_family = "wasm")]
mod component;

pub use directory::MAX_ENTITIES;
pub use engine::{Engine, MAX_CONFIG_BYTES};
pub use facts::{Actor, ActorKind, Diagnostic, Facts, Reasons, Verdict};
pub use size::MAX_POLICIES;
pub use vocabulary::SCHEMA;
