//! A log on disk, written by the log's own writer without a host.

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use std::fs;
use std::path::{Path, PathBuf};
use tollgate_audit::note::VerifierKey;
use tollgate_audit::{Actor, ActorKind, Entry, Log, Outcome, Signer, Store, Usage};

pub(crate) const ORIGIN: &str = "example.com/audit";

pub(crate) fn request_id(index: u64) -> String {
    format!("{index:032x}")
}

/// Writes a log of `records` records, and returns the key that checks it.
pub(crate) fn write(directory: &Path, key: &Path, records: u64) -> VerifierKey {
    let pem = fs::read_to_string(key).unwrap();
    let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim()).unwrap();
    let verifier = VerifierKey::new(ORIGIN, key.verifying_key().to_bytes()).unwrap();
    let signer = Key { key, verifier: verifier.clone() };
    fs::create_dir_all(directory).unwrap();
    let mut log = Log::open(ORIGIN, Files(directory.to_owned()), signer).unwrap();
    for index in 0..records {
        log.append(&[entry(index)]).unwrap();
    }
    verifier
}

fn entry(index: u64) -> Entry {
    Entry {
        request_id: request_id(index),
        time: 1_795_000_000_000_000_000 + index,
        tenant: "acme".into(),
        actor: Actor { id: "anonymous".into(), kind: ActorKind::Anonymous, groups: Vec::new() },
        action: "GET".into(),
        resource: "acme/web/home example.com /".into(),
        outcome: Outcome::Answered(200),
        client_address: "192.0.2.1".into(),
        metadata: Vec::new(),
        trace_id: request_id(index),
        usage: Usage::default(),
        limits: Vec::new(),
        policies: vec!["everybody".into()],
    }
}

struct Key {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl Signer for Key {
    fn verifier_key(&self) -> String {
        self.verifier.to_string()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.key.sign(text).to_bytes().to_vec())
    }
}

struct Files(PathBuf);

impl Store for Files {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(fs::read(self.0.join(key)).ok())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        for (key, value) in values {
            let path = self.0.join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        Ok(())
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        for key in keys {
            let _ = fs::remove_file(self.0.join(key));
        }
        Ok(())
    }
}
