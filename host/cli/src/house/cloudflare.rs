//! From a configuration to what the Cloudflare adapter makes a bundle of: every component verified, every policy read.

use super::edge::{EdgeError, setting};
use super::{Common, HouseError, schedule_text};
use crate::config::{self, Config};
use http::Uri;
use std::path::Path;
use tollgate_cloudflare::{App, Gas, Site, Source, Tenant};
use tollgate_runtime::{Name, Schedule};
use tollgate_trust::Verified;

/// An app that is a server behind the gate: whose it is, its name, and where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginOf {
    /// The tenant.
    pub tenant: Name,
    /// The app.
    pub app: Name,
    /// Scheme, host and port.
    pub origin: Uri,
}

/// Reads and verifies everything that a configuration names. Apps in `origins` are servers, and their components are
/// not read.
///
/// # Errors
/// The first thing that is not fit.
pub fn cloudflare(config: &Config, origins: &[OriginOf]) -> Result<Site, EdgeError> {
    for OriginOf { tenant, app, .. } in origins {
        let known = config.tenant(tenant.as_str()).is_some_and(|it| it.apps.iter().any(|it| it.name == *app));
        if !known {
            return Err(EdgeError::NoApp { tenant: tenant.clone(), app: app.clone() });
        }
    }
    let common = Common::read(config)?;
    let audit = verify(&common, "audit.component".into(), &config.audit.component)?;
    let tenants = config.tenants.iter().map(|one| tenant(&common, one, origins)).collect::<Result<_, _>>()?;
    Ok(Site { origin: config.audit.origin.clone(), audit, tenants })
}

/// The gas schedule of a configuration, as apps count by it and as the worker charges by it.
///
/// # Errors
/// If its file can't be read, or is not fit.
pub fn gas(config: &Config) -> Result<Gas, HouseError> {
    let Some((path, text)) = schedule_text(config)? else {
        return Ok(Gas { operators: tollgate_derive::Schedule::default(), prices: Schedule::default() });
    };
    let prices =
        Schedule::parse(&text).map_err(|source| HouseError::Schedule { path: path.clone(), source })?;
    let operators =
        tollgate_derive::Schedule::parse(&text).map_err(|source| HouseError::Operators { path, source })?;
    Ok(Gas { operators, prices })
}

fn verify(common: &Common, key: String, path: &Path) -> Result<Verified, EdgeError> {
    common.verify(path).map_err(|source| EdgeError::Component { what: format!("`{key}`"), source })
}

fn tenant(common: &Common, tenant: &config::Tenant, origins: &[OriginOf]) -> Result<Tenant, EdgeError> {
    let own = tenant.policy.component.as_deref();
    let own = own.map(|path| verify(common, format!("tenants.{}.policy.component", tenant.name), path));
    let apps = tenant.apps.iter().map(|one| app(common, &tenant.name, one, origins));
    Ok(Tenant {
        setting: setting(tenant)?,
        gate: common.parts(own.transpose()?),
        totals: tenant.totals.clone(),
        apps: apps.collect::<Result<_, _>>()?,
    })
}

fn app(common: &Common, tenant: &Name, app: &config::App, origins: &[OriginOf]) -> Result<App, EdgeError> {
    let origin = origins.iter().find(|origin| origin.tenant == *tenant && origin.app == app.name);
    let source = match origin {
        Some(origin) => Source::Origin(origin.origin.clone()),
        None => {
            let key = format!("tenants.{tenant}.apps.{}.component", app.name);
            Source::Component(Box::new(verify(common, key, &app.component)?))
        }
    };
    Ok(App { name: app.name.clone(), source, limits: app.limits.clone(), grants: app.grants.clone() })
}
