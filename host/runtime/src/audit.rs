//! The audit log's writer: one instance of the audit component for each log, used by one task.

use crate::bindings::Entry;
use crate::bindings::audit::{self, AuditError as GuestError};
use crate::cache::CacheError;
use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::limits::Limits;
use crate::link;
use crate::load::{LoadError, inspect};
use crate::names::Name;
use crate::runtime::Runtime;
use crate::seams::{Bucket, Signer};
use crate::state::{State, StoreParts};
use crate::store::{armed, metered};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tollgate_trust::Verified;
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// What one call may take: an append of a few hundred records with the disk's wait, or the opening of a log.
const CALL_CPU: Duration = Duration::from_secs(10);
const CALL_WALL: Duration = Duration::from_secs(60);
const MEMORY_BYTES: usize = 128 << 20;

/// The name under which the component opens its store.
const STORE: &str = "log";

/// An open audit log.
pub struct AuditLog {
    parts: StoreParts,
    limits: Arc<Limits>,
    pre: InstancePre<State>,
    indices: audit::GuestIndices,
    origin: String,
    open: Option<(Store<State>, audit::Guest)>,
    size: u64,
}

/// Why the log did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store failed. Nothing of the call is in the log.
    #[error("the log's store failed: {0}")]
    Store(String),
    /// The log contradicts itself.
    #[error("the log is corrupt: {0}")]
    Corrupt(String),
    /// A record is too large; the number is its place in the call. Nothing of the call is in the log.
    #[error("record {0} is larger than a log entry may be")]
    TooLarge(u32),
    /// No such entry.
    #[error("the index or size is beyond the log's size")]
    OutOfRange,
    /// The component failed. Whether the call took effect is not known; the log is opened anew before the next one.
    #[error("the audit component failed: {0:#}")]
    Component(wasmtime::Error),
}

impl From<GuestError> for AuditError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Store(reason) => Self::Store(reason),
            GuestError::Corrupt(reason) => Self::Corrupt(reason),
            GuestError::TooLarge(place) => Self::TooLarge(place),
            GuestError::OutOfRange => Self::OutOfRange,
            GuestError::NotOpen => Self::Corrupt("it is not open".into()),
            GuestError::Signer(reason) => Self::Store(format!("the signer failed: {reason}")),
        }
    }
}

impl Runtime {
    /// Compiles the audit component, and opens its log.
    pub async fn load_audit(
        self: &Arc<Self>,
        component: Verified,
        signer: Arc<dyn Signer>,
        log: Arc<dyn Bucket>,
        origin: &str,
    ) -> Result<AuditLog, LoadError> {
        let name = "audit".to_owned();
        inspect(&name, &component)?;
        let compile = |source| LoadError::Compile { name: name.clone(), source: CacheError::Compile(source) };
        let code = self.compile(&name, EngineKind::Gates, component.blake3(), component.bytes().clone());
        let code = code.await?;
        let linker = link::audit_linker(&self.engines.gates).map_err(compile)?;
        let pre = linker.instantiate_pre(&code).map_err(compile)?;
        let tenant = Name::new("host").map_err(|error| compile(wasmtime::format_err!("{error}")))?;
        let store = Name::new(STORE).map_err(|error| compile(wasmtime::format_err!("{error}")))?;
        let mut audit = AuditLog {
            parts: StoreParts::for_host(self, &tenant, [(store, log)].into(), Some(signer)),
            limits: Arc::new(limits()),
            indices: audit::GuestIndices::new(&pre).map_err(compile)?,
            pre,
            origin: origin.to_owned(),
            open: None,
            size: 0,
        };
        audit
            .open()
            .await
            .map_err(|error| LoadError::Configuration { name, diagnostics: vec![error.to_string()] })?;
        Ok(audit)
    }
}

fn limits() -> Limits {
    Limits {
        cpu: CALL_CPU,
        deadline: CALL_WALL,
        host_wait: CALL_WALL,
        memory_bytes: MEMORY_BYTES,
        host_call_bytes: 64 << 20,
        fuel: u64::MAX / 2,
        gas: u64::MAX / 2,
        host_calls: u64::MAX / 2,
        ..Limits::default()
    }
}

impl AuditLog {
    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends records, all or none, durably. Returns the first one's index.
    pub async fn append(&mut self, entries: &[Entry]) -> Result<u64, AuditError> {
        let first = self.call(async |store, guest| guest.call_append(store, entries).await).await?;
        self.size = first.saturating_add(entries.len() as u64);
        Ok(first)
    }

    /// The newest signed checkpoint.
    pub async fn checkpoint(&mut self) -> Result<String, AuditError> {
        self.call(async |store, guest| guest.call_checkpoint(store).await).await
    }

    /// The inclusion proof of an entry in the tree of the first `size` entries.
    pub async fn prove(&mut self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        self.call(async |store, guest| guest.call_prove(store, index, size).await).await
    }

    async fn call<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut Store<State>, &audit::Guest) -> wasmtime::Result<Result<R, GuestError>>,
    ) -> Result<R, AuditError> {
        if self.open.is_none() {
            self.open().await?;
        }
        // Taken out: an instance that fails is not there for the next call.
        let Some((mut store, guest)) = self.open.take() else { return Err(GuestError::NotOpen.into()) };
        let clock = Arc::new(RunClock::rough(Instant::now()));
        store.data_mut().meter.begin(clock.clone(), self.limits.clone());
        store.set_epoch_deadline(1);
        let answer = metered(&clock, &self.limits, None, call(&mut store, &guest)).await;
        let answer = answer.map_err(|breach| AuditError::Component(wasmtime::Error::new(breach)))?;
        let answer = answer.map_err(AuditError::Component)?;
        // After a failure of its store, what it knows of the log may not be so any more: it opens the log again.
        if !matches!(answer, Err(GuestError::Store(_))) {
            self.open = Some((store, guest));
        }
        answer.map_err(AuditError::from)
    }

    async fn open(&mut self) -> Result<(), AuditError> {
        let clock = Arc::new(RunClock::rough(Instant::now()));
        let state = self.parts.state(&self.limits, clock.clone());
        let work = async {
            let mut store = armed(self.pre.engine(), state)?;
            let instance = self.pre.instantiate_async(&mut store).await?;
            let guest = self.indices.load(&mut store, &instance)?;
            let size = guest.call_open(&mut store, &self.origin, STORE).await?;
            wasmtime::error::Ok((store, guest, size))
        };
        let opened = metered(&clock, &self.limits, None, work).await;
        let opened = opened.map_err(|breach| AuditError::Component(wasmtime::Error::new(breach)))?;
        let (store, guest, size) = opened.map_err(AuditError::Component)?;
        self.size = size?;
        self.open = Some((store, guest));
        Ok(())
    }
}
