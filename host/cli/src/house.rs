//! From a configuration to a house: everything that it names is read, verified, compiled and configured, and then one
//! [`House`] is made of it, whole.
//!
//! What one tenant brings can't keep the others out: an app that is refused leaves its routes without an answer, and
//! a tenant whose gate can't be made is left out; both are named in [`Loaded::troubles`]. What all tenants need (the
//! trust file, the gate's own components) is an error.

mod check;
mod cloudflare;
mod edge;
mod tenant;

pub use check::check;
pub use cloudflare::{OriginOf, cloudflare, gas};
pub use edge::{EdgeError, fastly};

use crate::config::Config;
use crate::output::chain;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tollgate_runtime::{
    GateParts, House, MAX_COMPONENT_BYTES, Manifest, Name, RouteError, Runtime, Schedule, ScheduleError,
};
use tollgate_trust::file::FileError;
use tollgate_trust::root::TrustFileError;
use tollgate_trust::{Envelope, TrustRoot, Verified, still_trusted, verify_file};

/// Tenants that are worked on at the same time. Each holds the bytes of its components for that long.
const LOADED_AT_ONCE: usize = 8;

/// What all tenants need and is not fit.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// The trust file.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// One of the host's own components.
    #[error("`{key}`")]
    Part {
        /// The key that names it.
        key: &'static str,
        /// Why it may not be loaded.
        source: FileError,
    },
    /// The gas schedule's file can't be read.
    #[error("gas schedule `{}` can't be read", path.display())]
    ScheduleFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The gas schedule is not fit.
    #[error("gas schedule `{}`", path.display())]
    Schedule {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ScheduleError,
    },
    /// The gas schedule's prices of operators are not fit.
    #[error("gas schedule `{}`", path.display())]
    Operators {
        /// The file.
        path: PathBuf,
        /// Why.
        source: tollgate_derive::schedule::ScheduleError,
    },
    /// Two routes that can't both be.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

/// One thing of a tenant that was not taken in, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// `app` or `tenant`.
    pub kind: &'static str,
    /// `tenant/app`, or the tenant.
    pub name: String,
    /// Why, and what to do.
    pub reason: String,
    /// The configuration file.
    pub file: PathBuf,
    /// The table that names it.
    pub key: String,
    /// Its signature is not trusted, or not any more. Then it runs no longer, whatever ran before.
    pub untrusted: bool,
}

impl Trouble {
    /// Tells the operator.
    pub(crate) fn log(&self) {
        let Self { kind, name, reason, untrusted, .. } = self;
        tracing::error!(target: "tollgate::load", kind, name, reason, untrusted, "refused");
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} `{}` is refused: {}\n  at {}, [{}]",
            self.kind,
            self.name,
            self.reason,
            self.file.display(),
            self.key
        )
    }
}

/// An app that is in the house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedApp {
    /// Whose it is.
    pub tenant: Name,
    /// Its name.
    pub name: Name,
    /// The component's blake3 digest, in hexadecimal.
    pub digest: String,
    /// `namespace:name@version`, as it was signed.
    pub release: String,
    /// Whose signatures it has.
    pub signers: Vec<String>,
    /// Where it answers: host and path.
    pub places: Vec<String>,
}

/// What something that runs was signed with.
#[derive(Clone, PartialEq)]
pub(crate) struct Papers {
    /// `app` or `tenant`, as in a [`Trouble`].
    kind: &'static str,
    name: String,
    envelope: Envelope,
    at: Manifest,
}

impl Papers {
    /// Whether one of these says that they are not trusted.
    pub(crate) fn are_refused(&self, troubles: &[Trouble]) -> bool {
        let is_this = |trouble: &Trouble| (trouble.kind, &trouble.name) == (self.kind, &self.name);
        troubles.iter().any(|trouble| trouble.untrusted && is_this(trouble))
    }

