//! What a KV store answers when it is asked for its keys: a JSON document.

use crate::key::{self, KeyError};
use serde::Deserialize;

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The keys, as they were given to [`key::write`].
    pub keys: Vec<String>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

/// A page that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// It is no such document.
    #[error("the KV store's list of keys can't be read: {0}")]
    Document(#[from] serde_json::Error),
    /// It names a key that was not written here.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The platform may add fields, so unknown ones are no error.
#[derive(Deserialize)]
struct Document {
    data: Vec<String>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    next_cursor: Option<String>,
}

impl Listing {
    /// Reads the platform's document.
    ///
    /// # Errors
    /// If it is none, or names a key that was not written here.
    pub fn read(document: &[u8]) -> Result<Self, ListingError> {
        let Document { data, meta } = serde_json::from_slice(document)?;
        let keys = data.iter().map(|key| key::read(key)).collect::<Result<_, _>>()?;
        Ok(Self { keys, cursor: meta.next_cursor.filter(|cursor| !cursor.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_its_keys_are_in_their_own_spelling() {
        let page = br#"{"data":["burst/a=2Eb"],"meta":{"limit":1,"next_cursor":"YQ=="}}"#;
        let read = Listing::read(page).unwrap();
        assert_eq!(read, Listing { keys: vec!["burst/a.b".into()], cursor: Some("YQ==".into()) });
    }

    #[test]
    fn a_page_with_a_key_of_others_is_an_error() {
        assert!(Listing::read(br#"{"data":["a.b"],"meta":{}}"#).is_err());
        assert!(Listing::read(b"not found").is_err());
    }
}
