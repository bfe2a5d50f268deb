//! The audit log of a host, read as a stranger would: from its directory, with its public key.

use serde_json::Value;
use std::path::{Path, PathBuf};
use tollgate_audit::note::{Note, VerifierKey};
use tollgate_audit::{Checkpoint, Summary, entry, verify_log};
use tollgate_server::LogReader;
use tollgate_trust::SigningKey;

/// A log: on disk, or served by files.
pub struct Log {
    files: Files,
    key: VerifierKey,
}

/// Gets a file of a log, if it is there.
type Get = dyn Fn(&str) -> Option<Vec<u8>>;

enum Files {
    Directory(PathBuf),
    Served(Box<Get>),
}

/// The files of a log as they are at one time.
enum Opened<'a> {
    Directory(LogReader),
    Served(&'a Get),
}

impl Opened<'_> {
    fn read(&self, key: &str) -> std::io::Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(log) => log.read(key),
            Self::Served(get) => Ok(get(key)),
        }
    }
}

/// One record.
#[derive(Debug, Clone)]
pub struct Record(pub Value);

impl Log {
    pub fn of(site: &Path) -> Self {
        Self { files: Files::Directory(site.join("log")), key: verifier(site) }
    }

    /// The log of that site's key, whose files are read so.
    pub fn served(site: &Path, get: impl Fn(&str) -> Option<Vec<u8>> + 'static) -> Self {
        Self { files: Files::Served(Box::new(get)), key: verifier(site) }
    }

    /// Checks every byte of the log.
    pub fn verify(&self) -> Summary {
        let log = self.open();
        verify_log(&|key| log.read(key), &self.key).expect("the log verifies")
    }

    /// Whether there is a checkpoint: a log begins with its first record.
    pub fn has_begun(&self) -> bool {
        self.open().read("checkpoint").unwrap().is_some()
    }

    /// How many records there are, as the newest checkpoint says.
    pub fn size(&self) -> u64 {
        self.size_of(&self.open())
    }

    /// Every record, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.verify();
        self.records_from(0)
    }

    /// Every record since this one, oldest first.
    pub fn records_from(&self, first: u64) -> Vec<Record> {
        let log = self.open();
        let read = |key: &str| log.read(key);
        (first..self.size_of(&log))
            .map(|index| Record(serde_json::from_slice(&entry(&read, &self.key, index).unwrap()).unwrap()))
            .collect()
    }

    fn open(&self) -> Opened<'_> {
        match &self.files {
            Files::Directory(path) => {
                Opened::Directory(LogReader::open(path).unwrap_or_else(|error| panic!("{error}")))
            }
            Files::Served(get) => Opened::Served(get),
        }
    }

    fn size_of(&self, log: &Opened<'_>) -> u64 {
        let bytes = log.read("checkpoint").unwrap().expect("a checkpoint");
        let note = Note::parse(&bytes).unwrap();
        Checkpoint::parse(note.verify(&self.key).unwrap()).unwrap().size
    }
}

fn verifier(site: &Path) -> VerifierKey {
    let key = SigningKey::read(&site.join("log.key")).unwrap();
    VerifierKey::new("tollgate.test/audit", key.public().to_bytes()).unwrap()
}

impl Record {
    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("no text at `{key}` in {}", self.0))
    }
    /// `kind`, or `kind:detail`, or `answered:status`.
    pub fn outcome(&self) -> String {
        let outcome = &self.0["outcome"];
        let kind = outcome["kind"].as_str().unwrap_or_default();
        match (outcome["detail"].as_str(), outcome["status"].as_u64()) {
            (Some(detail), _) => format!("{kind}:{detail}"),
            (_, Some(status)) => format!("{kind}:{status}"),
            _ => kind.to_owned(),
        }
    }
    pub fn used(&self, name: &str) -> u64 {
        self.0["usage"][name].as_u64().unwrap_or_else(|| panic!("no usage of `{name}` in {}", self.0))
    }
    /// What was used of a limit, and the limit; none if the record does not say.
    pub fn limit(&self, name: &str) -> Option<(u64, u64)> {
        let limits = self.0["limits"].as_array()?;
        let limit = limits.iter().find(|limit| limit["name"] == name)?;
        Some((limit["used"].as_u64()?, limit["limit"].as_u64()?))
    }
    pub fn policies(&self) -> Vec<&str> {
        self.0["policies"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let all = self.0["metadata"].as_array()?;
        all.iter().find(|pair| pair["name"] == key)?["value"].as_str()
    }
}
