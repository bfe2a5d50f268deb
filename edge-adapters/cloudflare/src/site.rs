//! What a bundle is made of. Everything in it was checked where it was read.

use http::Uri;
use tollgate_runtime::{GateParts, Grants, Limits, Name, TenantSetting, TenantTotals};
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
    /// What every platform is told of it.
    pub setting: TenantSetting,
    /// What its gate is composed of.
    pub gate: GateParts,
    /// What its apps may take together.
    pub totals: TenantTotals,
    /// Its apps.
    pub apps: Vec<App>,
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

/// How the worker is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The worker's name.
    pub name: Name,
    /// Where clients' addresses come from, on the platform.
    pub client_address: ClientAddress,
    /// By what its apps count gas; none where nobody counts it.
    pub gas: Option<Gas>,
}

/// A gas schedule: what is charged inside of apps, and what the worker charges around them. Both are of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gas {
    /// What operators cost.
    pub operators: tollgate_derive::Schedule,
    /// What fuel, calls, bytes and memory cost.
    pub prices: tollgate_runtime::Schedule,
}

impl Gas {
    /// The fuel that a run may use: no more than its gas would buy, as on the server.
    pub(crate) fn fuel_limit(&self, limits: &Limits) -> u64 {
        limits.fuel.min(limits.gas / self.prices.fuel(1).max(1))
    }
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
