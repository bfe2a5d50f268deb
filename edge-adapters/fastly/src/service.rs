//! What a service is to do, and whether Fastly can do it.

use std::fmt;
use tollgate_fastly_front as front;
use tollgate_runtime::{
    BucketSetting, Client, Consistency, FailureMode, KeyField, Limits, Name, Origin, RouteSetting,
    TenantSetting, Unit,
};
use tollgate_trust::Verified;

/// Everything of a checked configuration that a service is made of.
#[derive(Clone)]
pub struct Service {
    /// The package's name.
    pub name: Name,
    /// The tenants, sorted by name.
    pub tenants: Vec<Tenant>,
}

/// A tenant.
#[derive(Clone)]
pub struct Tenant {
    /// What every platform is told of it.
    pub setting: TenantSetting,
    /// Its apps, sorted by name.
    pub apps: Vec<App>,
}

/// An app, which an origin runs.
#[derive(Clone)]
pub struct App {
    /// Its name.
    pub name: Name,
    /// Its component. Policies see the digest; that the origin runs it is for the operator to see to.
    pub component: Verified,
    /// Where it runs.
    pub origin: Option<Origin>,
    /// What it may take; of these, the front holds those of bodies.
    pub limits: Limits,
}

/// Something that Fastly can't give, where it is asked for, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What asks for it, such as `tenants.acme.buckets.burst`.
    pub place: String,
    /// What it is, and what to change.
    pub text: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]: {}", self.place, self.text)
    }
}

const NO_ORIGIN: &str =
    "Fastly runs the gate and not the app: add `origin = \"https://…\"`, where the app runs";
const EXACT: &str = "counts on Fastly are not exact: add `consistency = \"approximate\"`, or count elsewhere";
const GAS: &str = "an origin's gas is not known here: count requests (`unit = \"requests\"`)";
const OPEN: &str = "a gate that traps takes the whole service instance with it, so no route can stay open: \
                    write `failure = \"closed\"`";

impl Service {
    /// The settings of the front.
    ///
    /// # Errors
    /// Everything that Fastly can't give.
    pub(crate) fn settings(&self) -> Result<front::Settings, Vec<Problem>> {
        let problems: Vec<Problem> = self.tenants.iter().flat_map(Tenant::problems).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(front::Settings {
            log: crate::RECORDS.to_owned(),
            counts: crate::COUNTS.to_owned(),
            tenants: self.tenants.iter().map(Tenant::settings).collect(),
        })
    }

    /// The origins, with the names of the service's backends.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (String, &Origin)> {
        self.tenants.iter().flat_map(|tenant| {
            tenant.apps.iter().filter_map(|app| Some((tenant.backend(&app.name), app.origin.as_ref()?)))
        })
    }
}

impl Tenant {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |place: String, text| {
            problems.push(Problem { place: format!("tenants.{}.{place}", self.setting.name), text })
        };
        for bucket in &self.setting.buckets {
            let place = || format!("buckets.{}", bucket.name);
            if bucket.unit == Unit::Gas {
                add(place(), GAS);
            }
            if bucket.consistency == Consistency::Exact {
                add(place(), EXACT);
            }
        }
        for app in self.apps.iter().filter(|app| app.origin.is_none()) {
            if self.setting.routes.iter().any(|route| route.app == app.name) {
                add(format!("apps.{}", app.name), NO_ORIGIN);
            }
        }
        for route in self.setting.routes.iter().filter(|route| route.failure == FailureMode::Open) {
            add(format!("routes.{}", route.name), OPEN);
        }
        problems
    }

    /// The name of the backend of an app. No name has a `_` in it, so no two apps have the same.
    fn backend(&self, app: &Name) -> String {
        format!("{}_{app}", self.setting.name)
    }

    fn settings(&self) -> front::Tenant {
        let TenantSetting { name, policy, buckets, clients, routes } = &self.setting;
        front::Tenant {
            name: name.to_string(),
            policy: policy.clone(),
            buckets: buckets.iter().map(bucket).collect(),
            clients: clients.iter().map(client).collect(),
            // A route without its app is none: the configuration has seen to that.
            routes: routes.iter().filter_map(|route| self.route(route)).collect(),
        }
    }

    fn route(&self, route: &RouteSetting) -> Option<front::Route> {
        let app = self.apps.iter().find(|app| app.name == route.app)?;
        Some(front::Route {
            name: route.name.to_string(),
            host: route.host.to_string(),
            path: route.path.clone(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
            app: route.app.to_string(),
            component: app.component.blake3().to_string(),
            origin: self.backend(&route.app),
            buckets: route.buckets.iter().map(ToString::to_string).collect(),
            headers: route.headers.iter().map(ToString::to_string).collect(),
            request_body_bytes: app.limits.request_body_bytes,
            response_body_bytes: app.limits.response_body_bytes,
        })
    }
}

fn bucket(bucket: &BucketSetting) -> front::Bucket {
    let field = |field: &KeyField| match field {
        KeyField::Tenant => front::KeyField::Tenant,
        KeyField::App => front::KeyField::App,
        KeyField::Route => front::KeyField::Route,
        KeyField::Actor => front::KeyField::Actor,
        KeyField::ClientAddress => front::KeyField::ClientAddress,
    };
    front::Bucket {
        name: bucket.name.to_string(),
        quota: bucket.quota,
        window: u64::try_from(bucket.window.as_nanos()).unwrap_or(u64::MAX),
        key: bucket.key.iter().map(field).collect(),
    }
}

fn client(client: &Client) -> front::Client {
    front::Client {
        name: client.name.to_string(),
        token_sha256: hex::encode(client.token_sha256),
        groups: client.groups.iter().map(ToString::to_string).collect(),
    }
}
