//! What is configured of a tenant, checked and not yet loaded: the same for this host and for every other platform.

use crate::gate::{BucketSetting, FailureMode};
use crate::names::Name;
use crate::route::Client;
use http::{HeaderName, Method};
use tollgate_request::HostPattern;

/// What every platform is told of a tenant, whatever runs its apps.
#[derive(Debug, Clone)]
pub struct TenantSetting {
    /// Its name.
    pub name: Name,
    /// What its policy engine is configured with: text.
    pub policy: String,
    /// Its quotas.
    pub buckets: Vec<BucketSetting>,
    /// The callers that it knows.
    pub clients: Vec<Client>,
    /// Its routes.
    pub routes: Vec<RouteSetting>,
}

/// A route, by the name of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSetting {
    /// Its name, unique in its tenant.
    pub name: Name,
    /// The hosts asked for.
    pub host: HostPattern,
    /// What the path begins with, whole segments: `/api` is for `/api` and `/api/x`, and not for `/apix`.
    pub path: String,
    /// The methods; empty for all.
    pub methods: Vec<Method>,
    /// The app that answers.
    pub app: Name,
    /// The quotas that a request draws on.
    pub buckets: Vec<Name>,
    /// The request headers that the gate sees.
    pub headers: Vec<HeaderName>,
    /// What to do while the gate can't decide.
    pub failure: FailureMode,
}
