//! Signing: a component and what is said of it become an envelope; a second signer adds to it.

use crate::digest::{Blake3, Sha256};
use crate::envelope::{Envelope, EnvelopeSignature, MAX_SIGNATURES};
use crate::key::{KeyId, SigningKey};
use crate::statement::{Mismatch, Release, Statement, StatementError};

/// A signature was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The release, or the envelope's payload, is not a statement that a verifier would take.
    #[error("there is nothing that can be signed")]
    Statement(#[from] StatementError),
    /// The envelope speaks of other bytes than those that the second signer holds.
    #[error(
        "the envelope is for {algorithm} `{signed}` and this component has `{found}`: name the component that the envelope was made for",
        algorithm = .0.algorithm, signed = .0.signed, found = .0.found
    )]
    OtherComponent(Mismatch),
    /// The key signed already; a threshold counts keys, not signatures.
    #[error("key `{key}` has signed this envelope already: sign with another key")]
    AlreadySigned {
        /// The key.
        key: KeyId,
    },
    /// There is no room for one more.
    #[error("the envelope holds {MAX_SIGNATURES} signatures already, and a verifier reads no more")]
    TooManySignatures,
}

/// Signs a component: states `release` of these bytes, with their sha256 and blake3.
///
/// The imports may come in any order and more than once; they are sorted here. The same component, release
/// and key always give the same envelope, because Ed25519 is deterministic.
///
/// # Errors
/// [`SignError::Statement`] when the release holds what no verifier would take.
pub fn sign(component: &[u8], mut release: Release, key: &SigningKey) -> Result<Envelope, SignError> {
    release.imports.sort();
    release.imports.dedup();
    let statement = Statement { release, sha256: Sha256::of(component), blake3: Some(Blake3::of(component)) };
    let payload = statement.to_json()?;
    let mut envelope = Envelope::unsigned(payload);
    add_signature(&mut envelope, key);
    Ok(envelope)
}

/// Adds the signature of one more key to an envelope, after checking that it speaks of this component.
///
/// # Errors
/// [`SignError`] when the envelope is of another component, is full, or holds this key's signature already.
pub fn countersign(envelope: &mut Envelope, component: &[u8], key: &SigningKey) -> Result<(), SignError> {
    let statement = Statement::parse(envelope.payload())?;
    statement.match_bytes(component).map_err(SignError::OtherComponent)?;
    let public = key.public();
    let message = envelope.pae();
    if envelope.signatures().iter().any(|signature| public.verifies(&message, &signature.sig)) {
        return Err(SignError::AlreadySigned { key: public.id() });
    }
    if envelope.signatures().len() >= MAX_SIGNATURES {
        return Err(SignError::TooManySignatures);
    }
    add_signature(envelope, key);
    Ok(())
}

fn add_signature(envelope: &mut Envelope, key: &SigningKey) {
    let sig = key.sign(&envelope.pae()).to_vec();
    envelope.push(EnvelopeSignature { keyid: Some(key.public().id().to_string()), sig });
}

#[cfg(test)]
mod tests;
