//! `[host]`, `[audit]`, `[trust]`, `[gate]` and `[gas]`.

use super::listener::{self, ListenerLimits};
use super::read::{Table, Value, or};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate_runtime::{Backend, Capacity, FailureMode};

/// `[host]`: where the host listens, what it keeps, and how much it takes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where health, metrics and status are.
    pub admin: SocketAddr,
    /// The directory of everything that outlives a run; none when nothing does but the audit log.
    pub state: Option<PathBuf>,
    /// The certificate and its key; none for cleartext.
    pub tls: Option<Tls>,
    /// The bounds on clients' connections.
    pub listener: ListenerLimits,
    /// How much the host takes on.
    pub capacity: Capacity,
    /// How long running requests may go on after the host was told to stop.
    pub drain: Duration,
}

impl Default for Host {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            listen: loopback(8080),
            admin: loopback(9090),
            state: None,
            tls: None,
            listener: ListenerLimits::default(),
            capacity: Capacity::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// `host.tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, the host's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[audit]`: the log of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The log's name in its checkpoints, as in C2SP tlog-checkpoint.
    pub origin: String,
    /// Where the log is kept.
    pub directory: PathBuf,
    /// The private key that signs checkpoints, PKCS#8 PEM.
    pub key: PathBuf,
    /// The component that writes the log.
    pub component: PathBuf,
}

/// `[gate]`: the components that decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateParts {
    /// The order of admission.
    pub gate: PathBuf,
    /// The policy engine, for tenants that bring none of their own.
    pub policy: PathBuf,
    /// The rate limiter.
    pub limiter: PathBuf,
    /// What routes do while their gate can't decide, unless they say otherwise.
    pub failure: FailureMode,
    /// What the limiter counts in.
    pub store: Backend,
}

pub(super) const FAILURES: [(&str, FailureMode); 2] =
    [("closed", FailureMode::Closed), ("open", FailureMode::Open)];
pub(super) const BACKENDS: [(&str, Backend); 2] = [("memory", Backend::Memory), ("sqlite", Backend::Sqlite)];

/// A path of the file, joined to the file's directory.
pub(super) fn path(value: &Value<'_>, directory: &Path) -> Option<PathBuf> {
    let text = value.text()?;
    if text.is_empty() || text.contains('\0') {
        value.error("a path is empty, or holds a zero byte".to_owned(), None);
        return None;
    }
    Some(directory.join(text))
}

/// A backend; SQLite only where there is a directory for its file.
pub(super) fn backend(value: &Value<'_>, stateful: bool) -> Option<Backend> {
    let backend = value.choice(&BACKENDS)?;
    if backend == Backend::Sqlite && !stateful {
        let help = "add `state = \"state\"` under [host], or write \"memory\"";
        value.error("\"sqlite\" needs a state directory".to_owned(), Some(help.to_owned()));
        return None;
    }
    Some(backend)
}

