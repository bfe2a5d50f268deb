//! Apps that run in the service, and what Fastly can't give of what they ask.

use crate::compose::{ComposeError, Embedded, Parts, inspect, meeting};
use crate::service::{App, Problem, Service, Tenant};
use tollgate_runtime::{Inspection, Limits, Mode};

/// How an app must be called.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

/// An app of the service, by its tenant.
pub(crate) struct Placed<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) app: &'a App,
}

/// Every app that the service runs: those without an origin that a route leads to. Their places are their numbers.
pub(crate) fn placed(service: &Service) -> Vec<Placed<'_>> {
    let of = |tenant: &'_ Tenant, app: &App| {
        app.origin.is_none() && tenant.setting.routes.iter().any(|route| route.app == app.name)
    };
    let tenants = service.tenants.iter();
    tenants
        .flat_map(|tenant| tenant.apps.iter().map(move |app| Placed { tenant, app }))
        .filter(|placed| of(placed.tenant, placed.app))
        .collect()
}

impl Placed<'_> {
    pub(crate) fn is(&self, tenant: &Tenant, app: &App) -> bool {
        self.tenant.setting.name == tenant.setting.name && self.app.name == app.name
    }

    /// The app's name with its tenant's.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.tenant.setting.name, self.app.name)
    }
}

/// The apps as they stand in the composition.
///
/// # Errors
/// Components that can't be read. Inside, what is asked and can't be given.
pub(crate) fn embedded<'a>(
    placed: &[Placed<'a>],
    parts: &Parts,
) -> Result<Result<Vec<Embedded<'a>>, Vec<Problem>>, ComposeError> {
    let offered = inspect("wasi", &parts.wasi)?.exports;
    let (mut apps, mut problems) = (Vec::new(), Vec::new());
    for one in placed {
        let inspection = inspect(&one.name(), &one.app.component)?;
        let mut wrong = asked(one.app);
        if placed.iter().any(|other| other.tenant.setting.name != one.tenant.setting.name) {
            wrong.push(MANY.to_owned());
        }
        match handler(&inspection) {
            Ok(handler) => {
                wrong.extend(unmet(one.app, &inspection, &offered));
                apps.push(Embedded { component: &one.app.component, inspection, handler });
            }
            Err(reason) => wrong.push(reason),
        }
        let place = format!("tenants.{}.apps.{}", one.tenant.setting.name, one.app.name);
        problems.extend(wrong.into_iter().map(|text| Problem { place: place.clone(), text }));
    }
    Ok(if problems.is_empty() { Ok(apps) } else { Err(problems) })
}

const MANY: &str = "a sandbox holds the apps of one tenant: build a service for each tenant, or add \
                    `origin = \"https://…\"`, where the app runs";

/// What is asked beside imports.
fn asked(app: &App) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Mode::Concurrent(_) = app.mode {
        wrong.push("one instance has one request at a time here: write `mode = \"serial\"`".to_owned());
    }
    let (is, usual) = (&app.limits, Limits::default());
    for (key, is_usual) in [
        ("fuel", is.fuel == usual.fuel),
        ("gas", is.gas == usual.gas),
        ("cpu-ms", is.cpu == usual.cpu),
        ("deadline-ms", is.deadline == usual.deadline),
        ("host-wait-ms", is.host_wait == usual.host_wait || is.host_wait == is.deadline),
        ("memory-bytes", is.memory_bytes == usual.memory_bytes),
        ("handles", is.handles == usual.handles),
        ("host-calls", is.host_calls == usual.host_calls),
        ("host-call-bytes", is.host_call_bytes == usual.host_call_bytes),
    ] {
        if !is_usual {
            wrong.push(format!(
                "`{key}` can't be set here, where the platform has bounds of its own on time and memory: leave it out"
            ));
        }
    }
    let many =
        app.grants.http.iter().flat_map(|egress| &egress.allow).filter(|origin| origin.only().is_none());
    wrong.extend(many.map(|origin| {
        format!("a service asks backends that it names, and `{origin}` stands for many: allow each origin")
    }));
    wrong
}

/// The first import that was not granted, or that the service does not have.
fn unmet(app: &App, inspection: &Inspection, offered: &[String]) -> Option<String> {
    if let Some(import) = inspection.imports.iter().find(|import| meeting(offered, &import.name).is_none()) {
        return Some(format!("it imports `{}`, which the Fastly adapter does not have", import.name));
    }
    let import = inspection.ungranted(&app.grants)?;
    let line = import.grant.map_or_else(String::new, |line| format!(": add `{line}` to its grants"));
    Some(format!("it imports `{}`, which was not granted{line}", import.name))
}

fn handler(inspection: &Inspection) -> Result<String, String> {
    let exports = |start: &str| inspection.exports.iter().find(|name| name.starts_with(start));
    match (exports(HANDLER), exports("wasi:http/handler@0.3.")) {
        (Some(handler), _) => Ok(handler.clone()),
        (None, Some(_)) => {
            Err("it is written for wasi:http 0.3, which needs an asynchronous engine: build it for \
                                0.2, or add `origin = \"https://…\"`, where the app runs"
                .to_owned())
        }
        (None, None) => Err("it exports no `wasi:http/incoming-handler@0.2`".to_owned()),
    }
}
