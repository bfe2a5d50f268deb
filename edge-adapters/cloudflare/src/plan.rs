//! The configuration as the worker reads it: `worker/src/site.ts` has the same words. 64-bit numbers that may not fit a
//! JSON number are text.

use crate::imports::{self, Handler};
use crate::site::{App, Gas, Site, Source, Tenant};
use serde_json::{Value, json};
use std::time::Duration;
use tollgate_runtime::{
    Backend, BucketSetting, COUNTS, FailureMode, Grants, HostPattern, KeyField, Limits, RouteSetting, Unit,
};

/// An app as it is derived: where its component stands among those of the bundle, and how it is called.
pub(crate) struct Placed {
    pub(crate) derived: usize,
    pub(crate) handler: Handler,
}

/// The whole configuration. `gates` has the place of each tenant's gate, and `apps` those of each tenant's apps.
pub(crate) fn config(site: &Site, gates: &[usize], apps: &[Vec<Option<Placed>>], gas: Option<&Gas>) -> Value {
    let tenants: Vec<Value> = site
        .tenants
        .iter()
        .zip(gates)
        .zip(apps)
        .map(|((one, gate), apps)| tenant(one, *gate, apps))
        .collect();
    let routes: Vec<Value> = site
        .tenants
        .iter()
        .enumerate()
        .flat_map(|(place, one)| one.setting.routes.iter().map(move |of| route(of, place, one)))
        .collect();
    json!({ "origin": site.origin, "tenants": tenants, "routes": routes, "gas": gas.map(prices) })
}

/// What the worker charges, besides what apps count by themselves.
fn prices(gas: &Gas) -> Value {
    let prices = &gas.prices;
    let calls = imports::priced().map(|(interface, class)| {
        let price =
            json!({ "base": prices.call(class).to_string(), "perByte": prices.bytes(class, 1).to_string() });
        (interface.to_owned(), price)
    });
    json!({
        "schedule": prices.id(),
        "fuel": prices.fuel(1).to_string(),
        "instance": prices.instance().to_string(),
        "memoryPage": prices.memory(1).to_string(),
        "calls": calls.collect::<serde_json::Map<String, Value>>(),
    })
}

fn tenant(tenant: &Tenant, gate: usize, placed: &[Option<Placed>]) -> Value {
    let clients: Vec<Value> = tenant
        .setting
        .clients
        .iter()
        .map(|client| {
            json!({ "name": client.name, "tokenSha256": hex::encode(client.token_sha256), "groups": client.groups })
        })
        .collect();
    let apps: Vec<Value> =
        tenant.apps.iter().zip(placed).map(|(one, placed)| app(one, placed.as_ref())).collect();
    json!({
        "name": tenant.setting.name,
        "gate": gate,
        "gateConfig": gate_config(tenant),
        "clients": clients,
        "concurrentRequests": tenant.totals.concurrent_requests,
        "storageBytes": tenant.totals.storage_bytes,
        "longestDebtMs": millis(longest_debt(tenant)),
        "apps": apps,
    })
}

/// What the server's gate is told, too.
fn gate_config(tenant: &Tenant) -> Value {
    let quota = |bucket: &BucketSetting| {
        json!({
            "bucket": {
                "name": bucket.name,
                "unit": match bucket.unit { Unit::Requests => "requests", Unit::Gas => "gas" },
                "quota": bucket.quota.to_string(),
                "window": bucket.window.as_nanos().to_string(),
            },
            "key": bucket.key.iter().map(|field| key_field(*field)).collect::<Vec<_>>(),
            "reserve": bucket.reserve.to_string(),
        })
    };
    let setting = &tenant.setting;
    let plan = |route: &RouteSetting| json!({ "route": format!("{}/{}", setting.name, route.name), "buckets": route.buckets });
    json!({
        "policy": setting.policy,
        "quotas": setting.buckets.iter().map(quota).collect::<Vec<_>>(),
        "routes": setting.routes.iter().map(plan).collect::<Vec<_>>(),
        "store": COUNTS,
    })
}

