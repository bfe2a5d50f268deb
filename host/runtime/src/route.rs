//! Who answers for which host and path: a table made at load, where a collision is an error.

use crate::account::{Account, Spent};
use crate::gate::{FailureMode, Gate};
use crate::gauge::Used;
use crate::limits::TenantTotals;
use crate::load::App;
use crate::names::Name;
use http::{HeaderName, Method};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tollgate_request::{HostPattern, Table};

/// A tenant: its gate, its clients and its totals.
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What it may take in all.
    pub totals: TenantTotals,
    /// Its gate.
    pub gate: Arc<Gate>,
    /// The clients that it knows.
    pub clients: Vec<Client>,
}

/// A client that a tenant knows by its token.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its name: the actor's id.
    pub name: Name,
    /// SHA-256 of the bearer token. The token itself is nowhere on the host.
    pub token_sha256: [u8; 32],
    /// The groups it is in.
    pub groups: Vec<Name>,
}

impl Client {
    /// The client of this bearer token. Tokens are told apart by their hash, so how long a comparison takes says
    /// nothing about a token.
    pub(crate) fn known<'a>(clients: &'a [Self], token: &str) -> Option<&'a Self> {
        if clients.is_empty() {
            return None;
        }
        let hash = *tollgate_trust::Sha256::of(token.as_bytes()).as_bytes();
        clients.iter().find(|client| client.token_sha256 == hash)
    }
}

/// A route: where it is, who answers, and what the gate sees.
#[derive(Clone)]
pub struct Route {
    /// Whose it is.
    pub tenant: Name,
    /// Its name.
    pub name: Name,
    /// The hosts.
    pub host: HostPattern,
    /// The path and everything below it. Begins with `/`; a final `/` means nothing.
    pub path: String,
    /// The methods; empty for all.
    pub methods: Vec<Method>,
    /// The app's name.
    pub app_name: Name,
    /// The app; none when it was refused at load.
    pub app: Option<Arc<App>>,
    /// Request headers that the gate may see.
    pub headers: Vec<HeaderName>,
    /// What to do while the gate can't decide.
    pub failure: FailureMode,
}

impl Route {
    /// The digest of the app's component; empty when the app was refused.
    pub(crate) fn digest(&self) -> &str {
        self.app.as_ref().map_or("", |app| app.digest())
    }
}

/// Two routes that can't both be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The same host, path and method lead to both.
    #[error(
        "routes `{first}` and `{second}` both answer for {host}{path}: change the host, the path or the methods of one"
    )]
    Collision {
        /// One, as `tenant/route`.
        first: String,
        /// The other.
        second: String,
        /// The host that both have.
        host: String,
        /// The path that both have.
        path: String,
    },
    /// A route names a tenant that is not there.
    #[error("route `{route}` is of tenant `{tenant}`, which is not there")]
    NoTenant {
        /// The route.
        route: Name,
        /// The tenant.
        tenant: Name,
    },
}

/// One snapshot of everything that requests meet. Never changed: a reload makes another.
pub struct House {
    tenants: HashMap<Name, Arc<Resident>>,
    routes: Table<Arc<Entry>>,
}

/// A tenant with its account.
pub(crate) struct Resident {
    pub(crate) tenant: Tenant,
    pub(crate) account: Arc<Account>,
}

/// A route with its tenant.
pub(crate) struct Entry {
    pub(crate) route: Route,
    pub(crate) resident: Arc<Resident>,
}

impl Entry {
    /// Counts this request. The threads that carry it, if not those that serve.
    pub(crate) fn background(&self) -> Option<&Handle> {
        let behind = self.resident.account.turns.count_request();
        let runtime = self.resident.tenant.gate.runtime();
        if behind { runtime.background.handle() } else { None }
    }
}

impl House {
    /// Makes the table.
    pub fn new(tenants: Vec<Tenant>, routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut house = Self { tenants: HashMap::new(), routes: Table::default() };
        for tenant in tenants {
            let account = tenant.gate.account.clone();
            house.tenants.insert(tenant.name.clone(), Arc::new(Resident { tenant, account }));
        }
        for route in routes {
            house.add(route)?;
        }
        Ok(house)
    }

