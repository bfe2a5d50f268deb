//! `wasi:http/types.fields`.

use crate::bindings::exports::wasi::http::types::{self, GuestFields, HeaderError};
use crate::run;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::RefCell;

/// Fields of one connection, which a guest may neither set nor see. The server's engine has the same list.
const FORBIDDEN: [&str; 10] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A set of header fields.
pub(crate) struct Fields {
    map: RefCell<HeaderMap>,
    /// It came from outside, or is part of a message already.
    fixed: bool,
}

/// What came from outside, as a guest may see it.
pub(crate) fn received(mut map: HeaderMap) -> HeaderMap {
    for name in FORBIDDEN {
        map.remove(name);
    }
    map
}

/// A set that can't be changed.
pub(crate) fn fixed(map: &HeaderMap) -> types::Fields {
    types::Fields::new(Fields { map: RefCell::new(map.clone()), fixed: true })
}

/// What a guest has made.
pub(crate) fn taken(fields: types::Fields) -> HeaderMap {
    fields.into_inner::<Fields>().map.into_inner()
}

fn value(bytes: &[u8]) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_bytes(bytes).map_err(|_| HeaderError::InvalidSyntax)
}

fn bytes(map: &HeaderMap) -> u64 {
    map.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
}

impl Fields {
    fn empty() -> Self {
        Self { map: RefCell::new(HeaderMap::new()), fixed: false }
    }

    /// The name of a field that may be changed.
    fn name(&self, name: &str) -> Result<HeaderName, HeaderError> {
        if self.fixed {
            return Err(HeaderError::Immutable);
        }
        let name: HeaderName = name.parse().map_err(|_| HeaderError::InvalidSyntax)?;
        if FORBIDDEN.contains(&name.as_str()) { Err(HeaderError::Forbidden) } else { Ok(name) }
    }

    /// Adds a value, if the set does not become too large.
    fn add(&self, name: &HeaderName, value: HeaderValue) -> Result<(), HeaderError> {
        let mut map = self.map.borrow_mut();
        let more = (name.as_str().len() + value.len()) as u64;
        if bytes(&map) + more > run::header_bytes() {
            return Err(HeaderError::Forbidden);
        }
        map.append(name, value);
        Ok(())
    }
}

impl GuestFields for Fields {
    fn new() -> Self {
        Self::empty()
    }

    fn from_list(entries: Vec<(String, Vec<u8>)>) -> Result<types::Fields, HeaderError> {
        let fields = Self::empty();
        for (name, bytes) in entries {
            fields.append(name, bytes)?;
        }
        Ok(types::Fields::new(fields))
    }

    fn get(&self, name: String) -> Vec<Vec<u8>> {
        self.map.borrow().get_all(name.as_str()).iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    fn has(&self, name: String) -> bool {
        self.map.borrow().contains_key(name.as_str())
    }

    fn set(&self, name: String, values: Vec<Vec<u8>>) -> Result<(), HeaderError> {
        let name = self.name(&name)?;
        let values = values.iter().map(|bytes| value(bytes)).collect::<Result<Vec<_>, _>>()?;
        self.map.borrow_mut().remove(&name);
        values.into_iter().try_for_each(|value| self.add(&name, value))
    }

    fn delete(&self, name: String) -> Result<(), HeaderError> {
        let name = self.name(&name)?;
        self.map.borrow_mut().remove(&name);
        Ok(())
    }

    fn append(&self, name: String, bytes: Vec<u8>) -> Result<(), HeaderError> {
        let name = self.name(&name)?;
        self.add(&name, value(&bytes)?)
    }

    fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let map = self.map.borrow();
        map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn clone(&self) -> types::Fields {
        types::Fields::new(Self { map: self.map.clone(), fixed: false })
    }
}