fn key_field(field: KeyField) -> &'static str {
    match field {
        KeyField::Tenant => "tenant",
        KeyField::App => "app",
        KeyField::Route => "route",
        KeyField::Actor => "actor",
        KeyField::ClientAddress => "client-address",
    }
}

/// How long a count can be in debt. Of requests nobody owes more than one quota; of gas, whatever as many runs used as
/// there may be at one time, since that is known only when a run is over.
fn longest_debt(tenant: &Tenant) -> Duration {
    let most = tenant.apps.iter().map(|app| app.limits.gas).max().unwrap_or_default();
    let owed = most.saturating_mul(tenant.totals.concurrent_requests as u64);
    let debt = |bucket: &BucketSetting| match bucket.unit {
        Unit::Requests => bucket.window,
        Unit::Gas => {
            let windows = (owed / bucket.quota.max(1)).saturating_add(2);
            bucket.window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
        }
    };
    tenant.setting.buckets.iter().map(debt).max().unwrap_or_default()
}

fn app(app: &App, placed: Option<&Placed>) -> Value {
    let (component, origin) = match &app.source {
        Source::Component(component) => (component.blake3().to_string(), None),
        Source::Origin(uri) => (String::new(), Some(uri.to_string())),
    };
    json!({
        "name": app.name,
        "component": component,
        "derived": placed.map(|placed| placed.derived),
        "origin": origin,
        "handler": placed.map(|placed| placed.handler.export()),
        "limits": limits(&app.limits),
        "grants": grants(&app.grants),
    })
}

/// The limits that can hold on this platform, and those that are shown in records.
fn limits(limits: &Limits) -> Value {
    json!({
        "fuel": limits.fuel.to_string(),
        "gas": limits.gas.to_string(),
        "deadlineMs": millis(limits.deadline),
        "hostWaitMs": millis(limits.host_wait),
        "hostCalls": limits.host_calls,
        "hostCallBytes": limits.host_call_bytes,
        "headerBytes": limits.header_bytes,
        "memoryBytes": limits.memory_bytes,
        "requestBodyBytes": limits.request_body_bytes,
        "responseBodyBytes": limits.response_body_bytes,
        "outgoingRequests": limits.outgoing_requests,
        "logLines": limits.log_lines,
        "logLineBytes": limits.log_line_bytes,
    })
}

fn grants(grants: &Grants) -> Value {
    let allow = |egress: &std::sync::Arc<tollgate_runtime::Egress>| json!({ "allow": egress.allow.iter().map(ToString::to_string).collect::<Vec<_>>() });
    let stores: serde_json::Map<String, Value> = grants
        .keyvalue
        .iter()
        .map(|(name, backend)| {
            let word = match backend {
                Backend::Memory => "memory",
                Backend::Sqlite => "sqlite",
            };
            (name.to_string(), json!(word))
        })
        .collect();
    json!({
        "http": grants.http.as_ref().map(allow),
        "keyvalue": stores,
        "config": grants.config,
        "environment": grants.environment,
    })
}

fn route(route: &RouteSetting, tenant: usize, of: &Tenant) -> Value {
    let host = match &route.host {
        HostPattern::Exact(name) => json!({ "kind": "exact", "name": name }),
        HostPattern::Below(name) => json!({ "kind": "below", "name": name }),
        HostPattern::Any => json!({ "kind": "any" }),
    };
    json!({
        "tenant": tenant,
        "name": route.name,
        "host": host,
        "path": route.path.trim_end_matches('/'),
        "methods": route.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(),
        "app": of.apps.iter().position(|app| app.name == route.app),
        "headers": route.headers.iter().map(http::HeaderName::as_str).collect::<Vec<_>>(),
        "failure": match route.failure { FailureMode::Closed => "closed", FailureMode::Open => "open" },
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
