//! From verified bytes to an app that can run: heavy work, once.

use crate::account::Account;
use crate::cache::CacheError;
use crate::engine::EngineKind;
use crate::grants::{Access, Files, Grants};
use crate::handles::GuestStores;
use crate::idle::{Evict, Shelf};
use crate::inspect::{Inspection, MalformedError};
use crate::instance::{Idle, Pristine};
use crate::limits::{Limits, TenantTotals};
use crate::link;
use crate::names::Name;
use crate::runtime::Runtime;
use crate::seams::BucketError;
use crate::state::State;
use crate::workers::{Concurrency, Workers};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use tollgate_trust::{Blake3, Verified};
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::handler::ProxyPre;

/// Where a thing is configured: for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file.
    pub file: PathBuf,
    /// The table in it, for example `tenants.acme.apps.web`.
    pub table: String,
}

/// How an app's instances are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A fresh instance for each request.
    Fresh,
    /// An instance for each request that was made before the request came, and is as it was made. What its start takes
    /// is no wait of the request's, and still on its bill.
    Reset,
    /// One request after the other in the same instance, which keeps what the guest leaves in its memory.
    Serial {
        /// Requests that one instance answers before it is dropped.
        reuse: u32,
    },
    /// Several requests at one time in the same instance, for apps written for wasi:http 0.3.
    Concurrent(Concurrency),
}

impl Mode {
    /// The name in configuration, traces and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reset => "reset",
            Self::Serial { .. } => "serial",
            Self::Concurrent(_) => "concurrent",
        }
    }
}

/// What an app is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSpec {
    /// Whose it is.
    pub tenant: Name,
    /// Its name.
    pub name: Name,
    /// What it was given.
    pub grants: Grants,
    /// What its tenant may take in all.
    pub totals: TenantTotals,
    /// What each run may take.
    pub limits: Limits,
    /// How its instances are used.
    pub mode: Mode,
    /// Where it is configured.
    pub manifest: Manifest,
}

/// A component that can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no component.
    #[error("component `{name}` can't be read: {source}")]
    Malformed {
        /// The component.
        name: String,
        /// Why.
        source: MalformedError,
    },
    /// The signed release does not list the imports that the component has.
    #[error(
        "component `{name}` {}\n  help: build and sign it again with `tollgate sign`, which lists what it imports",
        if *listed {
            format!("does not import `{import}`, which its signature lists")
        } else {
            format!("imports `{import}`, which its signature does not list")
        }
    )]
    NotAsSigned {
        /// The component.
        name: String,
        /// The first import that is in one and not in the other.
        import: String,
        /// Whether it is the signature that has it.
        listed: bool,
    },
    /// An import that no grant covers.
    #[error(
        "component `{name}` imports `{import}`, which is not granted\n  manifest: {}\n  help: {help}",
        manifest.file.display()
    )]
    NotGranted {
        /// The component.
        name: String,
        /// The import.
        import: String,
        /// Where the grant would be.
        manifest: Manifest,
        /// What to do.
        help: String,
    },
    /// It does not offer what it is used for.
    #[error("component `{name}` does not export {wanted}")]
    NoExport {
        /// The component.
        name: String,
        /// What is missing.
        wanted: &'static str,
    },
    /// It would need more than the host's capacity or the app's limit.
    #[error("component `{name}`: {what} needs {needed} bytes, and the limit is {limit}")]
    TooLarge {
        /// The component.
        name: String,
        /// What of it.
        what: &'static str,
        /// How much.
        needed: u64,
        /// How much there is.
        limit: u64,
    },
    /// It could not be compiled, or linked.
    #[error("component `{name}`: {source}")]
    Compile {
        /// The component.
        name: String,
        /// Why.
        source: CacheError,
    },
    /// Its mode is `reset`, and two instances that were just made are not alike.
    #[error(
        "component `{name}` can't be used in mode `reset`: made twice, it was not the same ({difference})\n  help: its start depends on more than its bytes, such as the time or random numbers; use `mode = \"fresh\"`"
    )]
    NotPristine {
        /// The component.
        name: String,
        /// What differs.
        difference: String,
    },
    /// What it was granted is not there.
    #[error("component `{name}`: grant `{grant}`: {reason}")]
    Grant {
        /// The component.
        name: String,
        /// Which grant.
        grant: String,
        /// Why.
        reason: String,
    },
    /// A gate component refused its configuration.
    #[error("component `{name}` refuses its configuration:\n  {}", diagnostics.join("\n  "))]
    Configuration {
        /// The component.
        name: String,
        /// What it said, a line each.
        diagnostics: Vec<String>,
    },
}

