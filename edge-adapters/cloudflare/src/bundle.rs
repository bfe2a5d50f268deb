//! The bundle: every file that the platform is given.

use crate::derive::{DeriveError, Tools};
use crate::imports::{self, Calls, NotMet};
use crate::plan::{self, Placed};
use crate::platform;
use crate::record::{DERIVATION, Derivation, Deriver, Input, Module, Output};
use crate::site::{Options, Site, Source};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use tollgate_runtime::{Inspection, LoadError, MalformedError, Manifest};
use tollgate_trust::{Blake3, Sha256, Verified};

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
    /// A gate can't be composed.
    #[error(transparent)]
    Gate(#[from] LoadError),
    /// A quota can't be kept here.
    #[error(
        "bucket `{bucket}` of tenant `{tenant}` counts gas, which this platform does not meter: remove it, or serve the tenant on a server"
    )]
    Gas {
        /// The tenant.
        tenant: String,
        /// The bucket.
        bucket: String,
    },
    /// Nothing could be derived.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A file can't be written.
    #[error("`{}` can't be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Every file of a worker, by its path in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
    derivation: Derivation,
}

impl Bundle {
    /// The files.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// What the bundle was derived from.
    #[must_use]
    pub fn derivation(&self) -> &Derivation {
        &self.derivation
    }

    /// Writes every file below a directory, which is made.
    ///
    /// # Errors
    /// [`BundleError::Write`].
    pub fn write(&self, directory: &Path) -> Result<(), BundleError> {
        for (name, bytes) in &self.files {
            let path = directory.join(name);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            let written = written.and_then(|()| std::fs::write(&path, bytes));
            written.map_err(|source| BundleError::Write { path, source })?;
        }
        Ok(())
    }
}

/// Makes a bundle. Equal inputs give equal bytes.
///
/// # Errors
/// What this platform can't do, or the tools.
pub fn bundle(site: &Site, options: &Options, tools: &Tools) -> Result<Bundle, BundleError> {
    let mut parts = Parts { tools, components: Vec::new(), derived: Vec::new(), files: BTreeMap::new() };
    let mut gates = Vec::new();
    let mut apps = Vec::new();
    for tenant in &site.tenants {
        if let Some(bucket) = tenant.buckets.iter().find(|bucket| bucket.unit == tollgate_runtime::Unit::Gas)
        {
            return Err(BundleError::Gas {
                tenant: tenant.name.to_string(),
                bucket: bucket.name.to_string(),
            });
        }
        gates.push(parts.gate(tenant)?);
        let placed = tenant.apps.iter().map(|app| parts.app(app)).collect::<Result<Vec<_>, _>>()?;
        apps.push(placed);
    }
    let audit = parts.derive(Kind::Audit, &[&site.audit], site.audit.bytes(), &Calls::default())?;
    let config = plan::config(site, &gates, &apps);
    let Parts { components, derived, mut files, .. } = parts;
    files.insert("bundle.js".into(), modules(&derived, audit, &config).into_bytes());
    files.insert("worker.js".into(), tools.worker().to_vec());
    let names: Vec<&String> = ordered(&files);
    let (workerd, wrangler) = (platform::workerd(&names, site), platform::wrangler(options, site));
    files.insert("workerd.capnp".into(), workerd);
    files.insert("wrangler.jsonc".into(), wrangler);
    let derivation = derivation(&files, &components, tools);
    let text =
        serde_json::to_string_pretty(&derivation).map_err(|error| DeriveError::Scratch(error.into()))?;
    files.insert(DERIVATION.into(), format!("{text}\n").into_bytes());
    Ok(Bundle { files, derivation })
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
}

/// A bundle in the making.
struct Parts<'a> {
    tools: &'a Tools,
    components: Vec<&'a Verified>,
    derived: Vec<Derived>,
    files: BTreeMap<String, Vec<u8>>,
}

