//! `[tenants.<name>.apps.<name>]`: a component, how it is run, and what it is given.

use super::Scope;
use super::host::{backend, path};
use super::limits::read_limits;
use super::read::{Table, Value, or, shown};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use tollgate_runtime::{
    Access, Backend, COUNTS, Concurrency, Egress, Files, Grants, Limits, Mode, Name, Origin, OriginPattern,
    RawLimits,
};

/// An app of a tenant.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: Name,
    /// The component's file; its signature lies beside it.
    pub component: PathBuf,
    /// Where it runs for platforms that have the gate and not the app.
    pub origin: Option<Origin>,
    /// How instances are used.
    pub mode: Mode,
    /// What one run may take.
    pub limits: Limits,
    /// What it is given.
    pub grants: Grants,
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Fresh,
    Reset,
    Serial,
    Concurrent,
}

/// Reads an app; what it doesn't limit is limited by the plan.
pub(super) fn read(name: &Name, table: &Table<'_>, plan: &RawLimits, scope: &Scope<'_>) -> Option<App> {
    let component = table
        .require("component", "name the component's file, such as `component = \"apps/web.wasm\"`")
        .and_then(|value| path(&value, scope.directory));
    let origin = or(table.get("origin"), None, |value| value.parse(origin_of).map(Some));
    let mode = read_mode(table);
    let limits = match table.get("limits") {
        Some(value) => value.table(|table| read_limits(table, plan)),
        None => Some(plan.clone()),
    };
    let limits = limits.and_then(|limits| check_limits(&limits, table, scope));
    let grants =
        or(table.get("grants"), Grants::default(), |value| value.table(|table| read_grants(table, scope)));
    Some(App {
        name: name.clone(),
        component: component?,
        origin: origin?,
        mode: mode?,
        limits: limits?,
        grants: grants?,
    })
}

fn origin_of(text: &str) -> Result<Origin, String> {
    let wrong = |why: &dyn Display| {
        let text = shown(text);
        format!("`{text}` is no origin: {why}; write such as \"https://api.example.com\"")
    };
    let uri: http::Uri = text.parse().map_err(|error| wrong(&error))?;
    if !matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/")) {
        return Err(wrong(&"it has a path"));
    }
    Origin::of(&uri).map_err(|error| wrong(&error))
}

fn read_mode(table: &Table<'_>) -> Option<Mode> {
    let modes = [
        ("fresh", Use::Fresh),
        ("reset", Use::Reset),
        ("serial", Use::Serial),
        ("concurrent", Use::Concurrent),
    ];
    let mode = or(table.get("mode"), Use::Fresh, |value| value.choice(&modes));
    let whole = |value: &Value<'_>, most| value.integer(1, most).and_then(|n| u32::try_from(n).ok());
    let (reuse, at_once) = (table.get("reuse"), table.get("at-once"));
    if let (Some(value), Some(Use::Fresh | Use::Reset)) = (&reuse, mode) {
        let help = "add `mode = \"serial\"` or `mode = \"concurrent\"`, or remove `reuse`";
        let message = "`reuse` is set, and an instance of this mode is never used again";
        value.error(message.to_owned(), Some(help.to_owned()));
        return None;
    }
    if let (Some(value), Some(Use::Fresh | Use::Reset | Use::Serial)) = (&at_once, mode) {
        let help = "add `mode = \"concurrent\"`, or remove `at-once`";
        let message = "`at-once` is set, and an instance of this mode has one request at a time";
        value.error(message.to_owned(), Some(help.to_owned()));
        return None;
    }
    let reuse = or(reuse, 100, |value| whole(value, 1_000_000));
    let at_once = or(at_once, 16, |value| whole(value, 1_000));
    match mode? {
        Use::Fresh => Some(Mode::Fresh),
        Use::Reset => Some(Mode::Reset),
        Use::Serial => Some(Mode::Serial { reuse: reuse? }),
        Use::Concurrent => Some(Mode::Concurrent(Concurrency { at_once: at_once?, reuse: reuse? })),
    }
}

/// The limits as a whole; each key was checked where it stands.
fn check_limits(raw: &RawLimits, table: &Table<'_>, scope: &Scope<'_>) -> Option<Limits> {
    let limits = raw.check().ok()?;
    let most = scope.host.map_or(usize::MAX, |host| host.capacity.memory_bytes);
    if limits.memory_bytes > most {
        let message = format!(
            "app `{}` may have {} bytes of memory, and the host has room for {most} in each instance",
            table.path(),
            limits.memory_bytes
        );
        table.error(
            message,
            "lower the app's `limits.memory-bytes` or its plan's, or raise `host.capacity.memory-bytes`",
        );
        return None;
    }
    Some(limits)
}

