//! The trust file: which keys are known, and which of them may sign which packages.
//!
#![doc = "```toml"]
#![doc = include_str!("root/example.toml")]
#![doc = "```"]
//!
//! A rule for one package wins over the rule for its namespace; two rules with the same pattern are an
//! error. What no rule names may not be loaded.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::key::PublicKey;
use crate::package::{PackageName, is_kebab};
use crate::text::shown;
use crate::validity::Validity;

mod read;

pub use read::{MAX_KEYS, MAX_TRUST_FILE_BYTES};

/// Longest name of a key, in bytes.
const MAX_KEY_NAME_BYTES: usize = 64;

/// The trust file cannot be used. Each message names the file and what to change.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// The file cannot be read.
    #[error("trust file `{file}` cannot be read")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is not the TOML that it should be.
    #[error("trust file `{file}`, line {line}: {detail}")]
    Toml {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the TOML reader found.
        detail: String,
    },
    /// A value is not one that can be used.
    #[error("trust file `{file}`: `{key}` {problem}")]
    Value {
        /// The file.
        file: PathBuf,
        /// Where in the file, such as `keys[0].public-key`; lists are counted from 0.
        key: String,
        /// What is wrong and how to put it right.
        problem: String,
    },
}

/// A text is not a name for a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key name: use 1 to 64 letters, digits, `.`, `_`, `-` or `@`")]
pub struct KeyNameError(String);

/// What the trust file calls a key; also how signers appear in logs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
        if (1..=MAX_KEY_NAME_BYTES).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyNameError(shown(text)))
        }
    }
}

/// A key that the trust file knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// Its name in the file.
    pub name: KeyName,
    /// The key itself.
    pub key: PublicKey,
    /// When its signatures count. There is no trusted time of signing, so this is judged at loading.
    pub validity: Validity,
}

/// Which packages a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// One package, `namespace:name`.
    Package(PackageName),
    /// Every package of a namespace, `namespace:*`.
    Namespace(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(name) => name.fmt(f),
            Self::Namespace(namespace) => write!(f, "{namespace}:*"),
        }
    }
}

/// A text is not a pattern of package names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a package pattern: write one package such as `acme:web`, or a namespace such as `acme:*`"
)]
pub struct PatternError(String);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text.strip_suffix(":*") {
            Some(namespace) if is_kebab(namespace) => Ok(Self::Namespace(namespace.to_owned())),
            Some(_) => Err(PatternError(shown(text))),
            None => text.parse().map(Self::Package).map_err(|_| PatternError(shown(text))),
        }
    }
}

/// Whose signatures some packages need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The packages.
    pub pattern: Pattern,
    /// The keys that may sign them, each once.
    pub keys: Vec<KeyName>,
    /// How many different keys of them must have signed: at least 1, at most all.
    pub threshold: usize,
}

/// A checked trust file.
///
/// No two keys have one name or are the same key; each rule names keys of the file, each once; no two rules
/// have the same pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot {
    keys: Vec<TrustedKey>,
    rules: Vec<Rule>,
}

impl TrustRoot {
    /// Reads and checks a trust file.
    ///
    /// # Errors
    /// [`TrustFileError`] names the file, the key and the fix.
    pub fn read(file: &Path) -> Result<Self, TrustFileError> {
        read::from_file(file)
    }

    /// Checks the text of a trust file; `file` is only named in messages.
    ///
    /// # Errors
    /// [`TrustFileError`] names the file, the key and the fix.
    pub fn parse(text: &str, file: &Path) -> Result<Self, TrustFileError> {
        read::from_text(text, file)
    }

    /// The keys, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The rules, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule for a package: its own, or else its namespace's.
    #[must_use]
    pub fn rule_for(&self, package: &PackageName) -> Option<&Rule> {
        let own = |rule: &&Rule| matches!(&rule.pattern, Pattern::Package(name) if name == package);
        let shared =
            |rule: &&Rule| matches!(&rule.pattern, Pattern::Namespace(name) if name == package.namespace());
        self.rules.iter().find(own).or_else(|| self.rules.iter().find(shared))
    }
}

/// Writes the `[[keys]]` entry that makes a key known in a trust file.
#[must_use]
pub fn key_entry(name: &KeyName, key: &PublicKey) -> String {
    format!("[[keys]]\nname = \"{name}\"\npublic-key = \"\"\"\n{}\"\"\"\n", key.to_pem())
}

#[cfg(test)]
mod tests;
