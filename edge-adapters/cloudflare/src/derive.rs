//! Derivation: glue and core modules from a component, by the transpiler that `worker/package-lock.json` pins.
//!
//! The transpiler is the one of jco, run in Node.js. Its Rust crate would bring a second component translator, of
//! another engine release, into the programs that hold keys; here it is WebAssembly in a process of its own, and the
//! same lock pins it, the compiler of the worker and the platform that tests run on.

use crate::imports::Calls;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tollgate_trust::Sha256;

/// How many lines of what the transpiler said are shown.
const SAID_LINES: usize = 4;

/// The folder that `cargo xtask edge` makes: the compiled worker and the pinned transpiler.
#[derive(Debug, Clone)]
pub struct Tools {
    directory: PathBuf,
    worker: Vec<u8>,
    lock: Vec<u8>,
}

/// Why nothing could be derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The tools are not there.
    #[error("the tools are not in `{}`: run `cargo xtask edge`", path.display())]
    NoTools {
        /// Where they should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Node.js does not start.
    #[error("`node` can't be run: install Node.js 20 or later")]
    NoNode(#[source] io::Error),
    /// The transpiler failed.
    #[error("`{name}` can't be transpiled: {said}")]
    Failed {
        /// What was to be derived.
        name: String,
        /// What the transpiler said.
        said: String,
    },
    /// A temporary file can't be written or read.
    #[error("a temporary file can't be used")]
    Scratch(#[from] io::Error),
}

impl Tools {
    /// The tools in this folder.
    ///
    /// # Errors
    /// [`DeriveError::NoTools`].
    pub fn at(directory: &Path) -> Result<Self, DeriveError> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|source| DeriveError::NoTools { path, source })
        };
        Ok(Self {
            worker: read("dist/worker.js")?,
            lock: read("package-lock.json")?,
            directory: directory.to_owned(),
        })
    }

    /// The compiled worker.
    pub(crate) fn worker(&self) -> &[u8] {
        &self.worker
    }

    /// What the derivation depends on besides this crate's version.
    pub(crate) fn lock(&self) -> Sha256 {
        Sha256::of(&self.lock)
    }

    /// Derives files from a component, by name.
    pub(crate) fn transpile(
        &self,
        name: &str,
        component: &[u8],
        calls: &Calls,
    ) -> Result<BTreeMap<String, Vec<u8>>, DeriveError> {
        let scratch = tempfile::tempdir()?;
        let (input, output) = (scratch.path().join("component.wasm"), scratch.path().join("out"));
        std::fs::write(&input, component)?;
        std::fs::create_dir(&output)?;
        let calls = serde_json::to_string(calls).map_err(io::Error::from)?;
        let ran = Command::new("node")
            .current_dir(&self.directory)
            .arg("transpile.mjs")
            .args([&input])
            .arg(name)
            .args([&output])
            .arg(calls)
            .output()
            .map_err(DeriveError::NoNode)?;
        if !ran.status.success() {
            return Err(DeriveError::Failed { name: name.to_owned(), said: first_lines(&ran.stderr) });
        }
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&output)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
            }
        }
        Ok(files)
    }
}

/// What a program said, as far as it belongs in a message: its stack is for those who work on it.
fn first_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("at "));
    lines.take(SAID_LINES).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::first_lines;

    #[test]
    fn a_failure_is_told_without_its_stack() {
        let stderr = b"Error: no such thing\n    at Module.run (file:1)\n    at b\n\nNode.js v20\n";
        assert_eq!(first_lines(stderr), "Error: no such thing; Node.js v20");
    }
}