fn read_grants(table: &Table<'_>, scope: &Scope<'_>) -> Option<Grants> {
    let http = or(table.get("http"), None, |value| value.table(read_http).map(Arc::new).map(Some));
    let keyvalue = or(table.get("keyvalue"), BTreeMap::new(), |value| read_stores(value, scope));
    let config = or(table.get("config"), None, |value| texts(value, |_| true).map(Some));
    let environment = or(table.get("environment"), BTreeMap::new(), |value| {
        texts(value, |name| !name.is_empty() && !name.contains(['=', '\0']))
    });
    let files = or(table.get("files"), None, |value| read_files(value, scope).map(Some));
    let inert_sockets = or(table.get("sockets"), false, |value| value.choice(&[("none", true)]));
    let clocks = or(table.get("clocks"), true, Value::flag);
    let random = or(table.get("random"), true, Value::flag);
    Some(Grants {
        http: http?,
        keyvalue: keyvalue?,
        config: config?,
        environment: environment?,
        files: files?,
        inert_sockets: inert_sockets?,
        no_clocks: !clocks?,
        no_random: !random?,
    })
}

fn read_http(table: &Table<'_>) -> Option<Egress> {
    let allow =
        table.require("allow", "list what may be reached, such as `allow = [\"https://api.example.com\"]`");
    let allow = allow.and_then(|value| {
        value.set(|item| {
            item.parse(|text| {
                OriginPattern::parse(text).map_err(|error| {
                    let text = shown(text);
                    format!("`{text}` can't be allowed: {error}; write such as \"https://api.example.com\"")
                })
            })
        })
    });
    let networks = or(table.get("networks"), Vec::new(), |value| {
        let form = "a network such as \"10.1.0.0/16\" or \"127.0.0.1/32\"";
        value.set(|item| item.form(form, |text| text.parse::<ipnet::IpNet>().ok()))
    });
    Some(Egress { allow: allow?, networks: networks? })
}

fn read_stores(value: &Value<'_>, scope: &Scope<'_>) -> Option<BTreeMap<Name, Backend>> {
    let (mut stores, mut whole) = (BTreeMap::new(), true);
    for (name, value) in value.entries()? {
        let name = Name::new(&name).map_err(|error| value.error(error.to_string(), None)).ok();
        if name.as_ref().is_some_and(|name| name.as_str() == COUNTS) {
            let help = "give the store another name";
            value.error(format!("the store `{COUNTS}` is where quotas are counted"), Some(help.to_owned()));
            whole = false;
        }
        match (name, backend(&value, scope.stateful)) {
            (Some(name), Some(backend)) => {
                stores.insert(name, backend);
            }
            _ => whole = false,
        }
    }
    whole.then_some(stores)
}

/// A table of texts.
fn texts(value: &Value<'_>, name_fits: impl Fn(&str) -> bool) -> Option<BTreeMap<String, String>> {
    let (mut found, mut whole) = (BTreeMap::new(), true);
    for (name, value) in value.entries()? {
        if !name_fits(&name) {
            value.error("a variable's name is empty, or holds `=` or a zero byte".to_owned(), None);
            whole = false;
        }
        match value.text() {
            Some(text) if text.contains('\0') => {
                value.error("the value holds a zero byte".to_owned(), None);
                whole = false;
            }
            Some(text) => {
                found.insert(name, text.to_owned());
            }
            None => whole = false,
        }
    }
    whole.then_some(found)
}

fn read_files(value: &Value<'_>, scope: &Scope<'_>) -> Option<Files> {
    if value.is_text() {
        return value.choice(&[("none", ())]).map(|()| Files::None);
    }
    let access = [("read-only", Access::ReadOnly), ("read-write", Access::ReadWrite)];
    value.table(|table| {
        let directory = table.require("directory", "name the directory that the app sees as `/`");
        let directory = directory.and_then(|value| path(&value, scope.directory));
        let access = or(table.get("access"), Access::ReadOnly, |value| value.choice(&access));
        Some(Files::Directory { path: directory?, access: access? })
    })
}
