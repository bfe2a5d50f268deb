//! What is deployed: a folder that `tollgate build` wrote, read whole and held against its own record.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tollgate_trust::Sha256;

/// The record of a bundle.
const RECORD: &str = "derivation.json";

/// The most files of a bundle, and the most bytes of all of them: what Fastly takes, and more than Cloudflare does.
const MAX_FILES: usize = 1_000;
const MAX_BYTES: u64 = 100 << 20;

/// A bundle, as it lay on disk when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    files: BTreeMap<String, Vec<u8>>,
    key: Sha256,
}

/// Why a folder is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It can't be read.
    #[error("`{}` can't be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no record in it, or none that says what came out.
    #[error("`{}` is no bundle ({reason}): name the folder that `tollgate build` wrote", path.display())]
    NoRecord {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A file is not the one that was derived.
    #[error("`{file}` is not what the bundle's record says: build it anew")]
    Changed {
        /// The file, within the bundle.
        file: String,
    },
    /// A file that would be uploaded is not in the record.
    #[error("`{file}` is not in the bundle's record: build it anew, in a new folder")]
    Stray {
        /// The file, within the bundle.
        file: String,
    },
    /// There is more in it than a platform takes.
    #[error("the bundle has more than {MAX_FILES} files, or more than {MAX_BYTES} bytes")]
    TooLarge,
    /// A file can't be uploaded under its name.
    #[error(
        "`{file}` can't be uploaded: names are ASCII letters, digits, `.`, `_`, `-` and `/`, and links are not followed"
    )]
    Name {
        /// The file.
        file: String,
    },
}

/// What of a record is read here. The rest is for those who verify.
#[derive(Deserialize)]
struct Record {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(alias = "file")]
    path: String,
    sha256: Sha256,
}

impl Artifact {
    /// Reads a bundle.
    ///
    /// # Errors
    /// Any [`ArtifactError`]: nothing is deployed of which a part is not what was derived.
    pub fn read(folder: &Path) -> Result<Self, ArtifactError> {
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        collect(folder, "", &mut files, &mut bytes)?;
        let artifact = Self { key: key(&files), files };
        artifact.check(folder)?;
        Ok(artifact)
    }

    fn check(&self, folder: &Path) -> Result<(), ArtifactError> {
        let no_record = |reason: String| ArtifactError::NoRecord { path: folder.to_owned(), reason };
        let record = self.file(RECORD).ok_or_else(|| no_record(format!("without {RECORD}")))?;
        let record: Record =
            serde_json::from_slice(record).map_err(|error| no_record(format!("{RECORD}: {error}")))?;
        for Output { path, sha256 } in &record.outputs {
            if self.file(path).map(Sha256::of).as_ref() != Some(sha256) {
                return Err(ArtifactError::Changed { file: path.clone() });
            }
        }
        let runs = |name: &&String| name.ends_with(".js") || name.ends_with(".wasm");
        let listed = |name: &String| record.outputs.iter().any(|output| output.path == *name);
        match self.files.keys().filter(runs).find(|name| !listed(name)) {
            Some(stray) => Err(ArtifactError::Stray { file: stray.clone() }),
            None => Ok(()),
        }
    }

    /// The digest of all names and files. Equal bundles have equal keys, wherever they were built.
    pub fn key(&self) -> Sha256 {
        self.key
    }

    /// Every file, by its path.
    pub(crate) fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// A file.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }
}

fn key(files: &BTreeMap<String, Vec<u8>>) -> Sha256 {
    let lines: String =
        files.iter().map(|(name, bytes)| format!("{}  {name}\n", Sha256::of(bytes))).collect();
    Sha256::of(lines.as_bytes())
}

fn collect(
    folder: &Path,
    within: &str,
    files: &mut BTreeMap<String, Vec<u8>>,
    bytes: &mut u64,
) -> Result<(), ArtifactError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed(folder))?);
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if !name.chars().all(plain) || kind.is_symlink() {
            return Err(ArtifactError::Name { file: name });
        }
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files, bytes)?;
            continue;
        }
        *bytes += entry.metadata().map_err(failed(&path))?.len();
        if files.len() == MAX_FILES || *bytes > MAX_BYTES {
            return Err(ArtifactError::TooLarge);
        }
        files.insert(name, fs::read(&path).map_err(failed(&path))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(change: impl FnOnce(&Path)) -> Result<Artifact, ArtifactError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/main.wasm"), "wasm").unwrap();
        let record = format!(
            "{{\"outputs\":[{{\"path\":\"bin/main.wasm\",\"bytes\":4,\"sha256\":\"{}\"}}],\"target\":\"fastly\"}}",
            Sha256::of(b"wasm")
        );
        fs::write(folder.path().join(RECORD), record).unwrap();
        change(folder.path());
        Artifact::read(folder.path())
    }

    #[test]
    fn the_same_bundle_has_the_same_key_and_another_has_another() {
        let (one, two) = (bundle(|_| ()).unwrap(), bundle(|_| ()).unwrap());
        assert_eq!(one.key(), two.key());
        let other = bundle(|folder| fs::write(folder.join("fastly.toml"), "a").unwrap()).unwrap();
        assert_ne!(one.key(), other.key());
    }

    #[test]
    fn what_is_not_as_it_was_derived_is_no_bundle() {
        let changed = bundle(|folder| fs::write(folder.join("bin/main.wasm"), "wasn").unwrap());
        assert!(matches!(changed, Err(ArtifactError::Changed { file }) if file == "bin/main.wasm"));
        let missing = bundle(|folder| fs::remove_file(folder.join("bin/main.wasm")).unwrap());
        assert!(matches!(missing, Err(ArtifactError::Changed { .. })));
        let stray = bundle(|folder| fs::write(folder.join("more.js"), "").unwrap());
        assert!(matches!(stray, Err(ArtifactError::Stray { file }) if file == "more.js"));
        let none = bundle(|folder| fs::remove_file(folder.join(RECORD)).unwrap());
        assert!(matches!(none, Err(ArtifactError::NoRecord { .. })));
        let link =
            bundle(|folder| std::os::unix::fs::symlink("bin/main.wasm", folder.join("b.wasm")).unwrap());
        assert!(matches!(link, Err(ArtifactError::Name { .. })));
    }
}
