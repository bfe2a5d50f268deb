//! The audit log: canonical records in a Merkle tree of tiles with signed checkpoints.
//!
//! A log is a set of keys in a key-value bucket, laid out as C2SP tlog-tiles v0.1.0 says, so that any client of that
//! format reads it straight from the files:
//!
//! | key | what |
//! |---|---|
//! | `checkpoint` | size and root hash of the tree, signed (C2SP tlog-checkpoint v1.0.0, signed-note v1.0.0) |
//! | `tile/entries/<N>[.p/<W>]` | 256 records, or the first `W` of them: each a big-endian 16-bit length and JSON |
//! | `tile/<L>/<N>[.p/<W>]` | 256 hashes of level `L`, or the first `W` of them (RFC 6962, section 2.1) |
//!
//! [`Log`] writes; it runs inside the `audit-log` component and has no I/O but its [`Store`] and [`Signer`]. The rest
//! reads: [`verify_log`] checks everything, [`prove_inclusion`] and [`prove_consistency`] make proofs from the files,
//! and [`verify_inclusion`] and [`verify_consistency`] check them against nothing but two root hashes.
//!
//! Partial tiles stay until the full tile is stored, as tlog-tiles asks, so that a client that holds an older
//! checkpoint can finish reading. They are deleted after the checkpoint that made the full tile is durable: at most
//! 255 partial tiles of each kind and level exist at one time.

mod checkpoint;
mod log;
mod merkle;
mod nodes;
pub mod note;
mod proof;
mod record;
mod tile;

#[cfg(not(target_family = "wasm"))]
mod reader;
#[cfg(not(target_family = "wasm"))]
mod verify;

#[cfg(all(target_family = "wasm", feature = "component"))]
mod component;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use log::{Log, LogError, Signer, Store};
pub use merkle::{Hash, empty_root, hash_leaf};
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use record::{Actor, ActorKind, Entry, LimitUse, MAX_ENTRY_BYTES, Outcome, TooLarge, Usage, canonical};

#[cfg(not(target_family = "wasm"))]
pub use reader::{InclusionProof, Read, ReadError, entry, prove_consistency, prove_inclusion, recorded};
#[cfg(not(target_family = "wasm"))]
pub use record::{RecordError, parse};
#[cfg(not(target_family = "wasm"))]
pub use verify::{Summary, VerifyError, verify_log};
