//! The two digests: blake3 for our own stores and caches, sha256 wherever OCI, in-toto or a
//! transparency log need it. Two types, so that one is never compared with the other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::shown;

/// A text is not a digest in the form we write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {algorithm} digest: it must be 64 lower-case hexadecimal digits")]
pub struct DigestError {
    algorithm: &'static str,
    text: String,
}

/// Reads 64 lower-case hexadecimal digits; upper case is refused, so that each digest has one spelling.
fn read_hex(algorithm: &'static str, text: &str) -> Result<[u8; 32], DigestError> {
    let mut bytes = [0; 32];
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        _ => Err(DigestError { algorithm, text: shown(text) }),
    }
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $algorithm:literal, $hash:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The digest of `bytes`.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                let hash: fn(&[u8]) -> [u8; 32] = $hash;
                Self(hash(bytes))
            }

            /// Takes 32 bytes that are already such a digest.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The digest's 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        /// Writes 64 lower-case hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{self}", $algorithm)
            }
        }

        /// Reads exactly what `Display` writes.
        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                read_hex($algorithm, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// A SHA-256 digest (FIPS 180-4): what signatures, OCI and logs name a component by.
    Sha256,
    "sha256",
    |bytes| <sha2::Sha256 as sha2::Digest>::digest(bytes).into()
);

digest!(
    /// A BLAKE3 digest: what our own stores and caches name a component by.
    Blake3,
    "blake3",
    |bytes| *blake3::hash(bytes).as_bytes()
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digests_of_the_empty_string_are_the_published_ones() {
        assert_eq!(
            Sha256::of(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            Blake3::of(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn upper_case_is_refused_with_a_message() {
        let text = Sha256::of(b"").to_string().to_uppercase();
        let error = text.parse::<Sha256>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{text}` is not a sha256 digest: it must be 64 lower-case hexadecimal digits")
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: [u8; 32]) {
            let digest = Blake3::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse::<Blake3>().unwrap(), digest);
        }

        #[test]
        fn only_what_would_be_written_is_read(text in "[0-9a-fA-F]{62,66}") {
            if let Ok(digest) = text.parse::<Sha256>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