/// All that an app is made of: what is signed of a component, and what the app is to be.
#[derive(PartialEq, Eq)]
pub(crate) struct AppOrigin {
    component: Blake3,
    imports: Vec<String>,
    spec: AppSpec,
}

/// A loaded app: compiled, type-checked, linked.
pub struct App {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) tenant: Name,
    pub(crate) name: Name,
    pub(crate) digest: String,
    /// Held so that others with the same bytes find it.
    pub(crate) _code: Arc<Component>,
    pub(crate) pre: ProxyPre<State>,
    pub(crate) grants: Grants,
    pub(crate) connections: usize,
    pub(crate) limits: Arc<Limits>,
    pub(crate) mode: Mode,
    pub(crate) stores: GuestStores,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) idle: Arc<Shelf<Idle>>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) account: Arc<Account>,
    /// For mode `reset`: what an instance is when it was just made.
    pub(crate) pristine: OnceLock<Pristine>,
    /// Whether an instance is being prepared, and whether none is any more.
    pub(crate) refilling: AtomicBool,
    pub(crate) unprepared: AtomicBool,
}

impl App {
    /// The tenant whose app it is.
    pub fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The blake3 digest of the component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How its instances are used.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl Runtime {
    /// Loads an app from a component whose signature was checked: reads its imports, refuses what was not granted,
    /// compiles it away from the serving threads, links it, and opens its stores.
    pub async fn load_app(
        self: &Arc<Self>,
        component: Verified,
        spec: AppSpec,
    ) -> Result<Arc<App>, LoadError> {
        let label = format!("{}/{}", spec.tenant, spec.name);
        let origin = AppOrigin {
            component: component.blake3(),
            imports: component.release().imports.clone(),
            spec: spec.clone(),
        };
        if let Some(app) = self.living.find(&label, &origin) {
            check_files(&label, &spec.grants)?;
            return Ok(app);
        }
        let this = self.clone();
        let checked = self.aside(move || Ok((this.check_app(&component, &spec)?, component, spec))).await;
        let (inspection, component, spec) = checked.map_err(|error| LoadError::Compile {
            name: label.clone(),
            source: CacheError::Compile(wasmtime::format_err!("{error}")),
        })??;
        let proxy = proxy_version(&inspection).ok_or_else(|| LoadError::NoExport {
            name: label.clone(),
            wanted: "`wasi:http/handler` or `wasi:http/incoming-handler`",
        })?;
        if matches!((spec.mode, proxy), (Mode::Concurrent(_), ProxyVersion::P2)) {
            let wanted = "`wasi:http/handler@0.3`, which mode `concurrent` needs: use `mode = \"serial\"`";
            return Err(LoadError::NoExport { name: label, wanted });
        }
        let workers = Workers::of(&spec.tenant, self.shelves.departures());
        self.shelves.know(&(workers.clone() as Arc<dyn Evict>));
        let digest = component.blake3();
        let code = self.compile(&label, EngineKind::Apps, digest, component.bytes().clone()).await?;
        let compile =
            |source| LoadError::Compile { name: label.clone(), source: CacheError::Compile(source) };
        let linker = link::linker(&self.engines.apps, &spec.grants).map_err(compile)?;
        let pre = pre(&linker, &code, proxy).map_err(compile)?;
        let app = Arc::new(App {
            runtime: self.clone(),
            idle: self.shelves.add(EngineKind::Apps, &spec.tenant),
            workers,
            account: self.account(&spec.tenant, &spec.totals),
            pristine: OnceLock::new(),
            refilling: AtomicBool::new(false),
            unprepared: AtomicBool::new(false),
            digest: digest.to_string(),
            _code: code,
            pre,
            stores: self.open_stores(&label, &spec)?,
            config: Arc::new(spec.grants.config.clone().unwrap_or_default()),
            tenant: spec.tenant,
            name: spec.name,
            grants: spec.grants,
            connections: spec.totals.outgoing_connections,
            limits: Arc::new(spec.limits),
            mode: spec.mode,
        });
        app.prove_reset().await?;
        self.living.keep(label, origin, &app);
        Ok(app)
    }

    /// Everything about an app that can be told without compiling it.
    pub fn check_app(&self, component: &Verified, spec: &AppSpec) -> Result<Inspection, LoadError> {
        let name = format!("{}/{}", spec.tenant, spec.name);
        let inspection = inspect(&name, component)?;
        if let Some(import) = inspection.ungranted(&spec.grants) {
            return Err(not_granted(name, import, &spec.manifest));
        }
        let needed: u64 =
            inspection.memories.iter().map(|(initial, _)| *initial).fold(0, u64::saturating_add);
        let of_app = spec.limits.memory_bytes.min(self.capacity.memory_bytes) as u64;
        let limits = [
            ("its memory at the start", of_app),
            ("its memory at the start, of its tenant's total,", spec.totals.memory_bytes),
        ];
        if let Some((what, limit)) = limits.into_iter().find(|(_, limit)| needed > *limit) {
            return Err(LoadError::TooLarge { name, what, needed, limit });
        }
        check_files(&name, &spec.grants)?;
        Ok(inspection)
    }

    /// The code of a component, known by this digest: in use already, from the cache, or made now; one at a time, and
    /// never on a thread that serves. To be held as long as it is used.
    pub(crate) async fn compile(
        self: &Arc<Self>,
        name: &str,
        kind: EngineKind,
        digest: Blake3,
        bytes: bytes::Bytes,
    ) -> Result<Arc<Component>, LoadError> {
        let failed = |source| LoadError::Compile { name: name.to_owned(), source };
        let stopped = || failed(CacheError::Compile(wasmtime::format_err!("the host is stopping")));
        let (engine, salt) = match kind {
            EngineKind::Apps => (self.engines.apps.clone(), *self.schedule.digest().as_bytes()),
            EngineKind::Gates => (self.engines.gates.clone(), [0; 32]),
        };
        let _turn = self.compile_turn.acquire().await.map_err(|_| stopped())?;
        if let Some(component) = self.shared(kind, digest) {
            return Ok(component);
        }
        let (this, known, wanted) = (self.clone(), engine.clone(), bytes.clone());
        let found = self.aside(move || this.cache.find(&known, &salt, &wanted));
        if let Some(component) = found.await.map_err(|_| stopped())? {
            return Ok(self.share(kind, digest, component));
        }
        let code = self.compiler.compile(kind, self.schedule.operators(), bytes.clone()).await;
        let code = code.map_err(|error| failed(error.into()))?;
        let (this, known) = (self.clone(), engine.clone());
        let entry = self.aside(move || this.cache.entry(&known, &salt, &bytes, code));
        let entry = entry.await.map_err(|_| stopped())?;
        let written =
            self.background.write(|| entry.write()).await.map_err(|_| stopped())?.map_err(failed)?;
        let component = self.aside(move || written.load(&engine)).await.map_err(|_| stopped())?;
        Ok(self.share(kind, digest, component.map_err(failed)?))
    }

    /// The code under this digest, if it is in use already.
    pub(crate) fn shared(&self, kind: EngineKind, digest: Blake3) -> Option<Arc<Component>> {
        self.code.lock().get(&(kind, digest)).and_then(Weak::upgrade)
    }

    fn share(&self, kind: EngineKind, digest: Blake3, component: Component) -> Arc<Component> {
        let component = Arc::new(component);
        let mut code = self.code.lock();
        code.retain(|_, component| component.strong_count() > 0);
        code.insert((kind, digest), Arc::downgrade(&component));
        component
    }

    fn open_stores(&self, label: &str, spec: &AppSpec) -> Result<GuestStores, LoadError> {
        let mut stores = BTreeMap::new();
        for (store, backend) in &spec.grants.keyvalue {
            let bucket =
                self.buckets.bucket(&spec.tenant, store, *backend).map_err(|error: BucketError| {
                    LoadError::Grant {
                        name: label.to_owned(),
                        grant: format!("keyvalue.{store}"),
                        reason: error.to_string(),
                    }
                })?;
            stores.insert(store.clone(), bucket);
        }
        Ok(GuestStores(Arc::new(stores)))
    }
}

/// Reads a component, and holds its imports against those that were signed: whoever read the release knows what the
/// component asks for.
pub(crate) fn inspect(name: &str, component: &Verified) -> Result<Inspection, LoadError> {
    let inspection = Inspection::of(component.bytes())
        .map_err(|source| LoadError::Malformed { name: name.to_owned(), source })?;
    let imports: BTreeSet<&str> = inspection.imports.iter().map(|import| import.name.as_str()).collect();
    let listed: BTreeSet<&str> = component.release().imports.iter().map(String::as_str).collect();
    match imports.symmetric_difference(&listed).next() {
        None => Ok(inspection),
        Some(import) => Err(LoadError::NotAsSigned {
            name: name.to_owned(),
            import: (*import).to_owned(),
            listed: listed.contains(import),
        }),
    }
}

/// The two worlds that an app may be written for.
#[derive(Clone, Copy)]
enum ProxyVersion {
    P2,
    P3,
}

fn proxy_version(inspection: &Inspection) -> Option<ProxyVersion> {
    let exports = |start: &str| inspection.exports.iter().any(|name| name.starts_with(start));
    if exports("wasi:http/handler@0.3.") {
        Some(ProxyVersion::P3)
    } else if exports("wasi:http/incoming-handler@0.2.") {
        Some(ProxyVersion::P2)
    } else {
        None
    }
}

fn pre(
    linker: &Linker<State>,
    component: &Component,
    version: ProxyVersion,
) -> wasmtime::Result<ProxyPre<State>> {
    let pre = linker.instantiate_pre(component)?;
    Ok(match version {
        ProxyVersion::P2 => ProxyPre::P2(wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre)?),
        ProxyVersion::P3 => ProxyPre::P3(wasmtime_wasi_http::p3::bindings::ServicePre::new(pre)?),
    })
}

