//! What a service is to do, and whether Fastly can do it.

use std::fmt;
use tollgate_fastly_front as front;
use tollgate_runtime::{
    BucketSetting, Client, Consistency, FailureMode, Grants, KeyField, Limits, Mode, Name, Origin,
    OriginPattern, RouteSetting, TenantSetting, Unit,
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

/// An app, which the service runs, or an origin.
#[derive(Clone)]
pub struct App {
    /// Its name.
    pub name: Name,
    /// Its component. Policies see the digest; that an origin runs it is for the operator to see to.
    pub component: Verified,
    /// Where it runs, if not in the service.
    pub origin: Option<Origin>,
    /// How an instance is used in the service.
    pub mode: Mode,
    /// What it may take.
    pub limits: Limits,
    /// What it is given in the service.
    pub grants: Grants,
}

/// Something that Fastly can't give, where it is asked for, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What asks for it, such as `tenants.acme.buckets.burst`.
    pub place: String,
    /// What it is, and what to change.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]: {}", self.place, self.text)
    }
}

const EXACT: &str = "counts on Fastly are not exact: add `consistency = \"approximate\"`, or count elsewhere";
const GAS: &str = "nothing is metered on Fastly: count requests (`unit = \"requests\"`)";
const OPEN: &str = "a gate that traps takes the whole service instance with it, so no route can stay open: \
                    write `failure = \"closed\"`";

impl Service {
    /// The settings of the front. `number` tells which app of the service a tenant's app is.
    ///
    /// # Errors
    /// Everything that Fastly can't give, but for what apps ask of it.
    pub(crate) fn settings(
        &self,
        number: impl Fn(&Tenant, &App) -> Option<u32>,
    ) -> Result<front::Settings, Vec<Problem>> {
        let problems: Vec<Problem> = self.tenants.iter().flat_map(Tenant::problems).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(front::Settings {
            log: crate::RECORDS.to_owned(),
            notes: crate::NOTES.to_owned(),
            output: crate::OUTPUT.to_owned(),
            counts: crate::COUNTS.to_owned(),
            tenants: self.tenants.iter().map(|tenant| tenant.settings(|app| number(tenant, app))).collect(),
        })
    }

    /// Whatever is asked from the service, with the names of its backends: where apps run, and what apps may ask.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (String, &Origin)> {
        self.tenants.iter().flat_map(|tenant| {
            tenant.apps.iter().flat_map(move |app| {
                let runs_at = app.origin.as_ref().map(|origin| (tenant.backend(&app.name), origin));
                runs_at.into_iter().chain(tenant.asked(app).map(|(_, name, origin)| (name, origin)))
            })
        })
    }
}

impl Tenant {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |place: String, text: &str| {
            let place = format!("tenants.{}.{place}", self.setting.name);
            problems.push(Problem { place, text: text.to_owned() });
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
        for route in self.setting.routes.iter().filter(|route| route.failure == FailureMode::Open) {
            add(format!("routes.{}", route.name), OPEN);
        }
        problems
    }

    /// The name of the backend of an app. No name has a `_` in it, so no two apps have the same.
    fn backend(&self, app: &Name) -> String {
        format!("{}_{app}", self.setting.name)
    }

    /// The origins that an app of the service may ask, each with its backend's name.
    fn asked<'a>(&'a self, app: &'a App) -> impl Iterator<Item = (String, String, &'a Origin)> {
        let granted = app.grants.http.iter().filter(|_| app.origin.is_none());
        let origins = granted.flat_map(|egress| egress.allow.iter().filter_map(OriginPattern::only));
        let backend = self.backend(&app.name);
        origins.enumerate().map(move |(n, origin)| (origin.to_string(), format!("{backend}_{n}"), origin))
    }

    fn settings(&self, number: impl Fn(&App) -> Option<u32>) -> front::Tenant {
        let TenantSetting { name, policy, buckets, clients, routes } = &self.setting;
        front::Tenant {
            name: name.to_string(),
            policy: policy.clone(),
            buckets: buckets.iter().map(bucket).collect(),
            clients: clients.iter().map(client).collect(),
            // A route without its app is none: the configuration has seen to that.
            routes: routes.iter().filter_map(|route| self.route(route, &number)).collect(),
        }
    }

    fn route(&self, route: &RouteSetting, number: impl Fn(&App) -> Option<u32>) -> Option<front::Route> {
        let app = self.apps.iter().find(|app| app.name == route.app)?;
        let place = match number(app) {
            Some(number) => front::Place::Component(self.component(app, number)),
            None => front::Place::Origin(self.backend(&app.name)),
        };
        Some(front::Route {
            name: route.name.to_string(),
            host: route.host.to_string(),
            path: route.path.clone(),
            methods: route.methods.iter().map(ToString::to_string).collect(),
            app: route.app.to_string(),
            component: app.component.blake3().to_string(),
            place,
            buckets: route.buckets.iter().map(ToString::to_string).collect(),
            headers: route.headers.iter().map(ToString::to_string).collect(),
            request_body_bytes: app.limits.request_body_bytes,
            response_body_bytes: app.limits.response_body_bytes,
        })
    }

    /// An app of the service, with what it has for one run.
    fn component(&self, app: &App, number: u32) -> front::Component {
        let Limits { outgoing_requests, header_bytes, log_lines, log_line_bytes, .. } = app.limits;
        front::Component {
            number,
            reuse: match app.mode {
                Mode::Serial { reuse } => reuse,
                Mode::Fresh | Mode::Reset | Mode::Concurrent(_) => 1,
            },
            origins: self.asked(app).map(|(origin, backend, _)| (origin, backend)).collect(),
            environment: app.grants.environment.clone(),
            config: app.grants.config.clone().unwrap_or_default(),
            outgoing_requests: u64::from(outgoing_requests),
            header_bytes: header_bytes as u64,
            log_lines: u64::from(log_lines),
            log_line_bytes: log_line_bytes as u64,
        }
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
