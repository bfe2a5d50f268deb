//! Digests, signatures and the trust file: who may sign what, checked before anything loads.
//!
//! One scheme, so that a signature can be checked without us: a [DSSE] v1.0.2 envelope, a pure
//! Ed25519 signature (RFC 8032) over its pre-authentication encoding, and an [in-toto] Statement v1
//! as the payload, which carries our own [`Release`] predicate. The [`TrustRoot`] says whose keys may
//! sign which packages and how many of them must. [`verify`](verify::verify) joins the two and hands
//! out the very bytes that it checked as [`Verified`], the only proof of a check that exists.
//!
//! Nothing here opens a socket, runs WebAssembly or reads a clock: the time is always an argument.
//! Error messages name the cause at their own level; print an error together with its sources.
//!
//! [DSSE]: https://github.com/secure-systems-lab/dsse
//! [in-toto]: https://github.com/in-toto/attestation

pub mod attest;
pub mod digest;
mod disk;
pub mod envelope;
pub mod file;
mod json;
pub mod key;
pub mod package;
pub mod root;
pub mod sign;
pub mod statement;
#[cfg(test)]
mod testing;
mod text;
pub mod validity;
pub mod verify;

pub use digest::{Blake3, Sha256};
pub use envelope::Envelope;
pub use file::{envelope_path, read_envelope, verify_file, write_envelope};
pub use key::{KeyId, PublicKey, SigningKey};
pub use package::PackageName;
pub use root::{KeyName, TrustRoot};
pub use sign::{countersign, sign};
pub use statement::Release;
pub use verify::{Refused, Verified, still_trusted, verify};
