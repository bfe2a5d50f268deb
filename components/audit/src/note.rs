//! Signed notes and verifier keys (C2SP signed-note v1.0.0), with Ed25519 signatures only.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};

/// The signature type byte of plain Ed25519.
const ED25519: u8 = 0x01;

/// More than any checkpoint with 16 signatures has; longer notes are refused unread.
const MAX_NOTE_BYTES: usize = 128 * 1024;

/// Signature lines read of one note. The standard asks verifiers to take at least 16.
const MAX_SIGNATURES: usize = 64;

/// What begins a signature line: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note or a verifier key is not one, or not signed as demanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The text is not an Ed25519 verifier key.
    #[error("not a verifier key of the form `name+id+key`: {0}")]
    Key(&'static str),
    /// No signature line is of this key.
    #[error("the note is not signed by `{0}`")]
    Unsigned(VerifierKey),
    /// A signature line names this key, and its signature is not one over this text.
    #[error("the signature of `{0}` does not fit the note's text")]
    BadSignature(VerifierKey),
}

/// The first four bytes of SHA-256 over name, line feed, signature type and public key.
#[must_use]
pub fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update([ED25519])
        .chain_update(public_key)
        .finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

/// An Ed25519 public key with the name that it signs under. Its text form is the standard's vkey: `name+id+key`.
///
/// Invariant: the name is not empty and holds no white space, control character or `+`; the id belongs to both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key `public_key` under this name.
    ///
    /// # Errors
    /// If the name is empty or holds white space, a control character or `+`.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(NoteError::Key("a name has no spaces and no `+`, and is not empty"));
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &public_key), public_key })
    }

    /// The name that this key signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id that signature lines carry.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.public_key);
        let key = BASE64_STANDARD.encode(key);
        write!(f, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.id))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        // The key's base64 may hold `+` itself, the name and the id may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has fewer than three parts"));
        };
        let key = BASE64_STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let Some((&ED25519, public_key)) = key.split_first() else {
            return Err(NoteError::Key("the key is not of type 1, Ed25519"));
        };
        let public_key = public_key.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let parsed = Self::new(name, public_key)?;
        if id != format!("{:08x}", u32::from_be_bytes(parsed.id)) {
            return Err(NoteError::Key("the id does not belong to the name and the key"));
        }
        Ok(parsed)
    }
}

/// A parsed note: its text with the final line feed, and who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Note {
    /// Reads a note. Nothing is verified yet.
    ///
    /// # Errors
    /// If the bytes are not a signed note, are longer than 128 KiB, or carry more than 64 signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Malformed("it is longer than 128 KiB"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("it holds a control character"));
        }
        let end = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line before its signatures"))?;
        let (text, tail) = note.split_at(end + 1);
        let lines = tail.strip_prefix('\n').unwrap_or_default();
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("its last line has no end"))?;
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed("it has more than 64 signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text that was signed, with its final line feed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first signature that claims to be of this key: its name and id are the key's.
    #[must_use]
    pub fn claimed_signature(&self, key: &VerifierKey) -> Option<&[u8]> {
        let of_key = |s: &&Signature| s.name == key.name && s.id == key.id;
        self.signatures.iter().find(of_key).map(|s| s.bytes.as_slice())
    }

    /// The text, if `key` signed it. Every signature line of that key must hold; lines of other keys are ignored, as
    /// the standard asks.
    ///
    /// # Errors
    /// If no line is of this key, or one is and its signature does not fit.
    #[cfg(not(target_family = "wasm"))]
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let bad = || NoteError::BadSignature(key.clone());
        let verifying = ed25519_dalek::VerifyingKey::from_bytes(&key.public_key).map_err(|_| bad())?;
        let mut signed = false;
        for line in self.signatures.iter().filter(|s| s.name == key.name && s.id == key.id) {
            let signature = ed25519_dalek::Signature::from_slice(&line.bytes).map_err(|_| bad())?;
            verifying.verify_strict(self.text.as_bytes(), &signature).map_err(|_| bad())?;
            signed = true;
        }
        if signed { Ok(&self.text) } else { Err(NoteError::Unsigned(key.clone())) }
    }
}

impl Signature {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("a signature line is not `— name base64`");
        let Some((name, encoded)) = line.strip_prefix(SIGNATURE_MARK).and_then(|l| l.split_once(' ')) else {
            return Err(malformed);
        };
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c == '+') {
            return Err(malformed);
        }
        let decoded = BASE64_STANDARD.decode(encoded).map_err(|_| malformed.clone())?;
        let (id, bytes) = decoded.split_first_chunk::<4>().ok_or(malformed)?;
        Ok(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }
}

/// The signed note of a text that ends in a line feed, with one signature.
#[must_use]
pub fn assemble(text: &str, key: &VerifierKey, signature: &[u8]) -> String {
    let mut line = key.id.to_vec();
    line.extend_from_slice(signature);
    format!("{text}\n{SIGNATURE_MARK}{} {}\n", key.name, BASE64_STANDARD.encode(line))
}

#[cfg(test)]
mod tests;
