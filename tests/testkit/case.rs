//! The builder of a host.

use crate::answer::Answer;
use crate::files::{guest, key, shared_cache, sign, sign_as_importing};
use crate::host::{Host, Process};
use crate::worker::{Wanted, Worker, write_bundle};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tollgate_trust::root::key_entry;

/// A host to be.
#[derive(Clone)]
pub struct Case {
    tenants: Vec<Tenant>,
    host: String,
    gate: String,
    capacity: String,
}

/// A tenant to be.
#[derive(Clone)]
pub struct Tenant {
    name: String,
    policy: String,
    engine: Option<String>,
    tables: String,
    plan: String,
    totals: String,
    apps: Vec<App>,
    routes: Vec<String>,
}

/// An app to be.
#[derive(Clone)]
pub struct App {
    name: String,
    guest: String,
    keys: String,
    grants: String,
    route: String,
    signed: bool,
    imports: Option<Vec<String>>,
    tampered: bool,
    any_host: bool,
}

const EVERYBODY: &str = "permit(principal, action, resource);";

impl App {
    /// An app of this guest, at `/`.
    pub fn guest(guest: &str) -> Self {
        Self {
            name: "web".into(),
            guest: guest.into(),
            keys: String::new(),
            grants: String::new(),
            route: String::new(),
            signed: true,
            imports: None,
            tampered: false,
            any_host: false,
        }
    }
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }
    /// Further lines of the app's table.
    pub fn keys(mut self, keys: &str) -> Self {
        self.keys += &format!("{keys}\n");
        self
    }
    pub fn grants(mut self, grants: &str) -> Self {
        self.grants += &format!("{grants}\n");
        self
    }
    /// Further lines of its route's table.
    pub fn route(mut self, lines: &str) -> Self {
        self.route += &format!("{lines}\n");
        self
    }
    /// Answers for every host.
    pub fn any_host(mut self) -> Self {
        self.any_host = true;
        self
    }
    pub fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }
    /// Signed with these imports in the release, whatever the component imports.
    pub fn signed_as_importing(mut self, imports: &[&str]) -> Self {
        self.imports = Some(imports.iter().map(|import| (*import).to_owned()).collect());
        self
    }
    /// Changed by one byte after it was signed.
    pub fn tampered(mut self) -> Self {
        self.tampered = true;
        self
    }
}

impl Tenant {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            policy: EVERYBODY.into(),
            engine: None,
            tables: String::new(),
            plan: String::new(),
            totals: String::new(),
            apps: Vec::new(),
            routes: Vec::new(),
        }
    }
    pub fn app(mut self, app: App) -> Self {
        self.apps.push(app);
        self
    }
    /// Cedar text, instead of "everybody may do everything".
    pub fn policy(mut self, cedar: &str) -> Self {
        self.policy = cedar.into();
        self
    }
    /// A policy engine of the tenant's own, and its text.
    pub fn own_policy(mut self, guest: &str, text: &str) -> Self {
        self.engine = Some(guest.into());
        self.policy(text)
    }
    /// Tables of the tenant, their names relative to it: `[buckets.burst]`.
    pub fn tables(mut self, toml: &str) -> Self {
        let table = format!("[tenants.{}.", self.name);
        self.tables += &format!("{}\n", toml.replace("\n[", &format!("\n{table}")).replacen('[', &table, 1));
        self
    }
    /// Lines of its plan.
    pub fn limits(mut self, lines: &str) -> Self {
        self.plan += &format!("{lines}\n");
        self
    }
    pub fn totals(mut self, lines: &str) -> Self {
        self.totals += &format!("{lines}\n");
        self
    }
}

impl Case {
    pub fn new() -> Self {
        Self { tenants: Vec::new(), host: String::new(), gate: String::new(), capacity: String::new() }
    }

