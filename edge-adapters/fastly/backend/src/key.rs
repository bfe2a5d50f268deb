//! How a key is written in a KV store.
//!
//! A KV store takes keys of 1 to 1,024 bytes without control characters, `#`, `;`, `?`, `^` and `|`, and none with a
//! segment of dots. So whatever is not a letter, a digit, or one of `-`, `_`, `:`, `/` and `%` is written as `=` and
//! two hexadecimal digits for each byte. Two keys never become one.

use std::fmt::Write;

/// The longest key of a KV store, bytes.
const BYTES_MAX: usize = 1024;

/// A key that can't be written in a KV store, or was not written by [`write`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("a key is empty")]
    Empty,
    /// It is too long once it is written.
    #[error("a key has {bytes} bytes as the KV store writes it: at most {BYTES_MAX} are allowed")]
    TooLong {
        /// Its bytes as written.
        bytes: usize,
    },
    /// It stands in the store, and not in this spelling.
    #[error("the KV store has a key that was not written here: give the counters a store of their own")]
    Foreign,
}

/// A key as the KV store takes it.
///
/// # Errors
/// If it is empty, or too long once it is written.
pub fn write(key: &str) -> Result<String, KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    let mut text = String::with_capacity(key.len() + 16);
    for byte in key.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "={byte:02X}");
        }
    }
    if text.len() > BYTES_MAX { Err(KeyError::TooLong { bytes: text.len() }) } else { Ok(text) }
}

/// The key that [`write`] was given.
///
/// # Errors
/// If `text` is nothing that it returns.
pub fn read(text: &str) -> Result<String, KeyError> {
    let mut key = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(KeyError::Foreign);
            };
            key.push(u8::try_from(high * 16 + low).map_err(|_| KeyError::Foreign)?);
        } else {
            key.push(byte);
        }
    }
    let key = String::from_utf8(key).map_err(|_| KeyError::Foreign)?;
    if write(&key).is_ok_and(|again| again == text) { Ok(key) } else { Err(KeyError::Foreign) }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'/' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_kv_store_refuses_is_escaped() {
        for (key, written) in [
            ("burst/acme/anonymous/127.0.0.1", "burst/acme/anonymous/127=2E0=2E0=2E1"),
            ("burst/acme/2001:db8::%2F64", "burst/acme/2001:db8::%2F64"),
            ("a/../b", "a/=2E=2E/b"),
            ("a=b#c;d?e^f|g", "a=3Db=23c=3Bd=3Fe=5Ef=7Cg"),
            ("ä\n", "=C3=A4=0A"),
        ] {
            assert_eq!(write(key).as_deref(), Ok(written));
        }
    }

    #[test]
    fn a_key_that_does_not_fit_is_an_error() {
        assert_eq!(write(""), Err(KeyError::Empty));
        assert_eq!(write(&"a".repeat(1025)), Err(KeyError::TooLong { bytes: 1025 }));
        assert_eq!(write(&".".repeat(342)), Err(KeyError::TooLong { bytes: 1026 }));
        assert!(write(&"a".repeat(1024)).is_ok());
    }

    #[test]
    fn what_others_wrote_is_no_key() {
        for foreign in ["", "a.b", "=2e", "=2", "=", "=41", "=FF", "a b"] {
            assert_eq!(read(foreign), Err(KeyError::Foreign), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_key_reads_back_as_it_was(key in ".{1,100}") {
            let written = write(&key).unwrap();
            prop_assert!(written.bytes().all(|byte| is_plain(byte) || byte == b'='));
            prop_assert_eq!(read(&written), Ok(key));
        }
    }
}
