//! Ed25519 keys (RFC 8032): made from the system's randomness, kept as PKCS#8, shared as SPKI (RFC 8410).
//!
//! Both PEM forms are those of `openssl genpkey` and `openssl pkey -pubout`, so keys come and go without us.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use zeroize::Zeroizing;

use crate::digest::Sha256;

mod file;

pub use file::KeyFileError;

/// DER before the 32 bytes of the key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER before the 32 bytes of the seed in a version 1 `OneAsymmetricKey` (RFC 8410, section 7). Version 2,
/// which repeats the public key, is what OpenSSL 3.0 cannot read.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A key cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness.
    #[error("the system gives no randomness, so no key was made")]
    NoRandomness,
    /// Not an Ed25519 private key.
    #[error(
        "this is not an Ed25519 private key in PKCS#8 PEM form: make one with `tollgate keygen` or `openssl genpkey -algorithm ed25519`"
    )]
    NotPrivate,
    /// Not an Ed25519 public key.
    #[error(
        "this is not an Ed25519 public key in PEM form: write the output of `openssl pkey -in <private key> -pubout`"
    )]
    NotPublic,
    /// A private key stands where a public key belongs.
    #[error(
        "this is a private key where a public key belongs: put the public key here, and if others can read this file, replace the key"
    )]
    PrivateAsPublic,
    /// A public key under which anyone can make signatures.
    #[error(
        "this public key is weak (a point of small order, or not in canonical form): whoever gave it does not hold a real key, so do not trust it"
    )]
    Weak,
}

/// The name of a public key: sha256 of its SPKI DER form, as
/// `openssl pkey -pubin -outform DER | sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Sha256);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A public key that is fit to be trusted: canonical and not of small order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: ed25519_dalek::VerifyingKey,
    id: KeyId,
}

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] when they are no point, [`KeyError::Weak`] when anyone could sign for them.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotPublic)?;
        Self::checked(key)
    }

    /// Reads the SPKI PEM form.
    ///
    /// # Errors
    /// [`KeyError`] says what stands there instead.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::PrivateAsPublic);
        }
        let key =
            ed25519_dalek::VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::NotPublic)?;
        Self::checked(key)
    }

    fn checked(key: ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        // A second encoding of one point would be a second key to a threshold.
        let canonical = key.to_edwards().compress().to_bytes() == key.to_bytes();
        if key.is_weak() || !canonical {
            return Err(KeyError::Weak);
        }
        let id = KeyId(Sha256::of(&spki(&key)));
        Ok(Self { key, id })
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Writes the SPKI PEM form, as OpenSSL writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(spki(&self.key))
        )
    }

    /// Whether `signature` is this key's pure Ed25519 signature of `message`.
    ///
    /// Strict: a scalar that is not reduced and points of small order are refused, so a signature cannot be
    /// altered into a second valid one and no signature fits more than one message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

fn spki(key: &ed25519_dalek::VerifyingKey) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), key.as_bytes()].concat()
}

/// A private key. Its memory is overwritten when it is dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system has none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed (RFC 8032, section 5.1.5).
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads the PKCS#8 PEM form.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim()).map(Self).map_err(|_| KeyError::NotPrivate)
    }

    /// Writes the PKCS#8 PEM form, as OpenSSL writes it.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), self.0.as_bytes()].concat());
        let body = Zeroizing::new(STANDARD.encode(&*der));
        Zeroizing::new(["-----BEGIN PRIVATE KEY-----\n", &body, "\n-----END PRIVATE KEY-----\n"].concat())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let key = self.0.verifying_key();
        PublicKey { id: KeyId(Sha256::of(&spki(&key))), key }
    }

    /// The pure Ed25519 signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Names the key and shows nothing of it.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

#[cfg(test)]
mod tests;