    /// One tenant `acme` with one app `web` of this guest, which everybody may use.
    pub fn guest(name: &str) -> Self {
        Self::new().tenant(Tenant::new("acme").app(App::guest(name)))
    }
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenants.push(tenant);
        self
    }
    /// The lines of `[host.capacity]`, in place of those that tests have otherwise.
    pub fn capacity(mut self, lines: &str) -> Self {
        self.capacity = format!("{lines}\n");
        self
    }
    /// Further lines of `[gate]`.
    pub fn gate(mut self, lines: &str) -> Self {
        self.gate += &format!("{lines}\n");
        self
    }
    /// Further lines of `[host]`.
    pub fn host(mut self, lines: &str) -> Self {
        self.host += &format!("{lines}\n");
        self
    }
    fn last(mut self, change: impl FnOnce(Tenant) -> Tenant) -> Self {
        let tenant = self.tenants.pop().expect("a tenant");
        self.tenants.push(change(tenant));
        self
    }
    fn last_app(self, change: impl FnOnce(App) -> App) -> Self {
        self.last(|mut tenant| {
            let app = tenant.apps.pop().expect("an app");
            tenant.apps.push(change(app));
            tenant
        })
    }
    pub fn limits(self, lines: &str) -> Self {
        self.last(|tenant| tenant.limits(lines))
    }
    pub fn totals(self, lines: &str) -> Self {
        self.last(|tenant| tenant.totals(lines))
    }
    pub fn policy(self, cedar: &str) -> Self {
        self.last(|tenant| tenant.policy(cedar))
    }
    pub fn tables(self, toml: &str) -> Self {
        self.last(|tenant| tenant.tables(toml))
    }
    pub fn grants(self, lines: &str) -> Self {
        self.last_app(|app| app.grants(lines))
    }
    pub fn keys(self, lines: &str) -> Self {
        self.last_app(|app| app.keys(lines))
    }
    pub fn route(self, lines: &str) -> Self {
        self.last_app(|app| app.route(lines))
    }
    pub fn any_host(self) -> Self {
        self.last_app(App::any_host)
    }
    /// A bucket of this many requests a minute for each actor, on the route.
    pub fn quota(self, quota: u64) -> Self {
        self.tables(&format!(
            "[buckets.burst]\nunit = \"requests\"\nquota = {quota}\nwindow = \"1m\"\nkey = [\"actor\"]"
        ))
        .route("buckets = [\"burst\"]")
    }

    /// The host in this process.
    pub fn start(&self) -> Host {
        Host::start(self.write())
    }

    /// The host as a process of its own, from the real binary.
    pub fn spawn(&self) -> Process {
        Process::start(self.write())
    }

    /// The same, with further variables in its environment.
    pub fn spawn_in(&self, environment: &[(&str, &Path)]) -> Process {
        Process::start_in(self.write(), environment)
    }

    /// The same configuration as a Cloudflare worker, in a local workerd.
    pub fn worker(&self) -> Worker {
        Worker::start(self.write(), &Wanted::default())
    }

    /// The same, whose apps count gas.
    pub fn metered_worker(&self) -> Worker {
        Worker::start(self.write(), &Wanted { gas: true, ..Wanted::default() })
    }

    /// The same, with this text in place of the log's key.
    pub fn worker_with_key(&self, key: &str) -> Worker {
        let site = self.write();
        write_bundle(&site, &Wanted::default());
        Worker::with_key(site, key)
    }

    /// Starts a host, and asks it once.
    pub fn get(&self, path: &str) -> Answer {
        self.start().get(path)
    }

    /// Everything on disk: configuration, keys, signed components.
    pub fn write(&self) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        fs::create_dir_all(at.join("gate")).unwrap();
        fs::create_dir_all(at.join("state")).unwrap();
        for part in ["gate", "policy", "limiter", "audit"] {
            let file = at.join("gate").join(format!("{part}.wasm"));
            fs::copy(guest(&format!("tollgate-{part}")), &file).unwrap();
            sign(&file, &format!("tollgate:{part}"), key());
        }
        tollgate_trust::SigningKey::generate().unwrap().write_new(&at.join("log.key")).unwrap();
        let rules = ["tollgate", "test"]
            .map(|ns| format!("[[packages]]\npattern = \"{ns}:*\"\nkeys = [\"tests\"]\nthreshold = 1\n"));
        let trust = key_entry(&"tests".parse().unwrap(), &key().public()) + &rules.concat();
        fs::write(at.join("trust.toml"), trust).unwrap();
        let cache = shared_cache();
        if !cache.exists() {
            use std::os::unix::fs::DirBuilderExt;
            let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache);
        }
        symlink(&cache, at.join("state/cache")).unwrap();
        let site = Site { dir };
        site.configure(&self.toml(site.path()));
        site
    }

    fn toml(&self, at: &Path) -> String {
        let capacity =
            if self.capacity.is_empty() { "instances = 64\ngate-instances = 4\n" } else { &self.capacity };
        let mut toml = format!(
            "[host]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstate = \"state\"\n{}\n[host.capacity]\n{capacity}\n\
             [trust]\nfile = \"trust.toml\"\n\
             [audit]\norigin = \"tollgate.test/audit\"\ndirectory = \"log\"\nkey = \"log.key\"\ncomponent = \"gate/audit.wasm\"\n\
             [gate]\ngate = \"gate/gate.wasm\"\npolicy = \"gate/policy.wasm\"\nlimiter = \"gate/limiter.wasm\"\n{}",
            self.host, self.gate
        );
        for tenant in &self.tenants {
            tenant.toml(at, &mut toml);
        }
        toml
    }
}