    /// Counts a request that no tenant is asked for.
    pub(crate) fn count_unclaimed(&self) {
        if let Some(resident) = self.tenants.values().next() {
            resident.account.turns.count_unclaimed();
        }
    }

    fn add(&mut self, route: Route) -> Result<(), RouteError> {
        let no_tenant = || RouteError::NoTenant { route: route.name.clone(), tenant: route.tenant.clone() };
        let resident = self.tenants.get(&route.tenant).ok_or_else(no_tenant)?.clone();
        let entry = Arc::new(Entry { route: route.clone(), resident });
        self.routes.add(&route.host, &route.path, &route.methods, entry).map_err(|taken| {
            let other = &taken.route;
            let path = route.path.trim_end_matches('/');
            RouteError::Collision {
                first: format!("{}/{}", other.tenant, other.name),
                second: format!("{}/{}", route.tenant, route.name),
                host: route.host.to_string(),
                path: if path.is_empty() { "/".into() } else { path.into() },
            }
        })
    }

    /// The route for a request: the most specific host that has one, then the longest path.
    pub(crate) fn route(&self, host: &str, path: &str, method: &Method) -> Option<&Arc<Entry>> {
        self.routes.find(host, path, method)
    }

    /// The same house without apps that `gone` names by tenant and app: their routes answer that there is none.
    pub(crate) fn without(&self, gone: impl Fn(&Name, &Name) -> bool) -> Self {
        let left = |entry: &Arc<Entry>| match gone(&entry.route.tenant, &entry.route.app_name) {
            false => entry.clone(),
            true => Arc::new(Entry {
                route: Route { app: None, ..entry.route.clone() },
                resident: entry.resident.clone(),
            }),
        };
        Self { tenants: self.tenants.clone(), routes: self.routes.map(left) }
    }

    /// From now on the tenants' totals are those of this house.
    pub(crate) fn take_hold(&self) {
        self.tenants.values().for_each(|resident| resident.account.limit(&resident.tenant.totals));
    }

    /// Every tenant, with how many requests run, how many wait, and its totals.
    pub fn tenants(&self) -> impl Iterator<Item = TenantStatus<'_>> {
        self.tenants.values().map(|resident| TenantStatus {
            name: &resident.tenant.name,
            totals: &resident.tenant.totals,
            running: resident.account.places.running(),
            waiting: resident.account.places.waiting(),
            memory_bytes: resident.account.memory_used(),
            instances: resident.account.instances_used(),
            egress_bytes: resident.account.egress_used(),
            gas: resident.account.gas_used(),
            storage_bytes: resident.account.storage_used(),
            spent: resident.account.spent(),
            gate_up: resident.tenant.gate.is_up(),
        })
    }

    /// Every route that has no app because it was refused at load, as `tenant/route`.
    pub fn refused_routes(&self) -> Vec<String> {
        let refused = self.routes.iter().filter(|entry| entry.route.app.is_none());
        refused.map(|entry| format!("{}/{}", entry.route.tenant, entry.route.name)).collect()
    }
}

/// How one tenant stands.
#[derive(Debug, Clone)]
pub struct TenantStatus<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What it may take.
    pub totals: &'a TenantTotals,
    /// Requests that run now.
    pub running: usize,
    /// Requests that wait now.
    pub waiting: usize,
    /// Bytes that its instances hold.
    pub memory_bytes: Used,
    /// Its instances, idle ones included.
    pub instances: Used,
    /// Bytes that its outgoing requests moved in this hour.
    pub egress_bytes: Used,
    /// Gas that its requests used in this hour.
    pub gas: Used,
    /// Bytes that its key-value stores hold.
    pub storage_bytes: Used,
    /// What its requests have taken since the host began.
    pub spent: Spent,
    /// Whether its gate can decide.
    pub gate_up: bool,
}
