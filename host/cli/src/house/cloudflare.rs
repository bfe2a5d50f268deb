//! From a configuration to what the Cloudflare adapter makes a bundle of: every component verified, every policy read.

use super::Common;
use super::edge::EdgeError;
use super::tenant::policy_text;
use crate::config::{self, Config};
use http::Uri;
use std::path::Path;
use tollgate_cloudflare::{App, Route, Site, Source, Tenant};
use tollgate_runtime::Name;
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

fn verify(common: &Common, key: String, path: &Path) -> Result<Verified, EdgeError> {
    common.verify(path).map_err(|source| EdgeError::Component { what: format!("`{key}`"), source })
}

fn tenant(common: &Common, tenant: &config::Tenant, origins: &[OriginOf]) -> Result<Tenant, EdgeError> {
    let own = tenant.policy.component.as_deref();
    let own = own.map(|path| verify(common, format!("tenants.{}.policy.component", tenant.name), path));
    let policy = policy_text(&tenant.policy)
        .map_err(|reason| EdgeError::Policy { tenant: tenant.name.clone(), reason })?;
    let apps = tenant.apps.iter().map(|one| app(common, &tenant.name, one, origins));
    Ok(Tenant {
        name: tenant.name.clone(),
        gate: common.parts(own.transpose()?),
        policy,
        totals: tenant.totals.clone(),
        buckets: tenant.buckets.clone(),
        clients: tenant.clients.clone(),
        apps: apps.collect::<Result<_, _>>()?,
        routes: tenant.routes.iter().map(route).collect(),
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

fn route(route: &config::Route) -> Route {
    Route {
        name: route.name.clone(),
        host: route.host.clone(),
        path: route.path.clone(),
        methods: route.methods.clone(),
        app: route.app.clone(),
        buckets: route.buckets.clone(),
        headers: route.headers.clone(),
        failure: route.failure,
    }
}
