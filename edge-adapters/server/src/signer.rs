//! Signs checkpoints with the host's log key.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use std::path::Path;
use tollgate_runtime::Signer;
use tollgate_trust::key::KeyFileError;
use tollgate_trust::{Sha256, SigningKey};

/// The signature type Ed25519 of C2SP signed-note.
const ED25519: u8 = 1;

/// Why a log key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The file can't be read, or holds no key.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The name can't be in a note.
    #[error("`{0}` can't be a log's name: it must not be empty, and have no space and no `+`")]
    Name(String),
}

/// The key of one log: signs with Ed25519, and names itself as a C2SP signed-note verifier key.
pub struct LogKey {
    key: ed25519_dalek::SigningKey,
    verifier: String,
}

impl LogKey {
    /// Reads the key from a PKCS#8 PEM file that only its owner may read. `origin` is the log's name in its
    /// checkpoints, for example `tollgate.example/audit`.
    ///
    /// # Errors
    /// Any [`LogKeyError`].
    pub fn read(file: &Path, origin: &str) -> Result<Self, LogKeyError> {
        Self::new(&SigningKey::read(file)?, origin)
    }

    /// The same, with a key at hand.
    ///
    /// # Errors
    /// [`LogKeyError::Name`].
    pub fn new(key: &SigningKey, origin: &str) -> Result<Self, LogKeyError> {
        let bad = |c: char| c == '+' || c.is_whitespace() || c.is_control();
        if origin.is_empty() || origin.contains(bad) {
            return Err(LogKeyError::Name(origin.to_owned()));
        }
        // The trust crate keeps its keys to itself; PEM is the form in which it hands them on.
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&key.to_pem())
            .map_err(|_| LogKeyError::Name(origin.to_owned()))?;
        let typed = [&[ED25519], key.verifying_key().as_bytes().as_slice()].concat();
        let hash = Sha256::of(&[origin.as_bytes(), b"\n", &typed].concat());
        let id = hash.as_bytes().first_chunk::<4>().copied().unwrap_or_default();
        let verifier = format!("{origin}+{}+{}", hex::encode(id), BASE64_STANDARD.encode(&typed));
        Ok(Self { key, verifier })
    }
}

impl Signer for LogKey {
    fn verifier_key(&self) -> String {
        self.verifier.clone()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], String> {
        Ok(self.key.sign(text).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_signs_what_its_verifier_key_verifies() {
        let key = SigningKey::generate().unwrap();
        let log = LogKey::new(&key, "tollgate.example/audit").unwrap();
        let signature = log.sign(b"a checkpoint\n").unwrap();
        assert!(key.public().verifies(b"a checkpoint\n", &signature));
        assert!(!key.public().verifies(b"another\n", &signature));
        let verifier = log.verifier_key();
        let parts: Vec<_> = verifier.split('+').collect();
        assert_eq!((parts[0], parts[1].len()), ("tollgate.example/audit", 8));
        // Base64 itself may have a `+`: the rest of the text is the key.
        let encoded = verifier.splitn(3, '+').nth(2).unwrap();
        let bytes = BASE64_STANDARD.decode(encoded).unwrap();
        assert_eq!((bytes[0], &bytes[1..]), (1, key.public().to_bytes().as_slice()));
    }

    #[test]
    fn a_name_that_a_note_could_misread_is_refused() {
        let key = SigningKey::generate().unwrap();
        for bad in ["", "a b", "a+b", "a\nb"] {
            assert!(LogKey::new(&key, bad).is_err(), "{bad:?}");
        }
    }
}
