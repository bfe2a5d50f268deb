//! What deployments of one place have done: a file beside the configuration, written before and after each step.
//!
//! Losing it loses the history and nothing else: what is there, and which artifact it is, the platform tells.

use crate::provider::{Traffic, Version};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tollgate_trust::Sha256;

/// How many deployments that are over are kept.
const KEPT: usize = 50;

/// The journal of one place, held by this process alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Held locked as long as this value lives.
    _lock: File,
    pages: Pages,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Pages {
    /// The deployment that is not over.
    run: Option<Run>,
    /// Those that are, oldest first.
    past: Vec<Past>,
}

/// A deployment that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// What is deployed; none for going back.
    pub key: Option<Sha256>,
    /// Who had all traffic before; none where there was nothing.
    pub old: Option<Version>,
    /// What it became there.
    pub new: Option<Version>,
    /// The traffic as this deployment left it last.
    pub reached: Traffic,
    /// The traffic that it was about to set; whether it did is not known.
    pub next: Option<Traffic>,
    /// Whether the version passed its checks before it had traffic.
    pub checked: bool,
    /// Why it is going back, if it is.
    pub failed: Option<String>,
    /// When it began (RFC 3339).
    pub began: String,
}

/// A deployment that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Past {
    /// What was deployed; none for going back.
    pub key: Option<Sha256>,
    /// Who had all traffic before.
    pub old: Option<Version>,
    /// What was to have it.
    pub new: Option<Version>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began (RFC 3339).
    pub began: String,
    /// When it ended (RFC 3339).
    pub ended: String,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The new version has all traffic.
    Live,
    /// The old one has it again, by itself, for this reason.
    WentBack(String),
    /// Somebody asked for an older one.
    RolledBack,
}

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It can't be read or written.
    #[error("the journal `{}` can't be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not one.
    #[error("`{}` is not a journal ({reason}): move it away, and `tollgate deploy` goes by what the platform says", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has it.
    #[error("another `tollgate` is deploying there (`{}` is locked): wait for it", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
}

impl Journal {
    /// Opens the journal of a place, in a folder that is made; `place` is part of the file's name.
    ///
    /// # Errors
    /// Any [`JournalError`].
    pub fn open(folder: &Path, place: &str) -> Result<Self, JournalError> {
        let path = folder.join(format!("{place}.json"));
        let failed = |source| JournalError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock_path = folder.join(format!("{place}.lock"));
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path: lock_path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let pages = read(&path)?;
        Ok(Self { path, _lock: lock, pages })
    }

    /// The deployment of a place that is not over, and those that are, oldest first: to look at, also while another
    /// process deploys.
    ///
    /// # Errors
    /// [`JournalError::Io`] and [`JournalError::Malformed`].
    pub fn peek(folder: &Path, place: &str) -> Result<(Option<Run>, Vec<Past>), JournalError> {
        let Pages { run, past } = read(&folder.join(format!("{place}.json")))?;
        Ok((run, past))
    }

    /// The deployment that is not over.
    pub(crate) fn run(&self) -> Option<&Run> {
        self.pages.run.as_ref()
    }

    /// Those that are, oldest first.
    pub(crate) fn past(&self) -> &[Past] {
        &self.pages.past
    }

    /// Notes how the deployment stands: on disk when this returns.
    pub(crate) fn note(&mut self, run: &Run) -> Result<(), JournalError> {
        self.pages.run = Some(run.clone());
        self.write()
    }

    /// Notes that a deployment is over, and with it the one that was not.
    pub(crate) fn close(&mut self, past: Past) -> Result<(), JournalError> {
        self.pages.run = None;
        self.pages.past.push(past);
        let over = self.pages.past.len().saturating_sub(KEPT);
        self.pages.past.drain(..over);
        self.write()
    }

    /// Whole or not at all: a new file in the old one's place, mode 0600, it and its folder's entry synced.
    fn write(&self) -> Result<(), JournalError> {
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            let mut file = NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, &self.pages)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}

fn read(path: &Path) -> Result<Pages, JournalError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            let reason = error.to_string();
            JournalError::Malformed { path: path.to_owned(), reason }
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pages::default()),
        Err(source) => Err(JournalError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn run() -> Run {
        Run {
            key: Some(Sha256::of(b"a")),
            old: Some(Version("1".into())),
            new: None,
            reached: Traffic::All(Version("1".into())),
            next: None,
            checked: false,
            failed: None,
            began: "2026-11-22T06:00:00Z".into(),
        }
    }

    fn past() -> Past {
        let Run { key, old, new, began, .. } = run();
        Past { key, old, new, outcome: Outcome::WentBack("bad".into()), ended: began.clone(), began }
    }

    #[test]
    fn what_was_noted_is_there_after_a_restart_and_for_nobody_else_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "shop").unwrap();
        journal.note(&run()).unwrap();
        drop(journal);
        let mut journal = Journal::open(folder.path(), "shop").unwrap();
        assert_eq!(journal.run(), Some(&run()));
        for _ in 0..60 {
            journal.close(past()).unwrap();
        }
        drop(journal);
        let journal = Journal::open(folder.path(), "shop").unwrap();
        assert_eq!((journal.run(), journal.past().len()), (None, KEPT));
        let mode = fs::metadata(folder.path().join("shop.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_at_once_and_what_is_no_journal_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), "shop").unwrap();
        assert!(matches!(Journal::open(folder.path(), "shop"), Err(JournalError::Busy { .. })));
        drop(journal);
        fs::write(folder.path().join("shop.json"), "{\"run\":null,\"past\":[],\"more\":1}").unwrap();
        assert!(matches!(Journal::open(folder.path(), "shop"), Err(JournalError::Malformed { .. })));
    }
}
