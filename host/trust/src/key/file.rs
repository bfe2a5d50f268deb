//! Key files: a private key is written once, for its owner only, and is not read when others could read it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyError, PublicKey, SigningKey};
use crate::disk::sync_parent;

/// Largest key file that is read, in bytes; a real one has about 120.
const MAX_KEY_FILE_BYTES: usize = 16 * 1024;

/// A key file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is a file already.
    #[error(
        "key file `{path}` exists already and is never overwritten: choose another name, or move it away"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused to read or write.
    #[error("key file `{path}` cannot be {action}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Others than its owner can reach the private key.
    #[error(
        "private key file `{path}` can be read or written by others (mode {mode:04o}): run `chmod 600 {path}`"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no such key.
    #[error("key file `{path}` does not hold the key that is wanted")]
    Key {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        source: KeyError,
    },
}

impl SigningKey {
    /// Writes the private key to a new file with mode 0600, on disk when this returns.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] rather than overwriting; [`KeyFileError::Io`] otherwise.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        write_new(path, self.to_pem().as_bytes(), 0o600)
    }

    /// Reads a private key from a file that only its owner can reach.
    ///
    /// # Errors
    /// [`KeyFileError::Exposed`] when group or others have any right on the file.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), action: "read", source };
        let file = File::open(path).map_err(io)?;
        // Asked of the open file, so that the file that is judged is the file that is read.
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
        }
        let text = read_text(file).map_err(io)?;
        Self::from_pem(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
    }
}

impl PublicKey {
    /// Writes the public key to a new file with mode 0644, on disk when this returns.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] rather than overwriting; [`KeyFileError::Io`] otherwise.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        write_new(path, self.to_pem().as_bytes(), 0o644)
    }

    /// Reads a public key from a file.
    ///
    /// # Errors
    /// [`KeyFileError`] names the file and what it holds.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), action: "read", source };
        let text = File::open(path).and_then(read_text).map_err(io)?;
        Self::from_pem(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
    }
}

fn read_text(file: File) -> io::Result<Zeroizing<String>> {
    // Room for everything at once: a growing buffer would leave copies of a private key behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_KEY_FILE_BYTES + 1));
    file.take(MAX_KEY_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_KEY_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be a key"));
    }
    Ok(text)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), action: "written", source };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists { path: path.to_owned() });
        }
        Err(error) => return Err(io(error)),
    };
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    if written.is_err() {
        // Half a key is worse than none, and this file is ours: `create_new` made it.
        let _ = std::fs::remove_file(path);
    }
    written.map_err(io)
}
