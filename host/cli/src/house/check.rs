//! Loading a configuration without serving it: nothing is listened on, and nothing of the host's state is touched, but
//! its compiled code where that is asked for.

use super::{Common, Trouble, load, read_schedule};
use crate::config::Config;
use crate::output::{Failure, chain};
use std::sync::Arc;
use tollgate_runtime::{
    Backend, Bucket, BucketError, Buckets, Compiler, Name, Runtime, RuntimeOptions, Storage,
};
use tollgate_server::{
    Certificate, LogKey, MemoryBuckets, Outbound, OutboundOptions, StoreLimits, Stores, TlsFiles,
};

/// Checks everything that a configuration names: verifies, compiles, links and configures it, in a directory of its
/// own that is gone afterwards, or with the host's own cache of compiled code if the code is to be kept. Returns what
/// would be refused.
///
/// # Errors
/// What all tenants need and is not fit.
pub fn check(config: &Config, compiler: Compiler, keep_code: bool) -> Result<Vec<Trouble>, Failure> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(check_all(config, compiler, keep_code))
}

async fn check_all(config: &Config, compiler: Compiler, keep_code: bool) -> Result<Vec<Trouble>, Failure> {
    let scratch = tempfile::tempdir()?;
    let directory = match (&config.host.state, keep_code) {
        (Some(state), true) => state.as_path(),
        (None, true) => {
            return Err(Failure::new("`host.state` is not set, so there is no directory to keep code in"));
        }
        (_, false) => scratch.path(),
    };
    let stores = Arc::new(Scratch(Stores::new(MemoryBuckets::new(StoreLimits::default()), None)));
    let runtime = Runtime::start(RuntimeOptions {
        capacity: config.host.capacity.clone(),
        schedule: read_schedule(config)?,
        compiler,
        cache: directory.join("cache"),
        buckets: stores.clone(),
        transport: Arc::new(Outbound::new(&OutboundOptions::default())?),
    })?;
    if let Some(tls) = &config.host.tls {
        let files = TlsFiles { chain: tls.cert.clone(), key: tls.key.clone() };
        Certificate::load(files).map_err(|error| Failure::new(format!("`host.tls`: {error}")))?;
    }
    let signer = LogKey::read(&config.audit.key, &config.audit.origin)
        .map_err(|error| Failure::new(format!("`audit.key`: {}", chain(&error))))?;
    let audit = Common::read(config)?.verify(&config.audit.component);
    let audit = audit.map_err(|error| Failure::new(format!("`audit.component`: {}", chain(&error))))?;
    let log = stores.bucket(&Name::new("host")?, &Name::new("log")?, Backend::Memory)?;
    runtime.load_audit(audit, Arc::new(signer), log, &config.audit.origin).await?;
    Ok(load(&runtime, config).await?.troubles)
}

/// Stores that are all in memory, whatever they would stand on.
struct Scratch(Stores);

impl Buckets for Scratch {
    fn bucket(&self, tenant: &Name, store: &Name, _: Backend) -> Result<Arc<dyn Bucket>, BucketError> {
        self.0.bucket(tenant, store, Backend::Memory)
    }

    fn storage(&self, tenant: &Name) -> Arc<Storage> {
        self.0.storage(tenant)
    }
}
