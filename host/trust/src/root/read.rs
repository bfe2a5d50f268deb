//! From the text of a trust file to a [`TrustRoot`] that cannot hold nonsense.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use toml::value::Datetime;

use super::{KeyName, Pattern, Rule, TrustFileError, TrustRoot, TrustedKey};
use crate::key::PublicKey;
use crate::text::{listed, rfc3339, shown};
use crate::validity::Validity;

/// Largest trust file, in bytes.
pub const MAX_TRUST_FILE_BYTES: usize = 1024 * 1024;
/// Most keys in a trust file: each signature of an envelope may have to be tried with each of them.
pub const MAX_KEYS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    #[serde(default)]
    keys: Vec<RawKey>,
    #[serde(default)]
    packages: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKey {
    name: String,
    public_key: String,
    not_before: Option<Datetime>,
    not_after: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRule {
    pattern: String,
    keys: Vec<String>,
    threshold: i64,
}

pub(super) fn from_file(file: &Path) -> Result<TrustRoot, TrustFileError> {
    let read = || {
        let mut text = String::new();
        File::open(file)?.take(MAX_TRUST_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
        if text.len() > MAX_TRUST_FILE_BYTES {
            let why = format!("it has more than {MAX_TRUST_FILE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(text)
    };
    let text = read().map_err(|source| TrustFileError::Read { file: file.to_owned(), source })?;
    from_text(&text, file)
}

pub(super) fn from_text(text: &str, file: &Path) -> Result<TrustRoot, TrustFileError> {
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        TrustFileError::Toml { file: file.to_owned(), line, detail: shown_lines(error.message()) }
    })?;
    check(raw).map_err(|(key, problem)| TrustFileError::Value { file: file.to_owned(), key, problem })
}

/// The TOML reader's message, on one line and in our style.
fn shown_lines(message: &str) -> String {
    message.split('\n').map(str::trim).collect::<Vec<_>>().join(", ").chars().take(400).collect()
}

/// Where in the file, and what is wrong there.
type Invalid = (String, String);

fn check(raw: RawFile) -> Result<TrustRoot, Invalid> {
    let keys = check_keys(raw.keys)?;
    let mut rules: Vec<Rule> = Vec::new();
    for (index, raw) in raw.packages.into_iter().enumerate() {
        let rule = check_rule(index, raw, &keys)?;
        if let Some(first) = rules.iter().position(|other| other.pattern == rule.pattern) {
            return Err((
                format!("packages[{index}].pattern"),
                format!("repeats `{}` of `packages[{first}]`: join the two entries into one", rule.pattern),
            ));
        }
        rules.push(rule);
    }
    Ok(TrustRoot { keys, rules })
}

fn check_keys(raw: Vec<RawKey>) -> Result<Vec<TrustedKey>, Invalid> {
    if raw.len() > MAX_KEYS {
        let problem = format!("holds {} entries, and {MAX_KEYS} are read at most", raw.len());
        return Err(("keys".to_owned(), problem));
    }
    let mut keys: Vec<TrustedKey> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let key = check_key(index, raw)?;
        if keys.iter().any(|other| other.name == key.name) {
            let problem = format!("repeats the name `{}`: give each key its own", key.name);
            return Err((format!("keys[{index}].name"), problem));
        }
        // One key under two names would count twice towards a threshold.
        if let Some(other) = keys.iter().find(|other| other.key == key.key) {
            let problem = format!("is the same key as `{}`: remove one of the two entries", other.name);
            return Err((format!("keys[{index}].public-key"), problem));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn check_key(index: usize, raw: RawKey) -> Result<TrustedKey, Invalid> {
    let at = |field: &str| format!("keys[{index}].{field}");
    let name: KeyName = raw.name.parse().map_err(|error| (at("name"), format!("cannot be used: {error}")))?;
    let key = PublicKey::from_pem(&raw.public_key)
        .map_err(|error| (at("public-key"), format!("of key `{name}` cannot be used: {error}")))?;
    let validity = Validity {
        not_before: check_time(at("not-before"), raw.not_before)?,
        not_after: check_time(at("not-after"), raw.not_after)?,
    };
    if validity.is_empty() {
        let problem = format!("of key `{name}` lies before its `not-before`: the key would never be valid");
        return Err((at("not-after"), problem));
    }
    Ok(TrustedKey { name, key, validity })
}

fn check_time(at: String, raw: Option<Datetime>) -> Result<Option<jiff::Timestamp>, Invalid> {
    let Some(raw) = raw else { return Ok(None) };
    let text = raw.to_string();
    match rfc3339(&text) {
        Some(time) => Ok(Some(time)),
        None => {
            let problem = format!(
                "is `{text}`: write a date, a time and an offset, without quotes, such as 2026-11-21T10:00:00Z"
            );
            Err((at, problem))
        }
    }
}

fn check_rule(index: usize, raw: RawRule, known: &[TrustedKey]) -> Result<Rule, Invalid> {
    let at = |field: &str| format!("packages[{index}].{field}");
    let pattern: Pattern =
        raw.pattern.parse().map_err(|error| (at("pattern"), format!("cannot be used: {error}")))?;
    let mut keys: Vec<KeyName> = Vec::new();
    for name in raw.keys {
        let Some(key) = known.iter().find(|key| key.name.as_str() == name) else {
            let problem = format!(
                "names `{}`, which is no key of this file: add it under `[[keys]]`, or name one of {}",
                shown(&name),
                if known.is_empty() { "those".to_owned() } else { listed(known.iter().map(|key| &key.name)) }
            );
            return Err((at("keys"), problem));
        };
        if keys.contains(&key.name) {
            return Err((
                at("keys"),
                format!("names `{name}` twice: a threshold counts keys, so name it once"),
            ));
        }
        keys.push(key.name.clone());
    }
    if keys.is_empty() {
        let problem =
            format!("is empty, so that nobody could sign `{pattern}`: name a key, or remove the entry");
        return Err((at("keys"), problem));
    }
    match usize::try_from(raw.threshold) {
        Ok(threshold) if (1..=keys.len()).contains(&threshold) => Ok(Rule { pattern, keys, threshold }),
        _ => {
            let problem = format!(
                "is {}, and it must be 1 to {}, the number of keys listed",
                raw.threshold,
                keys.len()
            );
            Err((at("threshold"), problem))
        }
    }
}