impl<'a> Parts<'a> {
    /// The composition of a tenant's gate: as on the server, derived from the signed parts and never signed itself.
    fn gate(&mut self, tenant: &'a crate::site::Tenant) -> Result<usize, BundleError> {
        let manifest = Manifest { file: PathBuf::new(), table: format!("tenants.{}", tenant.name) };
        let composed = tenant.gate.composed(&format!("{}/gate", tenant.name), &manifest)?;
        let of = [&tenant.gate.gate, &tenant.gate.policy, &tenant.gate.limiter];
        self.derive(Kind::Gate, &of, &composed, &Calls::default())
    }

    fn app(&mut self, app: &'a crate::site::App) -> Result<Option<Placed>, BundleError> {
        let Source::Component(component) = &app.source else { return Ok(None) };
        let inspection = Inspection::of(component.bytes())
            .map_err(|source| BundleError::Malformed { app: app.name.to_string(), source })?;
        let (handler, calls) = imports::check(app, &inspection)?;
        let derived = self.derive(Kind::App, &[component], component.bytes(), &calls)?;
        Ok(Some(Placed { derived, handler }))
    }

    /// Derives a component, unless the same bytes were derived before. Returns its place among those of its kind.
    fn derive(
        &mut self,
        kind: Kind,
        of: &[&'a Verified],
        bytes: &[u8],
        calls: &Calls,
    ) -> Result<usize, BundleError> {
        let digest = Blake3::of(bytes).to_string();
        let folder = format!("{}-{}", kind.name(), digest.get(..16).unwrap_or_default());
        let of_kind = |derived: &&Derived| derived.kind == kind;
        if let Some(place) = self.derived.iter().filter(of_kind).position(|known| known.folder == folder) {
            return Ok(place);
        }
        let place = self.derived.iter().filter(of_kind).count();
        for component in of {
            if !self.components.iter().any(|known| known.sha256() == component.sha256()) {
                self.components.push(component);
            }
        }
        let mut cores = Vec::new();
        for (name, bytes) in self.tools.transpile(kind.name(), bytes, calls)? {
            if name.ends_with(".wasm") {
                cores.push(name.clone());
            }
            self.files.insert(format!("{folder}/{name}"), bytes);
        }
        self.derived.push(Derived { kind, folder, cores });
        Ok(place)
    }
}

/// The module that gives the worker everything that is derived, and its configuration.
fn modules(derived: &[Derived], audit: usize, config: &serde_json::Value) -> String {
    let mut imports = String::new();
    let mut lists: BTreeMap<&str, Vec<String>> =
        [("gate", vec![]), ("app", vec![]), ("audit", vec![])].into();
    for (place, Derived { kind, folder, cores }) in derived.iter().enumerate() {
        let name = kind.name();
        let _ = writeln!(imports, "import {{ instantiate as make{place} }} from \"./{folder}/{name}.js\";");
        let mut modules = String::new();
        for (core, file) in cores.iter().enumerate() {
            let _ = writeln!(imports, "import core{place}_{core} from \"./{folder}/{file}\";");
            let _ = write!(modules, "\"{file}\": core{place}_{core}, ");
        }
        let one = format!("{{ instantiate: make{place}, modules: {{ {modules}}} }}");
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

fn derivation(files: &BTreeMap<String, Vec<u8>>, components: &[&Verified], tools: &Tools) -> Derivation {
    let mut inputs: Vec<Input> = components.iter().map(|component| Input::of(component)).collect();
    inputs.sort();
    let cores = files.iter().filter(|(name, _)| name.ends_with(".wasm"));
    let output = |(name, bytes): (&String, &Vec<u8>)| Output {
        file: name.clone(),
        sha256: Sha256::of(bytes).to_string(),
        bytes: bytes.len(),
    };
    Derivation {
        deriver: Deriver {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            lock_sha256: tools.lock().to_string(),
        },
        schedule: None,
        components: inputs,
        modules: cores.map(|(name, bytes)| Module::of(name.clone(), bytes, components)).collect(),
        outputs: files.iter().map(output).collect(),
    }
}
