//! What a bundle is made of. Everything in it was checked where it was read.

use http::{HeaderName, Method, Uri};
use tollgate_runtime::{
    BucketSetting, Client, FailureMode, GateParts, Grants, HostPattern, Limits, Name, TenantTotals,
};
use tollgate_trust::Verified;

/// Everything that one worker serves.
pub struct Site {
    /// The audit log's name in its checkpoints.
    pub origin: String,
    /// The component that writes the log.
    pub audit: Verified,
    /// The tenants.
    pub tenants: Vec<Tenant>,
}

/// A tenant.
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What its gate is composed of.
    pub gate: GateParts,
    /// What its policy engine is configured with: text.
    pub policy: String,
    /// What its apps may take together.
    pub totals: TenantTotals,
    /// Its quotas.
    pub buckets: Vec<BucketSetting>,
    /// The callers that it knows.
    pub clients: Vec<Client>,
    /// Its apps.
    pub apps: Vec<App>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// An app of a tenant.
pub struct App {
    /// Its name.
    pub name: Name,
    /// What answers.
    pub source: Source,
    /// What one run may take.
    pub limits: Limits,
    /// What it is given.
    pub grants: Grants,
}

/// What answers for an app.
pub enum Source {
    /// A component, run in the worker.
    Component(Box<Verified>),
    /// A server behind the gate: scheme, host and port, without a path.
    Origin(Uri),
}

/// A route.
pub struct Route {
    /// Its name, unique in its tenant.
    pub name: Name,
    /// The hosts.
    pub host: HostPattern,
    /// What the path begins with, whole segments.
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

/// How the worker is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The worker's name.
    pub name: Name,
    /// Where clients' addresses come from, on the platform.
    pub client_address: ClientAddress,
}

/// Where a client's address comes from. Nothing else is believed: any other header can be made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAddress {
    /// `cf-connecting-ip`, which the platform sets and no client can.
    #[default]
    CfConnectingIp,
    /// Every client has the address 127.0.0.1: for a machine of one's own, where nothing sets the header.
    Loopback,
}

impl ClientAddress {
    /// The value of the worker's binding.
    pub(crate) fn binding(self) -> &'static str {
        match self {
            Self::CfConnectingIp => "cf-connecting-ip",
            Self::Loopback => "127.0.0.1",
        }
    }
}
