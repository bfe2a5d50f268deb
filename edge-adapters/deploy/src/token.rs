//! What proves to a platform that one may: kept out of everything that is shown.

use http::HeaderValue;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest token, in bytes.
const MAX_BYTES: u64 = 4 << 10;

/// A token, or another secret. `Debug` does not show it, nothing else prints it, and its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read.
    #[error("`{}` can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("`{}` can be read or written by others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is there is no token.
    #[error("a token is one line of visible ASCII characters, of at most 4 KiB")]
    Shape,
}

impl Token {
    /// The token in a text; blanks around it are not part of it.
    ///
    /// # Errors
    /// [`TokenError::Shape`].
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() as u64 <= MAX_BYTES;
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(TokenError::Shape)
        }
    }

    /// The token in a file that nobody else may read.
    ///
    /// # Errors
    /// Any [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        Self::new(&text)
    }

    /// As the value of a header, after a word such as `Bearer `; marked so that it is not shown.
    pub(crate) fn header(&self, before: &str) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("{before}{}", *self.0));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A text without the token: platforms have been known to quote what they were sent.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        text.replace(self.0.as_str(), "[token]")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "t0ken\n").unwrap();
        assert_eq!(Token::read(file.path()).unwrap(), Token::new("t0ken").unwrap());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Token::read(file.path()).unwrap_err();
        assert!(matches!(refused, TokenError::Exposed { mode: 0o640, .. }), "{refused}");
    }

    #[test]
    fn a_token_is_one_word_and_is_not_shown() {
        for bad in ["", " \n", "two words", "tök"] {
            assert!(Token::new(bad).is_err(), "{bad}");
        }
        let token = Token::new("t0ken").unwrap();
        assert!(!format!("{token:?}{:?}", token.header("Bearer ")).contains("t0ken"));
        assert_eq!(token.hidden_in("no t0ken here"), "no [token] here");
    }
}
