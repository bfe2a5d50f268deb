//! Opening the audit book: the log's directory, its key, the component that writes it, and the requests that were
//! under way when the last host stopped.

use crate::config::Config;
use crate::house::{Common, HouseError, blocking};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use tollgate_audit::note::VerifierKey;
use tollgate_runtime::{LoadError, Runtime, Signer};
use tollgate_server::{
    AuditBook, AuditBookError, AuditBookOptions, LogBucket, LogKey, LogKeyError, LogReader, LogStore,
    LogStoreError, OnRecord, OpenBook, OpenBookError, Recorded,
};
use tollgate_trust::file::FileError;

/// Why the audit book can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BookStartError {
    /// The key that signs checkpoints.
    #[error("`audit.key`")]
    Key(#[from] LogKeyError),
    /// The component that writes the log.
    #[error("`audit.component`")]
    Component(#[from] FileError),
    /// The log's directory.
    #[error("`audit.directory`")]
    Directory(#[from] LogStoreError),
    /// The notes of requests under way.
    #[error("`audit.directory`")]
    OpenRequests(#[from] OpenBookError),
    /// The component does not load, or does not open the log.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The book does not start.
    #[error(transparent)]
    Book(#[from] AuditBookError),
    /// The host is stopping.
    #[error(transparent)]
    Stopping(#[from] HouseError),
}

/// What is opened on disk.
struct OnDisk {
    key: LogKey,
    component: tollgate_trust::Verified,
    store: LogStore,
}

/// Opens the book of a configuration. Every durable record is told to `on_record`.
pub(super) async fn open(
    config: &Config,
    common: &Arc<Common>,
    runtime: &Arc<Runtime>,
    on_record: Arc<OnRecord>,
) -> Result<Arc<AuditBook>, BookStartError> {
    let audit = config.audit.clone();
    let common = common.clone();
    let on_disk = blocking(move || {
        Ok::<_, BookStartError>(OnDisk {
            key: LogKey::read(&audit.key, &audit.origin)?,
            component: common.verify(&audit.component)?,
            store: LogStore::open(&audit.directory)?,
        })
    });
    let OnDisk { key, component, store } = on_disk.await??;
    let verifier = key.verifier_key();
    let bucket = Arc::new(LogBucket::new(Arc::new(store)));
    let log = runtime.load_audit(component, Arc::new(key), bucket, &config.audit.origin).await?;
    let (directory, size) = (config.audit.directory.clone(), log.size());
    let open = blocking(move || OpenBook::open(directory, size)).await??;
    let recorded = recorded(config.audit.directory.clone(), verifier);
    Ok(AuditBook::start(log, Arc::new(open), recorded, on_record, AuditBookOptions::default()).await?)
}

/// Looks requests up in the log.
fn recorded(directory: PathBuf, verifier: String) -> Arc<Recorded> {
    Arc::new(move |from, ids: &HashSet<String>| {
        let key: VerifierKey =
            verifier.parse().map_err(|error: tollgate_audit::note::NoteError| error.to_string())?;
        let log = LogReader::open(&directory).map_err(|error| crate::output::chain(&error))?;
        tollgate_audit::recorded(&|key| log.read(key), &key, from, ids)
            .map_err(|error| crate::output::chain(&error))
    })
}
