//! The files of the log: written, deleted and synced by one thread at a time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read as _, Write as _};

use cap_std::fs::Dir;

use super::LogStoreError;
use super::overlay::Overlay;

/// What a file is called while it is being written.
const TEMPORARY_FILE: &str = ".temporary";

/// The most files that are open because they are not synced.
const MOST_UNSYNCED: usize = 64;

pub(super) struct Files {
    dir: Dir,
    /// Directories that are known to exist.
    known: HashSet<String>,
    /// Files written since the last sync, open since then, so that a sync reports every failed write.
    unsynced: BTreeMap<String, std::fs::File>,
    /// Directories with names that are not synced.
    changed: BTreeSet<String>,
}

impl Files {
    pub(super) fn new(dir: Dir) -> Self {
        Self { dir, known: HashSet::new(), unsynced: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// Makes the files what the overlay says. Whoever reads meanwhile finds all that `checkpoint` needs: what stands
    /// in directories is written before it, and deletions come last.
    pub(super) fn write_out(&mut self, overlay: &Overlay) -> Result<(), LogStoreError> {
        let values = overlay.iter().filter_map(|(key, value)| Some((key, value?)));
        let (inner, outer): (Vec<_>, Vec<_>) = values.partition(|(key, _)| key.contains('/'));
        for (key, value) in inner.into_iter().chain(outer) {
            self.write(key, value)?;
        }
        self.remove(overlay.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key))
    }

    /// Replaces a file in one step, as far as readers see.
    fn write(&mut self, key: &str, value: &[u8]) -> Result<(), LogStoreError> {
        if let Some((parent, _)) = key.rsplit_once('/')
            && !self.known.contains(parent)
        {
            self.dir.create_dir_all(parent).map_err(LogStoreError::io("making the directory", parent))?;
            self.known.insert(parent.to_owned());
        }
        if self.unsynced.len() >= MOST_UNSYNCED {
            self.sync_files()?;
        }
        let write = || -> io::Result<std::fs::File> {
            let mut file = self.dir.create(TEMPORARY_FILE)?;
            file.write_all(value)?;
            self.dir.rename(TEMPORARY_FILE, &self.dir, key)?;
            Ok(file.into_std())
        };
        let file = write().map_err(LogStoreError::io("writing", key))?;
        self.unsynced.insert(key.to_owned(), file);
        self.has_changed(key);
        Ok(())
    }

    /// Deletes those of these keys that are files. Most are not: their tiles were replaced before they became any.
    fn remove<'a>(&mut self, keys: impl Iterator<Item = &'a str>) -> Result<(), LogStoreError> {
        let mut directories: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for key in keys {
            let (directory, name) = key.rsplit_once('/').unwrap_or((".", key));
            directories.entry(directory).or_default().insert(name, key);
        }
        for (directory, names) in directories {
            let opened = match self.dir.open_dir(directory) {
                Ok(opened) => opened,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(LogStoreError::io("opening", directory)(error)),
            };
            let listed = opened.entries().and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in listed.map_err(LogStoreError::io("listing", directory))? {
                let name = entry.file_name();
                if let Some(key) = name.to_str().and_then(|name| names.get(name)) {
                    entry.remove_file().map_err(LogStoreError::io("deleting", key))?;
                    self.unsynced.remove(*key);
                    self.has_changed(key);
                }
            }
        }
        Ok(())
    }

    /// Notes that the names over a key are to be synced.
    fn has_changed(&mut self, key: &str) {
        for directory in key.match_indices('/').filter_map(|(end, _)| key.get(..end)).chain(["."]) {
            if !self.changed.contains(directory) {
                self.changed.insert(directory.to_owned());
            }
        }
    }

    /// Syncs all that was written and deleted since the last time.
    pub(super) fn sync(&mut self) -> Result<(), LogStoreError> {
        self.sync_files()?;
        for directory in &self.changed {
            sync_directory(&self.dir, directory).map_err(LogStoreError::io("syncing", directory))?;
        }
        self.changed.clear();
        Ok(())
    }

    /// A file that is synced has what it wrote put in its place, and the file system commit that, while everybody's
    /// appended bytes wait. So all are on their way first, and one commit serves most of them.
    fn sync_files(&mut self) -> Result<(), LogStoreError> {
        for file in self.unsynced.values() {
            begin_writing(file);
        }
        for (key, file) in &self.unsynced {
            file.sync_all().map_err(LogStoreError::io("syncing", key))?;
        }
        self.unsynced.clear();
        Ok(())
    }
}

/// Has the system begin to write a file's pages, and waits for none of them. That they need not be kept is the smaller
/// part of this advice.
fn begin_writing(file: &std::fs::File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Reads a file, if there is one.
pub(super) fn read(dir: &Dir, key: &str) -> Result<Option<Vec<u8>>, LogStoreError> {
    let mut file = match dir.open(key) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogStoreError::io("opening", key)(error)),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(LogStoreError::io("reading", key))?;
    Ok(Some(bytes))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(dir: &Dir, path: &str) -> io::Result<()> {
    dir.open(path)?.sync_all()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
