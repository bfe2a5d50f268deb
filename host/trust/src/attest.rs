//! Signatures over other statements than releases: the same envelope, the same keys, another predicate.
//!
//! Here nothing is known of what is stated. Who makes a statement checks its shape, and who reads one does so again,
//! after [`verify`]; a release statement is not signed here, so nothing goes round the checks that releases get.

use serde::Deserialize;

use crate::envelope::{Envelope, EnvelopeSignature};
use crate::key::{KeyId, PublicKey, SigningKey};
use crate::statement;

/// A statement was not signed, or its signatures don't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// Not an in-toto Statement v1 with a predicate type.
    #[error("it is not an in-toto statement of version 1")]
    NotAStatement,
    /// It states a release, which is signed with its component.
    #[error("it states a component's release: sign the component with `tollgate sign`")]
    Release,
    /// Too few of the keys have signed.
    #[error("{have} of the keys have signed it, and {need} must have")]
    TooFew {
        /// How many of the keys signed.
        have: usize,
        /// How many must have.
        need: usize,
    },
}

#[derive(Deserialize)]
struct Kinds {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// Checks that a payload is a statement of another kind than a release.
fn check(payload: &[u8]) -> Result<(), AttestError> {
    let kinds: Kinds = serde_json::from_slice(payload).map_err(|_| AttestError::NotAStatement)?;
    if kinds.kind != statement::STATEMENT_TYPE {
        return Err(AttestError::NotAStatement);
    }
    if kinds.predicate_type == statement::PREDICATE_TYPE {
        return Err(AttestError::Release);
    }
    Ok(())
}

/// Signs a statement, given as JSON. The same statement and key always give the same envelope.
///
/// # Errors
/// [`AttestError`] when the payload is no statement, or states a release.
pub fn sign(payload: Vec<u8>, key: &SigningKey) -> Result<Envelope, AttestError> {
    check(&payload)?;
    let mut envelope = Envelope::unsigned(payload);
    let sig = key.sign(&envelope.pae()).to_vec();
    envelope.push(EnvelopeSignature { keyid: Some(key.public().id().to_string()), sig });
    Ok(envelope)
}

/// The statement's bytes, if at least `need` different keys among `keys` have signed it. 0 counts as 1.
///
/// # Errors
/// [`AttestError`] when too few have, or when it is a release that they signed.
pub fn verify<'a>(envelope: &'a Envelope, keys: &[PublicKey], need: usize) -> Result<&'a [u8], AttestError> {
    let message = envelope.pae();
    let mut signers: Vec<KeyId> = Vec::new();
    for key in keys {
        let signed = envelope.signatures().iter().any(|signature| key.verifies(&message, &signature.sig));
        if signed && !signers.contains(&key.id()) {
            signers.push(key.id());
        }
    }
    let (have, need) = (signers.len(), need.max(1));
    if have < need {
        return Err(AttestError::TooFew { have, need });
    }
    check(envelope.payload())?;
    Ok(envelope.payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(predicate_type: &str) -> Vec<u8> {
        format!(r#"{{"_type":"{}","predicateType":"{predicate_type}"}}"#, statement::STATEMENT_TYPE)
            .into_bytes()
    }

    #[test]
    fn different_keys_are_counted_and_the_same_key_once() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let payload = statement("https://example.com/p");
        let envelope = sign(payload.clone(), &one).unwrap();
        assert_eq!(verify(&envelope, &[one.public()], 0), Ok(payload.as_slice()));
        let twice = [one.public(), one.public(), other.public()];
        assert_eq!(verify(&envelope, &twice, 2), Err(AttestError::TooFew { have: 1, need: 2 }));
        assert_eq!(verify(&envelope, &[], 1), Err(AttestError::TooFew { have: 0, need: 1 }));
    }

    #[test]
    fn a_release_goes_no_other_way_than_its_own() {
        let key = SigningKey::generate().unwrap();
        let release = statement(statement::PREDICATE_TYPE);
        assert_eq!(sign(release.clone(), &key), Err(AttestError::Release));
        let mut envelope = Envelope::unsigned(release);
        let sig = key.sign(&envelope.pae()).to_vec();
        envelope.push(EnvelopeSignature { keyid: None, sig });
        assert_eq!(verify(&envelope, &[key.public()], 1), Err(AttestError::Release));
    }

    #[test]
    fn what_is_no_statement_is_not_signed() {
        let key = SigningKey::generate().unwrap();
        for text in ["", "{}", "[]", r#"{"_type":"x","predicateType":"y"}"#] {
            assert_eq!(sign(text.into(), &key), Err(AttestError::NotAStatement), "{text}");
        }
    }
}
