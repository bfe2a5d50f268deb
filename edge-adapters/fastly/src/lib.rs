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
mod record;
mod service;
mod switch;

pub use compose::{ComposeError, Parts};
pub use service::{App, Problem, Route, Service, Tenant};

use record::{Output, Record};
use std::io;
use std::path::Path;
use tollgate_fastly_front::{House, SettingsError};

/// The KV store that buckets are counted in.
pub const COUNTS: &str = "tollgate-limits";

/// The log endpoint that audit records go to.
pub const RECORDS: &str = "tollgate-audit";

/// The log endpoint for what was let in: a record for each, made before anything of it runs.
pub const NOTES: &str = "tollgate-admitted";

/// The log endpoint for what apps write to their standard output and error.
pub const OUTPUT: &str = "tollgate-output";

/// A service, ready to be packed, run in Viceroy or deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// `bin/main.wasm`: the composed component.
    pub component: Vec<u8>,
    /// `fastly.toml`: what the service needs around it.
    pub manifest: String,
    /// `derivation.json`: what went in and what came out, by digest.
    pub derivation: String,
}

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
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Makes the bundle of a service.
///
/// # Errors
/// Everything that Fastly can't give and the service asks for; and parts that don't fit.
pub fn bundle(service: &Service, parts: &Parts) -> Result<Bundle, BundleError> {
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
    let outputs =
        vec![Output::of("bin/main.wasm", &component), Output::of("fastly.toml", manifest.as_bytes())];
    let derivation = Record::of(service, parts, &placed, &configuration, outputs).to_json();
    let derivation = derivation.map_err(|error| BundleError::Document(error.to_string()))?;
    Ok(Bundle { component, manifest, derivation })
}

impl Bundle {
    /// Writes the package's directory; what is in it is replaced.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory.join("bin"))?;
        std::fs::write(directory.join("bin/main.wasm"), &self.component)?;
        std::fs::write(directory.join("fastly.toml"), &self.manifest)?;
        std::fs::write(directory.join("derivation.json"), &self.derivation)
    }
}
