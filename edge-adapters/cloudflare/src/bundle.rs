//! The bundle: every file that the platform is given.

use crate::derive::{DeriveError, Tools};
use crate::imports::{self, Calls, NotMet};
use crate::plan::{self, Placed};
use crate::platform;
use crate::site::{App, Gas, Options, Site, Source, Tenant};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use tollgate_derive::instrument::{self, InstrumentError};
use tollgate_derive::record::{Deriver, RecordError};
use tollgate_derive::report::Measured;
use tollgate_derive::{Derived as Bundle, Recipe, Target};
use tollgate_runtime::{Inspection, LoadError, MalformedError, Manifest, Unit};
use tollgate_trust::{Blake3, Verified};

/// What an element of a table counts as, in bytes of memory: the same as on the server.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// An app asks for what this platform does not have.
    #[error(transparent)]
    NotMet(#[from] NotMet),
    /// A component is malformed.
    #[error("app `{app}`: {source}")]
    Malformed {
        /// The app.
        app: String,
        /// Why.
        source: MalformedError,
    },
    /// A component can't count gas.
    #[error("app `{app}` can't count gas")]
    Instrument {
        /// The app.
        app: String,
        /// Why.
        source: InstrumentError,
    },
    /// A gate can't be composed.
    #[error(transparent)]
    Gate(#[from] LoadError),
    /// A quota can't be kept here.
    #[error("bucket `{bucket}` of tenant `{tenant}` counts gas, {why}")]
    Gas {
        /// The tenant.
        tenant: String,
        /// The bucket.
        bucket: String,
        /// What stands against it, and what to do.
        why: &'static str,
    },
    /// Nothing could be derived.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// What it was made of can't be recorded.
    #[error("what the bundle is made of can't be recorded")]
    Record(#[from] RecordError),
}

/// Makes a bundle: every file of a worker, and the record of what it was derived from. Equal inputs give equal bytes.
///
/// # Errors
/// What this platform can't do, or the tools.
pub fn bundle(site: &Site, options: &Options, tools: &Tools) -> Result<Bundle, BundleError> {
    let gas = options.gas.as_ref();
    let mut parts = Parts { site, gas, tools, derived: Vec::new(), files: BTreeMap::new() };
    let mut gates = Vec::new();
    let mut apps = Vec::new();
    for tenant in &site.tenants {
        check_quotas(tenant, gas.is_some())?;
        gates.push(parts.gate(tenant)?);
        let placed = tenant.apps.iter().map(|app| parts.app(app)).collect::<Result<Vec<_>, _>>()?;
        apps.push(placed);
    }
    let audit = parts.derive(Kind::Audit, site.audit.bytes(), &Calls::default(), None)?;
    let config = plan::config(site, &gates, &apps, gas);
    let Parts { derived, mut files, .. } = parts;
    files.insert("bundle.js".into(), modules(&derived, audit, &config).into_bytes());
    files.insert("worker.js".into(), tools.worker().to_vec());
    let names: Vec<&String> = ordered(&files);
    let cpu_ms = platform::cpu_ms(site);
    let (workerd, wrangler) = (platform::workerd(&names, site), platform::wrangler(options, cpu_ms));
    files.insert("workerd.capnp".into(), workerd);
    files.insert("wrangler.jsonc".into(), wrangler);
    let config = serde_json::to_vec(&config).map_err(|error| DeriveError::Scratch(error.into()))?;
    let recipe = Recipe {
        deriver: Deriver {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        target: Target::Cloudflare,
        gas: gas.map(|gas| &gas.operators),
        options: asked_for(site, options, tools, cpu_ms),
        sources: sources(site, tools, &config),
    };
    Ok(recipe.made(files)?)
}

/// Refuses quotas of gas that nobody could count.
fn check_quotas(tenant: &Tenant, is_metered: bool) -> Result<(), BundleError> {
    let origins = || tenant.apps.iter().filter(|app| matches!(app.source, Source::Origin(_)));
    for bucket in tenant.setting.buckets.iter().filter(|bucket| bucket.unit == Unit::Gas) {
        let mut routes = tenant.setting.routes.iter().filter(|route| route.buckets.contains(&bucket.name));
        let why = if !is_metered {
            "which this worker does not meter: build it with `--gas on`, or serve the tenant on a server"
        } else if routes.any(|route| origins().any(|app| app.name == route.app)) {
            "and a route draws on it whose app is an origin: its gas is not known here. Remove the bucket from that route"
        } else {
            continue;
        };
        let (tenant, bucket) = (tenant.setting.name.to_string(), bucket.name.to_string());
        return Err(BundleError::Gas { tenant, bucket, why });
    }
    Ok(())
}

/// What a derived component is to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gate,
    App,
    Audit,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::App => "app",
            Self::Audit => "audit",
        }
    }
}

