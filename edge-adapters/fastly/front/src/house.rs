//! From settings to what requests meet.

use crate::bindings::tollgate::gate::admission::{self, GateConfig, Quota, RoutePlan};
use crate::bindings::tollgate::gate::types;
use crate::settings::{Bucket, KeyField, Route, Settings, Tenant};
use http::Method;
use http::header::HeaderName;
use sha2::{Digest, Sha256};
use std::rc::Rc;
use tollgate_request::{HostPattern, Table};

/// Settings that can't be served.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They are not in the form that this front reads.
    #[error("the settings can't be read: {0}")]
    Form(#[from] serde_json::Error),
    /// A value that nothing can be made of.
    #[error("the settings have the {what} `{value}`, which is none")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// Two routes that can't both be.
    #[error("routes `{first}` and `{second}` answer for the same requests")]
    Collision {
        /// One, as `tenant/route`.
        first: String,
        /// The other.
        second: String,
    },
}

/// Who answers for what.
#[derive(Debug)]
pub struct House {
    pub(crate) log: String,
    pub(crate) notes: String,
    /// The log endpoint for the lines of apps.
    pub(crate) output: Rc<str>,
    counts: String,
    /// How many there are.
    pub(crate) tenants: usize,
    pub(crate) table: Table<Entry>,
}

/// A route with its tenant.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) tenant: Rc<Tenant>,
    pub(crate) route: Rc<Route>,
    /// The headers that the gate may see.
    pub(crate) shown: Rc<[HeaderName]>,
}

impl House {
    /// Reads and checks settings.
    ///
    /// # Errors
    /// What this front could not serve. The bundler asks, so that no bundle has such settings.
    pub fn read(settings: &[u8]) -> Result<Self, SettingsError> {
        let Settings { log, notes, output, counts, tenants } = serde_json::from_slice(settings)?;
        let mut table = Table::default();
        let count = tenants.len();
        for tenant in tenants {
            let tenant = Rc::new(tenant);
            for route in &tenant.routes {
                let entry = Entry::read(&tenant, route)?;
                let methods = route.methods.iter().map(|text| method(text)).collect::<Result<Vec<_>, _>>()?;
                let host = host(&route.host);
                table.add(&host, &route.path, &methods, entry).map_err(|taken: &Entry| {
                    SettingsError::Collision {
                        first: format!("{}/{}", taken.tenant.name, taken.route.name),
                        second: format!("{}/{}", tenant.name, route.name),
                    }
                })?;
            }
        }
        Ok(Self { log, notes, output: output.into(), counts, tenants: count, table })
    }

    /// What the gate is configured with for a tenant.
    pub(crate) fn gate(&self, tenant: &Tenant) -> GateConfig {
        let plan = |route: &Route| RoutePlan {
            route: format!("{}/{}", tenant.name, route.name),
            buckets: route.buckets.clone(),
        };
        GateConfig {
            policy: tenant.policy.clone().into_bytes(),
            quotas: tenant.buckets.iter().map(quota).collect(),
            routes: tenant.routes.iter().map(plan).collect(),
            store: self.counts.clone(),
        }
    }
}

impl Entry {
    fn read(tenant: &Rc<Tenant>, route: &Route) -> Result<Self, SettingsError> {
        let named = |name: &String| {
            name.parse().map_err(|_| SettingsError::Value { what: "header", value: name.clone() })
        };
        let shown = route.headers.iter().map(named).collect::<Result<_, _>>()?;
        Ok(Self { tenant: tenant.clone(), route: Rc::new(route.clone()), shown })
    }

    /// The client of this bearer token. Tokens are told apart by their hash, so how long a comparison takes says
    /// nothing about a token.
    pub(crate) fn client(&self, token: &str) -> Option<&crate::Client> {
        if self.tenant.clients.is_empty() {
            return None;
        }
        let hash = hex::encode(Sha256::digest(token.as_bytes()));
        self.tenant.clients.iter().find(|client| client.token_sha256 == hash)
    }
}

fn host(text: &str) -> HostPattern {
    match text.strip_prefix("*.") {
        Some(below) => HostPattern::Below(below.to_owned()),
        None if text == "*" => HostPattern::Any,
        None => HostPattern::Exact(text.to_owned()),
    }
}

fn method(text: &str) -> Result<Method, SettingsError> {
    text.parse().map_err(|_| SettingsError::Value { what: "method", value: text.to_owned() })
}

fn quota(bucket: &Bucket) -> Quota {
    let field = |field: &KeyField| match field {
        KeyField::Tenant => admission::KeyField::Tenant,
        KeyField::App => admission::KeyField::App,
        KeyField::Route => admission::KeyField::Route,
        KeyField::Actor => admission::KeyField::Actor,
        KeyField::ClientAddress => admission::KeyField::ClientAddress,
    };
    Quota {
        bucket: types::Bucket {
            name: bucket.name.clone(),
            unit: types::Unit::Requests,
            quota: bucket.quota,
            window: bucket.window,
        },
        key: bucket.key.iter().map(field).collect(),
        reserve: 0,
    }
}

#[cfg(test)]
pub(crate) mod tests;
