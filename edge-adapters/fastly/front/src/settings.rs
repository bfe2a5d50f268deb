//! What a service was built to do, as it stands in the bundle.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A checked configuration. The bundler writes it, and the front of the same version reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The log endpoint that records go to.
    pub log: String,
    /// The log endpoint for what was let in, before it runs.
    pub notes: String,
    /// The log endpoint for what apps write to their standard output and error.
    pub output: String,
    /// The KV store that buckets are counted in.
    pub counts: String,
    /// The tenants, sorted by name.
    pub tenants: Vec<Tenant>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// What its policy engine is configured with.
    pub policy: String,
    /// Its quotas, of requests.
    pub buckets: Vec<Bucket>,
    /// The callers that it knows.
    pub clients: Vec<Client>,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// A quota of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Requests in each window.
    pub quota: u64,
    /// The window, nanoseconds.
    pub window: u64,
    /// What tells one count from another.
    pub key: Vec<KeyField>,
}

/// A fact that a bucket's key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyField {
    /// The tenant's name.
    Tenant,
    /// The app's name.
    App,
    /// The route's name.
    Route,
    /// The actor's id.
    Actor,
    /// The client's address, or its network.
    ClientAddress,
}

/// A caller that is known by its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bearer token, in lower-case hexadecimal digits.
    pub token_sha256: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
}

/// A route, and where its app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The host: `a.example`, `*.a.example`, or `*` for every host.
    pub host: String,
    /// The path and everything below it.
    pub path: String,
    /// The methods; empty for all.
    pub methods: Vec<String>,
    /// The app's name.
    pub app: String,
    /// The blake3 digest of the app's component, in lower-case hexadecimal digits.
    pub component: String,
    /// Where the app is.
    pub place: Place,
    /// The buckets that it draws on.
    pub buckets: Vec<String>,
    /// Request headers that the gate may see, in lower case.
    pub headers: Vec<String>,
    /// The longest request body, bytes.
    pub request_body_bytes: u64,
    /// The longest response body, bytes.
    pub response_body_bytes: u64,
}

/// Where an app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// At an origin: the name of the service's backend.
    Origin(String),
    /// Behind the gate, in the service itself.
    Component(Component),
}

/// An app of the service, and what it has for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Component {
    /// Its number among the apps of the service.
    pub number: u32,
    /// Requests that one instance answers: 1 for a fresh instance for each.
    pub reuse: u32,
    /// The origins that it may ask, as `scheme://host:port`, and the service's backend for each.
    pub origins: BTreeMap<String, String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// Outgoing requests of one run.
    pub outgoing_requests: u64,
    /// Bytes of one set of header fields.
    pub header_bytes: u64,
    /// Lines that one run may write.
    pub log_lines: u64,
    /// Bytes of one line.
    pub log_line_bytes: u64,
}