pub(crate) fn not_granted(name: String, import: &crate::inspect::Import, manifest: &Manifest) -> LoadError {
    let table = &manifest.table;
    let help = match (import.known, import.grant) {
        (true, Some(line)) => format!("add `{line}` under [{table}.grants], or remove the import"),
        (true, None) => "this import is kept for the host's own components: remove it".to_owned(),
        (false, _) => "this host does not have it: remove the import".to_owned(),
    };
    LoadError::NotGranted { name, import: import.name.clone(), manifest: manifest.clone(), help }
}

fn check_files(name: &str, grants: &Grants) -> Result<(), LoadError> {
    let Some(Files::Directory { path, access }) = &grants.files else { return Ok(()) };
    let refused = |reason| LoadError::Grant { name: name.to_owned(), grant: "files".into(), reason };
    check_directory(path, *access).map_err(refused)
}

fn check_directory(path: &std::path::Path, access: Access) -> Result<(), String> {
    let dir = cap_std::fs::Dir::open_ambient_dir(path, cap_std::ambient_authority())
        .map_err(|error| format!("directory `{}`: {error}", path.display()))?;
    let metadata = dir.dir_metadata().map_err(|error| format!("directory `{}`: {error}", path.display()))?;
    if access == Access::ReadWrite && metadata.permissions().readonly() {
        return Err(format!(
            "directory `{}` is read-only on this host, and the grant says `read-write`",
            path.display()
        ));
    }
    Ok(())
}
