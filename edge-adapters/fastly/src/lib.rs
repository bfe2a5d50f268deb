//! A gate for Fastly Compute: the signed parts composed into one service, with a record of what went in.
//!
//! [`bundle`] is a pure function: the same [`Service`] and [`Parts`] give the same bytes. In the component that it
//! makes, the three signed components of the gate stand as they are, byte for byte, and so do the apps, between three
//! parts of this adapter: `front` (`edge-adapters/fastly/front`) meets clients, `backend` counts in a KV store, and
//! `wasi` is what apps stand on. What Fastly can't give is refused here, by name, and not found out by a client.

mod apps;
mod compose;
mod configuration;
mod manifest;
mod service;
mod switch;

pub use compose::{ComposeError, Parts};
pub use service::{App, Problem, Service, Tenant};

use std::collections::BTreeMap;
use tollgate_derive::record::{Deriver, RecordError};
use tollgate_derive::{Derived, Recipe, Source, Target};
use tollgate_fastly_front::{House, SettingsError};

/// The KV store that buckets are counted in.
pub const COUNTS: &str = "tollgate-limits";

/// The log endpoint that audit records go to.
pub const RECORDS: &str = "tollgate-audit";

/// The log endpoint for what was let in: a record for each, made before anything of it runs.
pub const NOTES: &str = "tollgate-admitted";

/// The log endpoint for what apps write to their standard output and error.
pub const OUTPUT: &str = "tollgate-output";

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The service asks for what Fastly can't give.
    #[error("this can't be kept on Fastly:{}", listed(.0))]
    Refused(Vec<Problem>),
    /// The parts don't fit together.
    #[error("the parts can't be composed")]
    Compose(#[from] ComposeError),
    /// The front would not take the settings.
    #[error("the settings are not fit")]
    Settings(#[from] SettingsError),
    /// A document can't be written.
    #[error("a document of the bundle can't be written: {0}")]
    Document(String),
    /// What it was made of can't be recorded.
    #[error("what the bundle is made of can't be recorded")]
    Record(#[from] RecordError),
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Makes the bundle of a service, ready to be packed, run in Viceroy or deployed: `bin/main.wasm`, the composed
/// component, and `fastly.toml`, what the service needs around it.
///
/// # Errors
/// Everything that Fastly can't give and the service asks for; and parts that don't fit.
pub fn bundle(service: &Service, parts: &Parts) -> Result<Derived, BundleError> {
    let placed = apps::placed(service);
    let number =
        |tenant: &Tenant, app: &App| (0..).zip(&placed).find(|(_, one)| one.is(tenant, app)).map(|(n, _)| n);
    let (settings, apps) = match (service.settings(number), apps::embedded(&placed, parts)?) {
        (Ok(settings), Ok(apps)) => (settings, apps),
        (settings, apps) => {
            let problems = [settings.err(), apps.err()];
            return Err(BundleError::Refused(problems.into_iter().flatten().flatten().collect()));
        }
    };
    let settings = serde_json::to_vec(&settings).map_err(|error| BundleError::Document(error.to_string()))?;
    // What runs at the edge reads them with the same code.
    House::read(&settings)?;
    let configuration = configuration::component(&settings)?;
    let component = compose::compose(parts, &configuration, &switch::component(apps.len())?, &apps)?;
    let manifest = manifest::write(service).map_err(|error| BundleError::Document(error.to_string()))?;
    let files = [("bin/main.wasm", component), ("fastly.toml", manifest.into_bytes())];
    let files = files.map(|(path, bytes)| (path.to_owned(), bytes)).into();
    Ok(recipe(service, parts, &configuration).made(files)?)
}

/// What a bundle is made of: the parts and the configuration, which stand in it, the addresses of origins, and the apps
/// that the gate is told of.
fn recipe<'a>(service: &'a Service, parts: &'a Parts, configuration: &'a [u8]) -> Recipe<'a> {
    let mut sources = vec![Source::other("configuration", configuration)];
    sources.extend(parts.each().map(|(role, part)| Source::signed(role, part)));
    for tenant in &service.tenants {
        let name = |app: &App| format!("tenants.{}.apps.{}", tenant.setting.name, app.name);
        sources.extend(tenant.apps.iter().map(|app| Source::signed(&name(app), &app.component)));
    }
    let mut options = BTreeMap::from([("name".to_owned(), service.name.to_string())]);
    options.extend(service.origins().map(|(name, origin)| (format!("backends.{name}"), origin.to_string())));
    Recipe {
        deriver: Deriver {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        target: Target::Fastly,
        gas: None,
        options,
        sources,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_derive::Target;
    use tollgate_derive::report::offers;

    #[test]
    fn a_portability_report_promises_what_the_service_world_has() {
        let wit = include_str!("../../../wit/deps/fastly/compute.wit");
        let world = wit.split("world service-imports {").nth(1).unwrap().split('}').next().unwrap();
        let imports = world.lines().filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'));
        let (wasi, ours): (Vec<&str>, Vec<&str>) = imports.partition(|import| import.starts_with("wasi:"));
        assert!(wasi.len() > 15 && ours.len() > 15, "{wasi:?} {ours:?}");
        let ours = ours.into_iter().map(|name| format!("fastly:compute/{name}@0.1.0"));
        for import in wasi.into_iter().map(str::to_owned).chain(ours) {
            assert!(offers(Target::Fastly, &import).is_enough(), "{import}");
        }
    }
}
