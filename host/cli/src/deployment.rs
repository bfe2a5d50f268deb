//! A deployment on disk: its files below one folder, the record of what they were derived from, and its signature.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tollgate_derive::Derived;
use tollgate_derive::record::{DERIVATION, RecordError};
use tollgate_trust::attest::{self, AttestError};
use tollgate_trust::file::FileError;
use tollgate_trust::{Sha256, SigningKey, envelope_path, write_envelope};

/// A deployment can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// A file or folder can't be written.
    #[error("`{}` can't be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder can't be read.
    #[error("`{}` can't be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something lies there that no deployment has.
    #[error("`{}` is neither a file nor a folder: remove it", path.display())]
    Odd {
        /// What.
        path: PathBuf,
    },
    /// The record can't be written.
    #[error("the record can't be written")]
    Record(#[from] RecordError),
    /// The record can't be signed.
    #[error("the record can't be signed")]
    Sign(#[from] AttestError),
    /// The record's signature can't be written.
    #[error("the record's signature can't be written")]
    Envelope(#[from] FileError),
}

/// Writes a deployment below a folder, which is made; then the record, signed if there is a key. A signature that lies
/// there of an older record goes.
///
/// # Errors
/// [`DeploymentError`] names what can't be written.
pub fn write(folder: &Path, derived: &Derived, key: Option<&SigningKey>) -> Result<(), DeploymentError> {
    let record = derived.record();
    let (json, statement) = (record.to_json()?, record.to_statement()?);
    for (name, bytes) in derived.files() {
        write_file(&folder.join(name), bytes)?;
    }
    let path = folder.join(DERIVATION);
    write_file(&path, &json)?;
    if let Some(key) = key {
        write_envelope(&path, &attest::sign(statement, key)?)?;
        return Ok(());
    }
    let envelope = envelope_path(&path);
    match fs::remove_file(&envelope) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DeploymentError::Write { path: envelope, source })
        }
        _ => Ok(()),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), DeploymentError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, bytes))
        .map_err(|source| DeploymentError::Write { path: path.to_owned(), source })
}

/// The digests of all files below a folder, by their paths in it, without the record and its signature.
///
/// # Errors
/// [`DeploymentError`] names what can't be read, and what is neither a file nor a folder.
pub fn digests(folder: &Path) -> Result<BTreeMap<String, Sha256>, DeploymentError> {
    let mut digests = BTreeMap::new();
    collect(folder, "", &mut digests)?;
    let envelope = envelope_path(Path::new(DERIVATION));
    digests.retain(|path, _| path != DERIVATION && Path::new(path) != envelope);
    Ok(digests)
}

fn collect(
    folder: &Path,
    prefix: &str,
    digests: &mut BTreeMap<String, Sha256>,
) -> Result<(), DeploymentError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DeploymentError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(failed(&path))?;
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), digests)?;
        } else if kind.is_file() {
            digests.insert(name, Sha256::of(&fs::read(&path).map_err(failed(&path))?));
        } else {
            return Err(DeploymentError::Odd { path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_derive::record::Deriver;
    use tollgate_derive::{Recipe, Source, Target, differences};

    fn derived() -> Derived {
        let files = [("worker.js", "text"), ("app/core.wasm", "code")];
        let recipe = Recipe {
            deriver: Deriver { name: "tests".into(), version: "1.0.0".into() },
            target: Target::Cloudflare,
            gas: None,
            options: BTreeMap::new(),
            sources: vec![Source::other("source", b"bytes")],
        };
        recipe.made(files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into()).unwrap()
    }

    #[test]
    fn what_was_written_is_what_lies_there() {
        let (folder, derived) = (tempfile::tempdir().unwrap(), derived());
        write(folder.path(), &derived, Some(&SigningKey::generate().unwrap())).unwrap();
        assert!(differences(derived.record(), &digests(folder.path()).unwrap()).is_empty());
        assert!(folder.path().join("derivation.json.dsse.json").exists());
    }

    #[test]
    fn a_signature_of_an_older_record_does_not_stay_beside_a_new_one() {
        let (folder, derived) = (tempfile::tempdir().unwrap(), derived());
        write(folder.path(), &derived, Some(&SigningKey::generate().unwrap())).unwrap();
        write(folder.path(), &derived, None).unwrap();
        assert!(!folder.path().join("derivation.json.dsse.json").exists());
        write(folder.path(), &derived, None).unwrap();
    }

    #[test]
    fn a_link_is_no_part_of_a_deployment() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("link")).unwrap();
        assert!(matches!(digests(folder.path()), Err(DeploymentError::Odd { .. })));
    }
}
