//! The one spelling that tenants, apps, routes, buckets, stores and plans have.

use std::fmt;
use std::sync::Arc;

/// A name: 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter or digit.
///
/// So a name can stand in a path, a key, a metric label, a log line or a header without escaping, and no two names
/// differ only in how they are written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes: a DNS label.
    pub const MAX_BYTES: usize = 63;

    /// Checks a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().copied().is_some_and(inner) && bytes.last().copied().is_some_and(inner);
        if ends && bytes.len() <= Self::MAX_BYTES && bytes.iter().all(|&c| inner(c) || c == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(NameError { text: text.chars().take(80).collect() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a name: use 1 to 63 lower-case letters, digits and dashes, with no dash at either end",
    text.escape_debug()
)]
pub struct NameError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_in_lower_case() {
        for good in ["a", "acme", "a-b", "7", &"x".repeat(63)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", "ä", "a b", "a\0", &"x".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_name_is_shown_on_one_line() {
        let error = Name::new("a\n\u{1b}[2J").unwrap_err().to_string();
        assert!(error.starts_with("`a\\n\\u{1b}[2J` is not a name"), "{error}");
    }
}