/// Reads `[host]`.
pub(super) fn read(table: &Table<'_>, directory: &Path) -> Option<Host> {
    let default = Host::default();
    let listen = or(table.get("listen"), default.listen, address);
    let admin = or(table.get("admin"), default.admin, address);
    let state = or(table.get("state"), None, |value| path(value, directory).map(Some));
    let tls = or(table.get("tls"), None, |value| value.table(|table| read_tls(table, directory)).map(Some));
    let listener = or(table.get("listener"), default.listener, |value| value.table(listener::read));
    let capacity = or(table.get("capacity"), default.capacity, |value| value.table(read_capacity));
    let drain = or(table.get("drain"), default.drain, |value| {
        value.duration(Duration::ZERO, Duration::from_secs(3600))
    });
    if let (Some(listen), Some(admin)) = (listen, admin) {
        check_addresses(table, listen, admin, tls.as_ref().is_none_or(Option::is_some));
    }
    Some(Host {
        listen: listen?,
        admin: admin?,
        state: state?,
        tls: tls?,
        listener: listener?,
        capacity: capacity?,
        drain: drain?,
    })
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    value
        .form("an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"", |text| text.parse().ok())
}

fn check_addresses(table: &Table<'_>, listen: SocketAddr, admin: SocketAddr, tls: bool) {
    let overlap = listen.ip() == admin.ip() || listen.ip().is_unspecified() || admin.ip().is_unspecified();
    // Port 0 asks the system for a free one, so two of them never meet.
    if overlap && listen.port() == admin.port() && listen.port() != 0 {
        let message = format!("`listen` ({listen}) and `admin` ({admin}) are the same address");
        let help = "give `admin` a port of its own: metrics and status are not for clients";
        match table.get("admin").or_else(|| table.get("listen")) {
            Some(value) => value.error(message, Some(help.to_owned())),
            None => table.error(message, help),
        }
    }
    if let Some(value) = table.get("listen")
        && !listen.ip().is_loopback()
        && !tls
    {
        let help =
            "add `tls = { cert = \"…\", key = \"…\" }`, or let something that ends TLS connect over loopback";
        value.warning(format!("`listen` is {listen}, which others can reach, and there is no TLS"), help);
    }
    if let Some(value) = table.get("admin")
        && !admin.ip().is_loopback()
    {
        let help = "write \"127.0.0.1:9090\", or make sure that only operators can reach it";
        value.warning(
            format!("`admin` is {admin}, which others can reach, and it asks nobody who they are"),
            help,
        );
    }
}

fn read_tls(table: &Table<'_>, directory: &Path) -> Option<Tls> {
    let cert = table.require("cert", "name the certificate chain, a PEM file");
    let key = table.require("key", "name the certificate's private key, a PEM file");
    let cert = cert.and_then(|value| path(&value, directory));
    Some(Tls { key: key.and_then(|value| path(&value, directory))?, cert: cert? })
}

fn read_capacity(table: &Table<'_>) -> Option<Capacity> {
    let default = Capacity::default();
    let count = |key, default: u32, most| {
        or(table.get(key), default, |value| value.integer(1, most).and_then(|n| u32::try_from(n).ok()))
    };
    let bytes =
        |key, default: usize, least, most| or(table.get(key), default, |value| value.bytes(least, most));
    let instances = count("instances", default.instances, 100_000);
    let memory_bytes = bytes("memory-bytes", default.memory_bytes, 64 << 10, 4 << 30);
    let gate_instances = count("gate-instances", default.gate_instances, 1_024);
    let resident_bytes = bytes("resident-bytes", default.resident_bytes, 0, 1 << 30);
    let process_bytes = or(table.get("process-bytes"), default.process_bytes, Value::size);
    Some(Capacity {
        instances: instances?,
        memory_bytes: memory_bytes?,
        gate_instances: gate_instances?,
        resident_bytes: resident_bytes?,
        process_bytes: process_bytes?,
    })
}

/// Reads `[audit]`. Its directory lies in the state directory, unless it is said.
pub(super) fn read_audit(table: &Table<'_>, directory: &Path, host: Option<&Host>) -> Option<Audit> {
    let origin = table.require(
        "origin",
        "give the log a name that nobody else uses, such as `origin = \"example.com/audit\"`",
    );
    let origin = origin.and_then(|value| value.form(ORIGIN_FORM, origin_of));
    let key = table
        .require("key", "make one with `tollgate keygen --out host.key`, and write `key = \"host.key\"`");
    let key = key.and_then(|value| path(&value, directory));
    let component =
        table.require("component", "name the audit component, such as `component = \"gate/audit.wasm\"`");
    let component = component.and_then(|value| path(&value, directory));
    let state = host.and_then(|host| host.state.as_ref());
    let kept = match (table.get("directory"), state) {
        (Some(value), _) => path(&value, directory),
        (None, Some(state)) => Some(state.join("audit")),
        (None, None) => {
            if host.is_some() {
                let help = "write `directory = \"audit\"` here, or `state = \"state\"` under [host]";
                table.error("the audit log has no place".to_owned(), help);
            }
            None
        }
    };
    Some(Audit { origin: origin?, directory: kept?, key: key?, component: component? })
}

const ORIGIN_FORM: &str =
    "a name without spaces, control characters or `+`, of at most 255 bytes, such as \"example.com/audit\"";

fn origin_of(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= 255
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    fits.then(|| text.to_owned())
}

/// Reads `[trust]`.
pub(super) fn read_trust(table: &Table<'_>, directory: &Path) -> Option<PathBuf> {
    path(&table.require("file", "name the trust file, such as `file = \"trust.toml\"`")?, directory)
}

/// Reads `[gate]`.
pub(super) fn read_gate(table: &Table<'_>, directory: &Path, stateful: bool) -> Option<GateParts> {
    let part = |key, help| table.require(key, help).and_then(|value| path(&value, directory));
    let gate = part("gate", "name the gate component, such as `gate = \"gate/gate.wasm\"`");
    let policy = part("policy", "name the policy component, such as `policy = \"gate/policy.wasm\"`");
    let limiter = part("limiter", "name the limiter component, such as `limiter = \"gate/limiter.wasm\"`");
    let failure = or(table.get("failure"), FailureMode::Closed, |value| value.choice(&FAILURES));
    let store = or(table.get("store"), Backend::Memory, |value| backend(value, stateful));
    Some(GateParts { gate: gate?, policy: policy?, limiter: limiter?, failure: failure?, store: store? })
}

/// Reads `[gas]`.
pub(super) fn read_gas(table: &Table<'_>, directory: &Path) -> Option<PathBuf> {
    path(
        &table.require(
            "schedule",
            "name the schedule's file, or leave out [gas] for the one that is built in",
        )?,
        directory,
    )
}
