//! `tollgate.toml`: from text to a [`Config`] that can't hold nonsense.
//!
//! The file is parsed into TOML values that know their place; each section then takes its keys. What nobody took is
//! an unknown key, and every problem is kept, so that one run shows all of them with file, line, key, value and the
//! way out. Nothing but the file itself is read here: whether the files that it names are there, fit and signed is
//! found out by what loads them.

mod app;
mod environment;
mod host;
mod limits;
mod listener;
mod problem;
mod read;
mod route;
mod tenant;
mod values;

pub use app::App;
pub use environment::{Cloudflare, Environment, Environments, Fastly, TokenSource};
pub use host::{Audit, GateParts, Host, Tls};
pub use limits::Plan;
pub use listener::ListenerLimits;
pub use problem::{ConfigError, Problem, Severity};
pub use tenant::{Policy, PolicyText, Tenant};

use problem::Report;
use read::Table;
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tollgate_runtime::Name;
use toml::de::DeTable;

/// The largest configuration file, in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// A checked configuration. Paths in it are joined to the file's directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// Addresses, state and capacity.
    pub host: Host,
    /// The audit log.
    pub audit: Audit,
    /// The trust file.
    pub trust: PathBuf,
    /// The gate's components.
    pub gate: GateParts,
    /// The gas schedule's file; none for the one that the host ships with.
    pub gas: Option<PathBuf>,
    /// The tenants, sorted by name.
    pub tenants: Vec<Tenant>,
    /// What the operator should know.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text(file)?, file)
    }

    /// Checks the text of a file; `file` is where its paths are relative to, and what messages name.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let directory = file.parent().unwrap_or(Path::new(""));
        let (config, problems) = parse(text, file, |root, report| {
            let claims = RefCell::default();
            let config = read_root(root, file, directory, &claims);
            route::check_claims(&claims.into_inner(), report);
            config
        })?;
        Ok(Self { warnings: problems, ..config })
    }

    /// The tenant of this name.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name.as_str() == name)
    }
}

/// Reads the text of a file with `read`; the second part of what is returned are warnings.
fn parse<T>(
    text: &str,
    file: &Path,
    read: impl FnOnce(&Table<'_>, &Report<'_>) -> Option<T>,
) -> Result<(T, Vec<Problem>), ConfigError> {
    let report = Report::new(file, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            report.error(offset, "", message, None);
        }
        return Err(ConfigError { problems: report.finish() });
    }
    let root = Table::root(&report, root.get_ref());
    let found = read(&root, &report);
    root.finish();
    let problems = report.finish();
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    match found {
        Some(found) if !failed => Ok((found, problems)),
        _ => Err(ConfigError { problems }),
    }
}

/// The text of a configuration file.
pub(crate) fn read_text(file: &Path) -> Result<String, ConfigError> {
    let failed = |error: &dyn std::fmt::Display, help| {
        Err(ConfigError::whole(file, format!("the configuration can't be read: {error}"), help))
    };
    let read = || {
        let mut text = Vec::new();
        File::open(file)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    match read() {
        Err(error) => failed(&error, "name the file with `--config`"),
        Ok(text) if text.len() > MAX_BYTES => {
            failed(&format!("it has more than {MAX_BYTES} bytes"), "name the file with `--config`")
        }
        Ok(text) => match String::from_utf8(text) {
            Ok(text) => Ok(text),
            Err(error) => failed(&error.utf8_error(), "save it as UTF-8"),
        },
    }
}

fn read_root(
    root: &Table<'_>,
    file: &Path,
    directory: &Path,
    claims: &RefCell<Vec<route::Claim>>,
) -> Option<Config> {
    let host = match root.get("host") {
        Some(value) => value.table(|table| host::read(table, directory)),
        None => Some(Host::default()),
    };
    let stateful = host.as_ref().is_none_or(|host| host.state.is_some());
    let audit = root
        .require("audit", "add [audit] with `origin`, `key` and `component`: every request is recorded")
        .and_then(|value| value.table(|table| host::read_audit(table, directory, host.as_ref())));
    let trust = root
        .require("trust", "add [trust] with `file`: nothing runs that nobody vouches for")
        .and_then(|value| value.table(|table| host::read_trust(table, directory)));
    let gate = root
        .require("gate", "add [gate] with `gate`, `policy` and `limiter`: no request runs without them")
        .and_then(|value| value.table(|table| host::read_gate(table, directory, stateful)));
    let gas = root.section("gas", |table| host::read_gas(table, directory));
    let plans = root.named("plans", |_, table| limits::read_plan(table));
    let scope =
        Scope { directory, host: host.as_ref(), gate: gate.as_ref(), plans: &plans, stateful, claims };
    let tenants = root.named("tenants", |name, table| tenant::read(name, table, &scope));
    let tenants: Option<Vec<Tenant>> = tenants.into_iter().map(|(_, tenant)| tenant).collect();
    let tenants = tenants?;
    Some(Config {
        file: file.to_owned(),
        host: host?,
        audit: audit?,
        trust: trust?,
        gate: gate?,
        gas,
        tenants,
        warnings: Vec::new(),
    })
}

/// What the sections of a tenant are checked against.
struct Scope<'a> {
    directory: &'a Path,
    host: Option<&'a Host>,
    gate: Option<&'a GateParts>,
    plans: &'a [(Name, Option<Plan>)],
    /// Whether there is a state directory.
    stateful: bool,
    /// What routes have claimed so far.
    claims: &'a RefCell<Vec<route::Claim>>,
}

#[cfg(test)]
mod tests;
