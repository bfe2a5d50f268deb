//! Reading a log from its directory, also while a host writes it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::LogStoreError;
use super::journal::{Found, HEADER_BYTES, JOURNAL_FILES};
use super::overlay::Overlay;

/// How often a journal is read that changes under the reader. It begins anew after megabytes of batches, and half a
/// frame is whole after a millisecond.
const TRIES: usize = 20;

/// A log in a directory, with every batch that was acknowledged when it was opened, and at most one that is about to be.
/// Needs no lock and writes nothing.
pub struct LogReader {
    directory: PathBuf,
    overlay: Overlay,
}

impl LogReader {
    /// Reads the journal. A directory without one is read as it stands, for example a mirror of a log.
    ///
    /// # Errors
    /// If the journal is damaged, or the system refuses.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LogStoreError> {
        let directory = directory.as_ref().to_owned();
        // The journal first: files are as new as its batches, or newer.
        let overlay = read_journal(&directory)?;
        Ok(Self { directory, overlay })
    }

    /// The value of a key, if there is one. Tiles never change, so that what stands in a file is read there; of
    /// `checkpoint` the journal has the newest.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn read(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let newer = || self.overlay.get(key).flatten().map(|value| value.to_vec());
        if !key.contains('/')
            && let Some(value) = newer()
        {
            return Ok(Some(value));
        }
        Ok(read_file(&self.directory.join(key))?.or_else(newer))
    }
}

fn read_journal(directory: &Path) -> Result<Overlay, LogStoreError> {
    let [first_name, second_name] = JOURNAL_FILES;
    let mut tries = 1;
    loop {
        let (first, second) = (whole(directory, first_name)?, whole(directory, second_name)?);
        let found = Found::read(&first, &second).and_then(|found| found.overlay(|_| false));
        // A generation that began meanwhile may be seen in part. So may the newest frame, with a whole one after it.
        let same =
            begins_with(directory, first_name, &first)? && begins_with(directory, second_name, &second)?;
        match found {
            Err(LogStoreError::Damaged { .. }) if tries < TRIES => {}
            _ if !same && tries < TRIES => {}
            // That version wrote files at once.
            Err(LogStoreError::Older) => return Ok(Overlay::default()),
            found => return found,
        }
        tries += 1;
    }
}

/// A file of the journal; empty if it is not there.
fn whole(directory: &Path, name: &str) -> Result<Vec<u8>, LogStoreError> {
    Ok(read_file(&directory.join(name)).map_err(LogStoreError::io("reading", name))?.unwrap_or_default())
}

/// Whether the file still begins with the same frame.
fn begins_with(directory: &Path, name: &str, bytes: &[u8]) -> Result<bool, LogStoreError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        if let Some(file) = present(File::open(directory.join(name)))? {
            file.take(HEADER_BYTES as u64).read_to_end(&mut head)?;
        }
        Ok(head)
    };
    Ok(bytes.starts_with(&read().map_err(LogStoreError::io("reading", name))?))
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    present(std::fs::read(path))
}

fn present<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
