//! A component file and its envelope beside it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::disk;
use crate::envelope::{Envelope, EnvelopeError, MAX_ENVELOPE_BYTES};
use crate::root::TrustRoot;
use crate::verify::{Refused, Verified, verify};

/// What the envelope's file name has after the component's.
const ENVELOPE_SUFFIX: &str = ".dsse.json";

/// A component file cannot be read, or may not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file cannot be read.
    #[error("file `{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("file `{path}` cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The component is larger than the caller takes.
    #[error("component `{path}` has more than {limit_bytes} bytes, the limit for components")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: usize,
    },
    /// The component may not be loaded.
    #[error("component `{path}` is refused")]
    Refused {
        /// The component file.
        path: PathBuf,
        /// Why, and what to do.
        source: Box<Refused>,
    },
}

/// Where the envelope of a component file lies: beside it, at `<component file>.dsse.json`.
#[must_use]
pub fn envelope_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(ENVELOPE_SUFFIX);
    path.into()
}

/// Reads the envelope of a component file.
///
/// # Errors
/// [`FileError::Refused`] with [`Refused::Unsigned`] when there is none, with [`Refused::Malformed`] when it
/// is no envelope; [`FileError::Read`] otherwise.
pub fn read_envelope(component: &Path) -> Result<Envelope, FileError> {
    let refused = |source| FileError::Refused { path: component.to_owned(), source: Box::new(source) };
    let path = envelope_path(component);
    match read_capped(&path, MAX_ENVELOPE_BYTES) {
        Ok(Some(json)) => Envelope::parse(&json).map_err(|error| refused(error.into())),
        Ok(None) => Err(refused(EnvelopeError::TooLarge.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(refused(Refused::Unsigned { component: component.to_owned(), envelope: path }))
        }
        Err(source) => Err(FileError::Read { path, source }),
    }
}

/// Writes the envelope of a component file, in place of an older one, whole and on disk when this returns.
///
/// # Errors
/// [`FileError::Write`] when the system refuses.
pub fn write_envelope(component: &Path, envelope: &Envelope) -> Result<PathBuf, FileError> {
    let path = envelope_path(component);
    match disk::replace(&path, envelope.to_json().as_bytes()) {
        Ok(()) => Ok(path),
        Err(source) => Err(FileError::Write { path, source }),
    }
}

/// Reads a component file once, and [`verify`]s what was read with the envelope beside it.
///
/// # Errors
/// [`FileError`] names the file; [`FileError::Refused`] carries the reason.
pub fn verify_file(
    component: &Path,
    limit_bytes: usize,
    root: &TrustRoot,
    now: Timestamp,
) -> Result<Verified, FileError> {
    let path = || component.to_owned();
    let bytes = read_capped(component, limit_bytes)
        .map_err(|source| FileError::Read { path: path(), source })?
        .ok_or_else(|| FileError::TooLarge { path: path(), limit_bytes })?;
    let envelope = read_envelope(component)?;
    verify(bytes, &envelope, root, now)
        .map_err(|refused| FileError::Refused { path: path(), source: Box::new(refused) })
}

/// What is asked of the system at a time. It may copy what it is asked for in one go, and many megabytes then keep a
/// core from everybody else for milliseconds, whatever this thread's priority is.
const READ_AT_ONCE: u64 = 128 << 10;

/// Reads a file of at most `limit_bytes`; nothing when it is longer.
fn read_capped(path: &Path, limit_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    // Only what is probable: a file may grow.
    let length = file.metadata()?.len().min(limit_bytes as u64);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(limit_bytes).saturating_add(1));
    while (&mut file).take(READ_AT_ONCE).read_to_end(&mut bytes)? > 0 {
        if bytes.len() > limit_bytes {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
