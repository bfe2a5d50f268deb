//! Whether a database is still where it was opened. A file that was removed can be written for as long as it is open,
//! and is gone afterwards with everything in it.

use super::SqliteError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A path, and the file that was there.
pub(super) struct SameFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SameFile {
    /// The file that is there now.
    pub(super) fn at(path: &Path) -> Result<Self, SqliteError> {
        let found = device_and_inode(path).ok_or_else(|| SqliteError::Removed { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), device_and_inode: found })
    }

    /// Whether it still is.
    pub(super) fn check(&self) -> Result<(), SqliteError> {
        match device_and_inode(&self.path) {
            Some(found) if found == self.device_and_inode => Ok(()),
            _ => Err(SqliteError::Removed { path: self.path.clone() }),
        }
    }
}

fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