impl Default for Case {
    fn default() -> Self {
        Self::new()
    }
}

impl Tenant {
    fn toml(&self, at: &Path, toml: &mut String) {
        let name = &self.name;
        let _ = write!(toml, "\n[plans.{name}]\n{}", self.plan);
        if !self.totals.is_empty() {
            let _ = write!(toml, "[plans.{name}.totals]\n{}", self.totals);
        }
        let mut engine = String::new();
        if let Some(own) = &self.engine {
            let file = at.join(format!("{name}-policy.wasm"));
            fs::copy(guest(own), &file).unwrap();
            sign(&file, "test:policy", key());
            engine = format!("component = \"{name}-policy.wasm\", ");
        }
        fs::write(at.join(format!("{name}.cedar")), &self.policy).unwrap();
        let _ = write!(
            toml,
            "[tenants.{name}]\nplan = \"{name}\"\npolicy = {{ {engine}file = \"{name}.cedar\" }}\n{}",
            self.tables
        );
        for app in &self.apps {
            app.toml(name, at, toml);
        }
        for route in &self.routes {
            let _ = write!(toml, "[[tenants.{name}.routes]]\n{route}\n");
        }
    }
}

impl App {
    fn toml(&self, tenant: &str, at: &Path, toml: &mut String) {
        let name = &self.name;
        let file = at.join(format!("{tenant}-{name}.wasm"));
        fs::copy(guest(&self.guest), &file).unwrap();
        match &self.imports {
            Some(imports) => sign_as_importing(&file, "test:guest", key(), imports.clone()),
            None if self.signed => sign(&file, "test:guest", key()),
            None => {}
        }
        if self.tampered {
            let mut bytes = fs::read(&file).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        let _ = write!(
            toml,
            "[tenants.{tenant}.apps.{name}]\ncomponent = \"{tenant}-{name}.wasm\"\n{}[tenants.{tenant}.apps.{name}.grants]\n{}",
            self.keys, self.grants
        );
        let host = if self.any_host || self.route.contains("host =") {
            String::new()
        } else {
            format!("host = \"{tenant}.test\"\n")
        };
        let _ = write!(
            toml,
            "[[tenants.{tenant}.routes]]\nname = \"{name}\"\napp = \"{name}\"\n{host}{}",
            self.route
        );
    }
}

/// A directory with everything that a host needs.
pub struct Site {
    dir: TempDir,
}

impl Site {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
    pub fn file(&self) -> PathBuf {
        self.path().join("tollgate.toml")
    }
    pub fn configure(&self, toml: &str) {
        fs::write(self.file(), toml).unwrap();
    }
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }
}
