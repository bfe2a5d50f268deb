//! A key-value store, over `wasi:keyvalue`.
//!
//! Which stores there are, and under which names, the app's grants say. A store belongs to one tenant.
//!
//! ```no_run
//! # fn example() -> Result<(), tollgate_sdk::kv::Error> {
//! use tollgate_sdk::kv;
//!
//! let store = kv::open("default")?;
//! store.set("motto", "slow is smooth")?;
//! let motto = store.get_text("motto")?;
//! let visits = store.increment("visits", 1)?;
//! # Ok(())
//! # }
//! ```

use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use std::fmt;

/// How often [`Bucket::update`] tries again when others change the same key.
const UPDATE_ATTEMPTS: u32 = 64;

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no store of this name for this app.
    NoSuchStore,
    /// The app's grants do not allow this.
    AccessDenied,
    /// Others changed the key each time [`Bucket::update`] tried.
    Contended,
    /// [`Bucket::get_text`] found bytes that are not UTF-8.
    NotText,
    /// Something else failed; the text is the host's.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => f.write_str("no such key-value store: grant it in this app's configuration"),
            Self::AccessDenied => {
                f.write_str("this app's grants do not allow this use of the key-value store")
            }
            Self::Contended => f.write_str("others kept changing the same key: try again later"),
            Self::NotText => f.write_str("the stored value is not UTF-8 text"),
            Self::Other(text) => write!(f, "the key-value store failed: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchStore,
            store::Error::AccessDenied => Self::AccessDenied,
            store::Error::Other(text) => Self::Other(text),
        }
    }
}

/// Opens the store of this name.
///
/// # Errors
/// [`Error::NoSuchStore`], [`Error::AccessDenied`], [`Error::Other`].
///
/// ```no_run
/// let store = tollgate_sdk::kv::open("default");
/// ```
pub fn open(name: &str) -> Result<Bucket, Error> {
    Ok(Bucket { inner: store::open(name)? })
}

/// An open store. Each operation may fail with [`Error::AccessDenied`] or [`Error::Other`].
#[derive(Debug)]
pub struct Bucket {
    inner: store::Bucket,
}

impl Bucket {
    /// The value of a key, or none.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.get(key)?)
    }

    /// The value of a key as text, or none.
    ///
    /// # Errors
    /// Also [`Error::NotText`].
    pub fn get_text(&self, key: &str) -> Result<Option<String>, Error> {
        let bytes = self.get(key)?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| Error::NotText)).transpose()
    }

    /// Sets the value of a key, whether it had one or not.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.inner.set(key, value.as_ref())?)
    }

    /// Removes a key; a key that is not there is no error.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        Ok(self.inner.delete(key)?)
    }

    /// True if the key has a value.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(self.inner.exists(key)?)
    }

    /// Every key, page by page as the host serves them, in no particular order. May be long work: the host meters it.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let mut page = self.inner.list_keys(None)?;
        let mut keys = page.keys;
        while let Some(cursor) = page.cursor {
            page = self.inner.list_keys(Some(&cursor))?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    }

    /// Adds to a number in one step, and returns the sum. A key without a value counts as 0.
    ///
    /// ```no_run
    /// # fn example(store: tollgate_sdk::kv::Bucket) -> Result<(), tollgate_sdk::kv::Error> {
    /// let visits = store.increment("visits", 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        Ok(atomics::increment(&self.inner, key, delta)?)
    }

    /// Looks at a key, to change it only if nobody else did meanwhile.
    pub fn compare_and_swap(&self, key: &str) -> Result<Swap, Error> {
        Ok(Swap { inner: atomics::Cas::new(&self.inner, key)? })
    }

    /// Changes a value in one step: `change` gets the value that is there and returns the new one. It is called again
    /// when somebody else changed the key meanwhile.
    ///
    /// # Errors
    /// Also [`Error::Contended`], after 64 attempts.
    ///
    /// ```no_run
    /// # fn example(store: tollgate_sdk::kv::Bucket) -> Result<(), tollgate_sdk::kv::Error> {
    /// store.update("names", |names| {
    ///     let mut names = names.unwrap_or_default();
    ///     names.extend(b"ada\n");
    ///     names
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, key: &str, mut change: impl FnMut(Option<Vec<u8>>) -> Vec<u8>) -> Result<(), Error> {
        let mut swap = self.compare_and_swap(key)?;
        for _ in 0..UPDATE_ATTEMPTS {
            let value = change(swap.current()?);
            match swap.set(value) {
                Ok(()) => return Ok(()),
                Err(SwapError::Changed(newer)) => swap = newer,
                Err(SwapError::Store(error)) => return Err(error),
            }
        }
        Err(Error::Contended)
    }

    /// The values of several keys in one call, in the order of the keys.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let found = batch::get_many(&self.inner, &owned(keys))?;
        Ok(found.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    /// Sets several keys in one call. Not one step: when it fails, some may be set.
    pub fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result<(), Error> {
        let pairs: Vec<_> = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_vec())).collect();
        Ok(batch::set_many(&self.inner, &pairs)?)
    }

    /// Removes several keys in one call. Not one step: when it fails, some may be gone.
    pub fn delete_many(&self, keys: &[&str]) -> Result<(), Error> {
        Ok(batch::delete_many(&self.inner, &owned(keys))?)
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

/// A look at a key, by [`Bucket::compare_and_swap`].
#[derive(Debug)]
pub struct Swap {
    inner: atomics::Cas,
}

/// Why a [`Swap`] did not happen.
#[derive(Debug)]
pub enum SwapError {
    /// The key was changed since it was looked at; here is a new look.
    Changed(Swap),
    /// The store failed.
    Store(Error),
}

impl Swap {
    /// The value that was there, or none.
    pub fn current(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.current()?)
    }

    /// Sets the value if nobody else changed it since.
    ///
    /// # Errors
    /// [`SwapError::Changed`] if somebody did, [`SwapError::Store`].
    pub fn set(self, value: impl AsRef<[u8]>) -> Result<(), SwapError> {
        atomics::swap(self.inner, value.as_ref()).map_err(|error| match error {
            atomics::CasError::StoreError(error) => SwapError::Store(error.into()),
            atomics::CasError::CasFailed(newer) => SwapError::Changed(Self { inner: newer }),
        })
    }
}