    /// What is wrong with them by this trust file, if something is.
    pub(crate) fn trouble(&self, root: &TrustRoot, now: Timestamp) -> Option<Trouble> {
        let refused = still_trusted(&self.envelope, root, now).err()?;
        Some(Trouble {
            kind: self.kind,
            name: self.name.clone(),
            reason: chain(&refused),
            file: self.at.file.clone(),
            key: self.at.table.clone(),
            untrusted: true,
        })
    }
}

/// A configuration, loaded.
pub struct Loaded {
    /// The house.
    pub house: House,
    /// The apps in it, sorted by tenant and name.
    pub apps: Vec<LoadedApp>,
    /// What was not taken in.
    pub troubles: Vec<Trouble>,
    /// What the apps, and tenants' own policy engines, were signed with.
    pub(crate) papers: Vec<Papers>,
}

/// Who may sign what, and the components that every tenant's gate is made of.
pub(crate) struct Common {
    root: TrustRoot,
    gate: Verified,
    policy: Verified,
    limiter: Verified,
    now: Timestamp,
}

impl Common {
    /// Reads and verifies them. Blocks.
    pub(crate) fn read(config: &Config) -> Result<Self, HouseError> {
        let root = TrustRoot::read(&config.trust)?;
        let now = Timestamp::now();
        let part = |key, path: &Path| {
            verify_file(path, MAX_COMPONENT_BYTES, &root, now)
                .map_err(|source| HouseError::Part { key, source })
        };
        Ok(Self {
            gate: part("gate.gate", &config.gate.gate)?,
            policy: part("gate.policy", &config.gate.policy)?,
            limiter: part("gate.limiter", &config.gate.limiter)?,
            root,
            now,
        })
    }

    /// A component that may be loaded. Blocks.
    pub(crate) fn verify(&self, path: &Path) -> Result<Verified, FileError> {
        verify_file(path, MAX_COMPONENT_BYTES, &self.root, self.now)
    }

    /// The parts of a tenant's gate, with a policy engine of its own if it has one.
    pub(crate) fn parts(&self, policy: Option<Verified>) -> GateParts {
        GateParts {
            gate: self.gate.clone(),
            policy: policy.unwrap_or_else(|| self.policy.clone()),
            limiter: self.limiter.clone(),
        }
    }
}

/// Loads everything that a configuration names. Tenants and apps are worked on side by side; the code is compiled on
/// threads that serve nobody.
///
/// # Errors
/// What all tenants need and is not fit.
pub async fn load(runtime: &Arc<Runtime>, config: &Config) -> Result<Loaded, HouseError> {
    let config = Arc::new(config.clone());
    let common = blocking({
        let config = config.clone();
        move || Common::read(&config)
    })
    .await??;
    let common = Arc::new(common);
    let all = (0..config.tenants.len()).map(|index| tenant::load(runtime, &common, &config, index));
    let (mut tenants, mut routes, mut apps, mut troubles) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut papers = Vec::new();
    let mut loading = stream::iter(all).buffered(LOADED_AT_ONCE);
    while let Some(loaded) = loading.next().await {
        tenants.extend(loaded.tenant);
        routes.extend(loaded.routes);
        apps.extend(loaded.apps);
        troubles.extend(loaded.troubles);
        papers.extend(loaded.papers);
    }
    Ok(Loaded { house: House::new(tenants, routes)?, apps, troubles, papers })
}

/// The gas schedule that a configuration names, or the one that is built in.
///
/// # Errors
/// If the file can't be read, or is not fit for this host.
pub fn read_schedule(config: &Config) -> Result<Schedule, HouseError> {
    match schedule_text(config)? {
        Some((path, text)) => Schedule::parse(&text).map_err(|source| HouseError::Schedule { path, source }),
        None => Ok(Schedule::default()),
    }
}

/// The text of the gas schedule that a configuration names, and its file.
fn schedule_text(config: &Config) -> Result<Option<(PathBuf, String)>, HouseError> {
    let Some(path) = config.gas.clone() else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(source) => Err(HouseError::ScheduleFile { path, source }),
    }
}

/// Does blocking work away from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HouseError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| HouseError::Stopping)
}
