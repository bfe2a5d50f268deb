//! Whether a guest that cargo does not build is up to date.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Folders of tools and their left-overs, which are no sources.
const NOT_SOURCES: [&str; 4] = ["node_modules", "__pycache__", "dist", ".venv"];

/// A digest over the names and bytes of every file below `folders`, and over `words`, in hexadecimal digits.
pub(crate) fn of(folders: &[&Path], words: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    for word in words {
        feed(&mut hash, word.as_bytes());
    }
    for folder in folders {
        for file in files_below(folder)? {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
            feed(&mut hash, name.as_bytes());
            feed(&mut hash, &bytes);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// With its length before it, so that no two sequences of fields are the same bytes.
fn feed(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_le_bytes());
    hash.update(field);
}

/// Every file below a folder, sorted, without what tools leave behind.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::of;
    use std::fs;

    #[test]
    fn a_changed_byte_a_new_name_and_a_new_word_each_change_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("app.js"), "one").unwrap();
        let first = of(&[path], &["tool 1"]).unwrap();
        assert_eq!(first, of(&[path], &["tool 1"]).unwrap());
        assert_ne!(first, of(&[path], &["tool 2"]).unwrap());
        fs::write(path.join("app.js"), "two").unwrap();
        let second = of(&[path], &["tool 1"]).unwrap();
        assert_ne!(first, second);
        fs::rename(path.join("app.js"), path.join("main.js")).unwrap();
        assert_ne!(second, of(&[path], &["tool 1"]).unwrap());
    }

    #[test]
    fn what_a_tool_leaves_behind_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("app.js"), "one").unwrap();
        let before = of(&[path], &[]).unwrap();
        fs::create_dir(path.join("node_modules")).unwrap();
        fs::write(path.join("node_modules/x.js"), "x").unwrap();
        assert_eq!(before, of(&[path], &[]).unwrap());
    }
}
