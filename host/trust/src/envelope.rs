//! The DSSE v1.0.2 envelope: a payload, its type, and signatures over both.
//!
//! Parsing checks form only; nothing in an [`Envelope`] is to be believed before
//! [`verify`](crate::verify::verify) said so. Unknown fields are ignored, as DSSE asks.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::json::{Object, present};
use crate::text::shown;

/// The only payload type that we read: an in-toto statement in JSON.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest envelope, in bytes of JSON.
pub const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;
/// Most signatures in one envelope: each costs a verification before anyone is known to be trusted.
pub const MAX_SIGNATURES: usize = 16;

/// Both alphabets of RFC 4648 must be read (DSSE, protocol, "Base64"); padding may be left away.
const LENIENT_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT_PADDING);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT_PADDING);

/// A text is not an envelope that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The envelope is larger than [`MAX_ENVELOPE_BYTES`].
    #[error("envelope has more than {MAX_ENVELOPE_BYTES} bytes")]
    TooLarge,
    /// The envelope is not the JSON that it should be.
    #[error("envelope is not well-formed: {detail}")]
    Json {
        /// What the JSON reader found, and where.
        detail: String,
    },
    /// The payload is of another type.
    #[error("envelope has `payloadType` `{found}`, and only `{PAYLOAD_TYPE}` is understood")]
    PayloadType {
        /// The type found.
        found: String,
    },
    /// A field is not base64.
    #[error("envelope has a `{field}` that is not base64")]
    Base64 {
        /// The field's name in the JSON.
        field: &'static str,
    },
    /// There are no signatures, or too many.
    #[error("envelope holds {count} signatures, and it must hold 1 to {MAX_SIGNATURES}")]
    SignatureCount {
        /// How many it holds.
        count: usize,
    },
}

/// One signature of an envelope. Who made it is known only after it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// Whose it claims to be: a hint that nothing may rest on, because it is not signed.
    pub keyid: Option<String>,
    /// The signature's bytes; 64 of them for Ed25519, while other signers may have put other lengths here.
    pub sig: Vec<u8>,
}

/// A well-formed envelope: a payload of type [`PAYLOAD_TYPE`] and 1 to [`MAX_SIGNATURES`] signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// Reads an envelope from JSON.
    ///
    /// # Errors
    /// [`EnvelopeError`] for anything but a well-formed envelope within the limits.
    pub fn parse(json: &[u8]) -> Result<Self, EnvelopeError> {
        if json.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let Object(raw) = serde_json::from_slice::<Object<RawEnvelope>>(json)
            .map_err(|error| EnvelopeError::Json { detail: shown(&error.to_string()) })?;
        if raw.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType { found: shown(&raw.payload_type) });
        }
        let count = raw.signatures.len();
        if count == 0 || count > MAX_SIGNATURES {
            return Err(EnvelopeError::SignatureCount { count });
        }
        let payload = from_base64("payload", &raw.payload)?;
        let signatures = raw
            .signatures
            .into_iter()
            .map(|Object(raw)| Ok(EnvelopeSignature { keyid: raw.keyid, sig: from_base64("sig", &raw.sig)? }))
            .collect::<Result<_, _>>()?;
        Ok(Self { payload, signatures })
    }

    /// Takes a payload that the caller signs next.
    pub(crate) fn unsigned(payload: Vec<u8>) -> Self {
        Self { payload, signatures: Vec::new() }
    }

    /// Adds a signature; the caller holds the count within [`MAX_SIGNATURES`].
    pub(crate) fn push(&mut self, signature: EnvelopeSignature) {
        self.signatures.push(signature);
    }

    /// Writes the envelope as one line of JSON with padded standard base64.
    #[must_use]
    pub fn to_json(&self) -> String {
        let signatures = self.signatures.iter().map(|signature| {
            Object(RawSignature { keyid: signature.keyid.clone(), sig: STANDARD.encode(&signature.sig) })
        });
        let raw = RawEnvelope {
            payload: STANDARD.encode(&self.payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: signatures.collect(),
        };
        // A struct of strings cannot fail to serialise.
        let mut json = serde_json::to_string(&raw).unwrap_or_default();
        json.push('\n');
        json
    }

    /// The payload's bytes, exactly as they were signed.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, in the order of the envelope.
    #[must_use]
    pub fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// sha256 of the payload: names this statement whoever signs it, and is what a later release puts
    /// into [`Release::supersedes`](crate::statement::Release::supersedes).
    #[must_use]
    pub fn statement_sha256(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(PAYLOAD_TYPE, &self.payload)
    }
}

/// Pre-authentication encoding (DSSE v1.0.2, protocol): joins type and body so that neither can be moved
/// into the other.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

fn from_base64(field: &'static str, text: &str) -> Result<Vec<u8>, EnvelopeError> {
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { READ_URL_SAFE } else { READ_STANDARD };
    engine.decode(text).map_err(|_| EnvelopeError::Base64 { field })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEnvelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Object<RawSignature>>,
}

#[derive(Serialize, Deserialize)]
struct RawSignature {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

#[cfg(test)]
mod tests;