/// One derived component: a folder of the bundle.
struct Derived {
    kind: Kind,
    folder: String,
    cores: Vec<String>,
    table_bytes: u64,
    /// The fuel that it may use until the worker sets another limit, where it counts.
    start_limit: Option<u64>,
}

/// A bundle in the making.
struct Parts<'a> {
    site: &'a Site,
    gas: Option<&'a Gas>,
    tools: &'a Tools,
    derived: Vec<Derived>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Parts<'_> {
    /// The composition of a tenant's gate: as on the server, derived from the signed parts and never signed itself. Nobody
    /// is billed for it, so it counts no gas, as on the server.
    fn gate(&mut self, tenant: &Tenant) -> Result<usize, BundleError> {
        let name = &tenant.setting.name;
        let manifest = Manifest { file: PathBuf::new(), table: format!("tenants.{name}") };
        let composed = tenant.gate.composed(&format!("{name}/gate"), &manifest)?;
        self.derive(Kind::Gate, &composed, &Calls::default(), None)
    }

    fn app(&mut self, app: &App) -> Result<Option<Placed>, BundleError> {
        let Source::Component(component) = &app.source else { return Ok(None) };
        let inspection = Inspection::of(component.bytes())
            .map_err(|source| BundleError::Malformed { app: app.name.to_string(), source })?;
        let (handler, calls) = imports::check(app, &inspection)?;
        let derived = match self.gas {
            None => self.derive(Kind::App, component.bytes(), &calls, None)?,
            Some(gas) => {
                let limit = start_limit(self.site, gas, component);
                let metered = instrument::modules(component.bytes(), &gas.operators, limit)
                    .map_err(|source| BundleError::Instrument { app: app.name.to_string(), source })?;
                self.derive(Kind::App, &metered, &calls, Some(limit))?
            }
        };
        Ok(Some(Placed { derived, handler }))
    }

    /// Derives a component, unless the same bytes were derived before. Returns its place among those of its kind.
    fn derive(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        calls: &Calls,
        start_limit: Option<u64>,
    ) -> Result<usize, BundleError> {
        let digest = Blake3::of(bytes).to_string();
        let folder = format!("{}-{}", kind.name(), digest.get(..16).unwrap_or_default());
        let of_kind = |derived: &&Derived| derived.kind == kind;
        if let Some(place) = self.derived.iter().filter(of_kind).position(|known| known.folder == folder) {
            return Ok(place);
        }
        let place = self.derived.iter().filter(of_kind).count();
        // What can't be measured can't be transpiled either.
        let elements = Measured::of(bytes).map_or(0, |measured| measured.table_elements());
        let table_bytes = elements.saturating_mul(TABLE_ELEMENT_BYTES);
        let mut cores = Vec::new();
        for (name, bytes) in self.tools.transpile(kind.name(), bytes, calls)? {
            if name.ends_with(".wasm") {
                cores.push(name.clone());
            }
            self.files.insert(format!("{folder}/{name}"), bytes);
        }
        self.derived.push(Derived { kind, folder, cores, table_bytes, start_limit });
        Ok(place)
    }
}

