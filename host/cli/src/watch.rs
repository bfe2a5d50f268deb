//! Noticing that a configuration has changed: what its files hold, asked once a second.

use crate::config::{Config, PolicyText};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much of a file is looked at.
const MOST_BYTES: u64 = 8 << 20;

/// Tells when the files of a configuration have changed and have come to rest.
///
/// A file that is being written may be whole TOML and only half of what was meant, so a change counts once two looks
/// in a row have seen the same.
pub struct Watch {
    /// What the newest configuration that was tried was made of.
    tried: blake3::Hash,
    /// What the last look saw.
    seen: blake3::Hash,
}

impl Watch {
    /// Begins with the configuration as it is now.
    #[must_use]
    pub fn begin(config: &Config) -> Self {
        let now = fingerprint(config);
        Self { tried: now, seen: now }
    }

    /// Looks once. True when there is something new to try, once for each change.
    pub fn look(&mut self, config: &Config) -> bool {
        let now = fingerprint(config);
        let settled = now == self.seen && now != self.tried;
        self.seen = now;
        if settled {
            self.tried = now;
        }
        settled
    }

    /// Notes that the configuration was tried as it is now, whoever asked for it.
    pub fn tried(&mut self, config: &Config) {
        self.tried = fingerprint(config);
        self.seen = self.tried;
    }
}

/// A hash over everything that a reload reads, but components: those are large, and a new one comes with a SIGHUP or
/// a change of the file.
fn fingerprint(config: &Config) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, &config.file);
    add(&mut hasher, &config.trust);
    for path in config.host.tls.iter().flat_map(|tls| [&tls.cert, &tls.key]) {
        add(&mut hasher, path);
    }
    for tenant in &config.tenants {
        if let PolicyText::File(path) = &tenant.policy.text {
            add(&mut hasher, path);
        }
        if let Some(path) = &tenant.policy.entities {
            add(&mut hasher, path);
        }
    }
    hasher.finalize()
}

fn add(hasher: &mut blake3::Hasher, path: &Path) {
    match read(path) {
        Ok(bytes) => {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
        }
        // Gone is not the same as empty.
        Err(_) => {
            hasher.update(&u64::MAX.to_le_bytes());
        }
    }
}

/// What is larger than any of these files may be is refused by a reload; here its beginning will do. A pipe or a device
/// would never end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a pipe waits too.
    if !path.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &Path) -> Config {
        let text = include_str!("../tests/golden/config/good-small.toml");
        let file = directory.join("tollgate.toml");
        std::fs::write(&file, text).unwrap();
        Config::parse(text, &file).unwrap()
    }

    #[test]
    fn a_change_counts_once_and_only_when_it_has_come_to_rest() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut watch = Watch::begin(&config);
        assert!(!watch.look(&config));
        std::fs::write(&config.file, "half").unwrap();
        assert!(!watch.look(&config), "it may still be written");
        std::fs::write(&config.file, "half and half").unwrap();
        assert!(!watch.look(&config), "it was");
        assert!(watch.look(&config));
        assert!(!watch.look(&config), "once");
    }

    #[test]
    fn the_trust_file_belongs_to_it_and_a_change_taken_back_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut watch = Watch::begin(&config);
        std::fs::write(&config.trust, "").unwrap();
        assert!(!watch.look(&config));
        assert!(watch.look(&config));
        std::fs::write(&config.trust, "x").unwrap();
        assert!(!watch.look(&config));
        std::fs::write(&config.trust, "").unwrap();
        assert!(!watch.look(&config));
        assert!(!watch.look(&config));
    }

    #[test]
    fn what_somebody_else_tried_is_not_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut watch = Watch::begin(&config);
        std::fs::write(&config.file, "new").unwrap();
        watch.tried(&config);
        assert!(!watch.look(&config) && !watch.look(&config));
    }
}
