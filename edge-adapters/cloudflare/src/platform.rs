//! What the platform is told: `wrangler.jsonc` for Cloudflare, `workerd.capnp` for a machine of one's own.

use crate::site::{ClientAddress, Options, Site, Source};
use serde_json::json;
use std::fmt::Write as _;

/// What the platform is to be like: the day whose behaviour the worker was tested with.
const COMPATIBILITY_DATE: &str = "2026-11-01";

/// The configuration of wrangler. Secrets are not in it: `wrangler secret put AUDIT_KEY`.
pub(crate) fn wrangler(options: &Options, cpu_ms: u64) -> Vec<u8> {
    let config = json!({
        "name": options.name,
        "main": "worker.js",
        "no_bundle": true,
        "find_additional_modules": true,
        "rules": [
            { "type": "ESModule", "globs": ["**/*.js"] },
            { "type": "CompiledWasm", "globs": ["**/*.wasm"] },
        ],
        "compatibility_date": COMPATIBILITY_DATE,
        "limits": { "cpu_ms": cpu_ms },
        "durable_objects": { "bindings": [
            { "name": "GATE", "class_name": "Gate" },
            { "name": "AUDIT", "class_name": "Audit" },
            { "name": "SHELF", "class_name": "Shelf" },
        ] },
        "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Gate", "Audit", "Shelf"] }],
        "vars": { "CLIENT_ADDRESS": options.client_address.binding() },
        "version_metadata": { "binding": "VERSION" },
    });
    format!("{config:#}\n").into_bytes()
}

/// Milliseconds that the platform gives the worker for a request: the most that an app may take.
pub(crate) fn cpu_ms(site: &Site) -> u64 {
    let longest = site.tenants.iter().flat_map(|tenant| &tenant.apps).map(|app| app.limits.cpu).max();
    longest.map_or(1_000, |cpu| u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX)).max(100)
}

/// The configuration of workerd: the worker on loopback, its state in the directory `state`, the log's key in the
/// environment. The socket `log` serves the audit log.
pub(crate) fn workerd(modules: &[&String], site: &Site) -> Vec<u8> {
    let mut text = String::from(
        "# Start with: AUDIT_KEY=\"$(cat audit.key)\" workerd serve workerd.capnp\n\
         using Workerd = import \"/workerd/workerd.capnp\";\n\n\
         const config :Workerd.Config = (\n  services = [\n    (name = \"tollgate\", worker = .tollgate),\n",
    );
    let allow = if has_near_origin(site) { "\"public\", \"private\"" } else { "\"public\"" };
    let _ = write!(
        text,
        "    (name = \"internet\", network = (allow = [{allow}])),\n\
         \x20   (name = \"state\", disk = (path = \"state\", writable = true)),\n  ],\n  sockets = [\n\
         \x20   (name = \"http\", address = \"127.0.0.1:8787\", http = (), service = \"tollgate\"),\n\
         \x20   (name = \"log\", address = \"127.0.0.1:8788\", http = (), service = (name = \"tollgate\", entrypoint = \"Log\")),\n\
         \x20 ],\n);\n\nconst tollgate :Workerd.Worker = (\n  modules = [\n"
    );
    for module in modules {
        let kind = if module.ends_with(".wasm") { "wasm" } else { "esModule" };
        let _ = writeln!(text, "    (name = \"{module}\", {kind} = embed \"{module}\"),");
    }
    let address = ClientAddress::Loopback.binding();
    let _ = write!(
        text,
        "  ],\n  compatibilityDate = \"{COMPATIBILITY_DATE}\",\n  bindings = [\n\
         \x20   (name = \"GATE\", durableObjectNamespace = \"Gate\"),\n\
         \x20   (name = \"AUDIT\", durableObjectNamespace = \"Audit\"),\n\
         \x20   (name = \"SHELF\", durableObjectNamespace = \"Shelf\"),\n\
         \x20   (name = \"AUDIT_KEY\", fromEnvironment = \"AUDIT_KEY\"),\n\
         \x20   (name = \"CLIENT_ADDRESS\", text = \"{address}\"),\n  ],\n\
         \x20 durableObjectNamespaces = [\n\
         \x20   (className = \"Gate\", uniqueKey = \"tollgate-gate\", enableSql = true),\n\
         \x20   (className = \"Audit\", uniqueKey = \"tollgate-audit\", enableSql = true),\n\
         \x20   (className = \"Shelf\", uniqueKey = \"tollgate-shelf\", enableSql = true),\n  ],\n\
         \x20 durableObjectStorage = (localDisk = \"state\"),\n);\n"
    );
    text.into_bytes()
}

/// Whether an origin is on this machine or network: only then may the local worker connect there.
fn has_near_origin(site: &Site) -> bool {
    let apps = site.tenants.iter().flat_map(|tenant| &tenant.apps);
    apps.filter_map(|app| match &app.source {
        Source::Origin(uri) => uri.host(),
        Source::Component(_) => None,
    })
    .any(|host| host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok())
}
