//! From a configuration to what an edge adapter bundles. The same files mean the same as on a server; but where one
//! tenant's fault is that tenant's alone there, here everything is made or nothing.

use super::{Common, HouseError, tenant};
use crate::config::{self, Config};
use std::path::{Path, PathBuf};
use tollgate_fastly::{App, Parts, Service, Tenant};
use tollgate_runtime::{Name, TenantSetting};
use tollgate_trust::Verified;
use tollgate_trust::file::FileError;

/// A configuration that no service can be made of.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// What all tenants need and is not fit.
    #[error(transparent)]
    House(#[from] HouseError),
    /// A component may not be loaded.
    #[error("{what}")]
    Component {
        /// What the component is.
        what: String,
        /// Why.
        source: FileError,
    },
    /// A policy can't be read.
    #[error("tenant `{tenant}`: {reason}")]
    Policy {
        /// Whose it is.
        tenant: Name,
        /// Why.
        reason: String,
    },
    /// An origin was given for an app that is not there.
    #[error("there is no app `{tenant}/{app}` to have an origin")]
    NoApp {
        /// The tenant.
        tenant: Name,
        /// The app.
        app: Name,
    },
    /// Tenants bring different policy engines.
    #[error(
        "tenants `{first}` and `{second}` have different policy engines, and a service has one: build a service for each"
    )]
    Engines {
        /// One.
        first: Name,
        /// The other.
        second: Name,
    },
}

/// Reads and verifies everything that a Fastly service is made of. The adapter's own parts are in `parts`; if that is
/// none, beside the gate. Blocks.
///
/// # Errors
/// The first thing that is not fit.
pub fn fastly(config: &Config, name: &Name, parts: Option<&Path>) -> Result<(Service, Parts), EdgeError> {
    let common = Common::read(config)?;
    let verify = |what: String, path: &Path| {
        common.verify(path).map_err(|source| EdgeError::Component { what, source })
    };
    let beside = config.gate.gate.parent().unwrap_or(Path::new(""));
    let own = |part: &str| {
        let path = parts.unwrap_or(beside).join(format!("tollgate-fastly-{part}.wasm"));
        verify(format!("the adapter's {part}"), &path)
    };
    let engine = match engine(config)? {
        Some((tenant, path)) => Some(verify(format!("the policy component of tenant `{tenant}`"), path)?),
        None => None,
    };
    let tenants = config.tenants.iter().map(|tenant| read(tenant, verify)).collect::<Result<_, _>>()?;
    let gate = common.parts(engine);
    let parts = Parts { gate, front: own("front")?, backend: own("backend")?, wasi: own("wasi")? };
    Ok((Service { name: name.clone(), tenants }, parts))
}

/// The policy engine that all tenants have; none for the house's own.
fn engine(config: &Config) -> Result<Option<(&Name, &PathBuf)>, EdgeError> {
    let mut engines = config.tenants.iter().map(|tenant| (&tenant.name, tenant.policy.component.as_ref()));
    let Some((first, engine)) = engines.next() else { return Ok(None) };
    match engines.find(|(_, other)| *other != engine) {
        Some((second, _)) => Err(EdgeError::Engines { first: first.clone(), second: second.clone() }),
        None => Ok(engine.map(|path| (first, path))),
    }
}

fn read(
    tenant: &config::Tenant,
    verify: impl Fn(String, &Path) -> Result<Verified, EdgeError>,
) -> Result<Tenant, EdgeError> {
    let app = |app: &config::App| {
        Ok(App {
            name: app.name.clone(),
            component: verify(format!("app `{}/{}`", tenant.name, app.name), &app.component)?,
            origin: app.origin.clone(),
            mode: app.mode,
            limits: app.limits.clone(),
            grants: app.grants.clone(),
        })
    };
    let apps = tenant.apps.iter().map(app).collect::<Result<_, EdgeError>>()?;
    Ok(Tenant { setting: setting(tenant)?, apps })
}

/// What every edge is told of a tenant. Reads its policy.
pub(super) fn setting(tenant: &config::Tenant) -> Result<TenantSetting, EdgeError> {
    let policy = tenant::policy_text(&tenant.policy)
        .map_err(|reason| EdgeError::Policy { tenant: tenant.name.clone(), reason })?;
    Ok(TenantSetting {
        name: tenant.name.clone(),
        policy,
        buckets: tenant.buckets.clone(),
        clients: tenant.clients.clone(),
        routes: tenant.routes.clone(),
    })
}
