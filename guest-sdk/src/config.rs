//! Settings that the operator gave this app, over `wasi:config`.
//!
//! ```no_run
//! # fn example() -> Result<(), tollgate_sdk::config::Error> {
//! use tollgate_sdk::config;
//!
//! let greeting = config::get("greeting")?.unwrap_or_else(|| "hello".to_owned());
//! let upstream = config::require("upstream")?;
//! # Ok(())
//! # }
//! ```

use crate::bindings::wasi::config::store;
use std::fmt;

/// Why a setting could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// [`require`] found no setting of this name.
    Missing(String),
    /// Where the host keeps settings, something failed; the text is the host's.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => {
                write!(f, "the setting `{name}` is not set: add it to this app's configuration")
            }
            Self::Unavailable(text) => write!(f, "the settings cannot be read: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Upstream(text) | store::Error::Io(text) => Self::Unavailable(text),
        }
    }
}

/// The setting of this name, or none.
///
/// # Errors
/// [`Error::Unavailable`].
///
/// ```no_run
/// let greeting = tollgate_sdk::config::get("greeting");
/// ```
pub fn get(name: &str) -> Result<Option<String>, Error> {
    Ok(store::get(name)?)
}

/// The setting of this name, which has to be there.
///
/// # Errors
/// [`Error::Missing`] if it is not, [`Error::Unavailable`].
///
/// ```no_run
/// let upstream = tollgate_sdk::config::require("upstream");
/// ```
pub fn require(name: &str) -> Result<String, Error> {
    get(name)?.ok_or_else(|| Error::Missing(name.to_owned()))
}

/// Every setting: name and value, in no particular order.
///
/// # Errors
/// [`Error::Unavailable`].
///
/// ```no_run
/// # fn example() -> Result<(), tollgate_sdk::config::Error> {
/// for (name, value) in tollgate_sdk::config::all()? {
///     tollgate_sdk::log!("{name} = {value}");
/// }
/// # Ok(())
/// # }
/// ```
pub fn all() -> Result<Vec<(String, String)>, Error> {
    Ok(store::get_all()?)
}