/// The fuel that a component may use while it starts: the most that an app made of it may use. The worker then sets the
/// app's own limit.
fn start_limit(site: &Site, gas: &Gas, component: &Verified) -> u64 {
    let apps = site.tenants.iter().flat_map(|tenant| &tenant.apps);
    let same = apps.filter(
        |app| matches!(&app.source, Source::Component(other) if other.sha256() == component.sha256()),
    );
    same.map(|app| gas.fuel_limit(&app.limits)).max().unwrap_or_default()
}

/// The module that gives the worker everything that is derived, and its configuration.
fn modules(derived: &[Derived], audit: usize, config: &serde_json::Value) -> String {
    let mut imports = String::new();
    let mut lists: BTreeMap<&str, Vec<String>> =
        [("gate", vec![]), ("app", vec![]), ("audit", vec![])].into();
    for (place, Derived { kind, folder, cores, table_bytes, start_limit }) in derived.iter().enumerate() {
        let name = kind.name();
        let _ = writeln!(imports, "import {{ instantiate as make{place} }} from \"./{folder}/{name}.js\";");
        let mut modules = String::new();
        for (core, file) in cores.iter().enumerate() {
            let _ = writeln!(imports, "import core{place}_{core} from \"./{folder}/{file}\";");
            let _ = write!(modules, "\"{file}\": core{place}_{core}, ");
        }
        let limit = start_limit.map_or_else(String::new, |limit| format!(", startLimit: {limit}n"));
        let one = format!(
            "{{ instantiate: make{place}, modules: {{ {modules}}}, tableBytes: {table_bytes}{limit} }}"
        );
        lists.entry(name).or_default().push(one);
    }
    let list = |name: &str| lists.get(name).map(|ones| ones.join(",\n  ")).unwrap_or_default();
    format!(
        "{imports}\nexport const gates = [\n  {}\n];\nexport const apps = [\n  {}\n];\nexport const audit = [\n  {}\n][{audit}];\nexport const config = {config:#};\n",
        list("gate"),
        list("app"),
        list("audit"),
    )
}

/// The modules, the worker first: it is the one that the platform calls.
fn ordered(files: &BTreeMap<String, Vec<u8>>) -> Vec<&String> {
    let mut names: Vec<&String> = files.keys().collect();
    names.sort_by_key(|name| (*name != "worker.js", *name));
    names
}

/// The bytes that a bundle is made of.
fn sources<'a>(site: &'a Site, tools: &'a Tools, config: &'a [u8]) -> Vec<tollgate_derive::Source<'a>> {
    let other = tollgate_derive::Source::other;
    let mut sources = vec![other("configuration", config), other("worker", tools.worker())];
    let mut add = |name: &str, component| sources.push(tollgate_derive::Source::signed(name, component));
    add("audit", &site.audit);
    if let Some(tenant) = site.tenants.first() {
        // All tenants have these two.
        add("gate", &tenant.gate.gate);
        add("limiter", &tenant.gate.limiter);
    }
    for tenant in &site.tenants {
        let name = &tenant.setting.name;
        add(&format!("tenants.{name}.policy"), &tenant.gate.policy);
        for app in &tenant.apps {
            if let Source::Component(component) = &app.source {
                add(&format!("tenants.{name}.apps.{}", app.name), component);
            }
        }
    }
    sources
}

/// What else a bundle depends on.
fn asked_for(site: &Site, options: &Options, tools: &Tools, cpu_ms: u64) -> BTreeMap<String, String> {
    let mut asked = BTreeMap::from([
        ("name".to_owned(), options.name.to_string()),
        ("client-address".to_owned(), options.client_address.binding().to_owned()),
        ("cpu-ms".to_owned(), cpu_ms.to_string()),
        ("transpiler-lock-sha256".to_owned(), tools.lock().to_string()),
    ]);
    let Some(gas) = &options.gas else { return asked };
    for tenant in &site.tenants {
        for app in &tenant.apps {
            if let Source::Component(component) = &app.source {
                let key = format!("tenants.{}.apps.{}.start-limit", tenant.setting.name, app.name);
                asked.insert(key, start_limit(site, gas, component).to_string());
            }
        }
    }
    asked
}
