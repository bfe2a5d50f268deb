//! A record in its one canonical form: JSON as RFC 8785 (JCS) writes it, so that equal records have equal bytes.
//!
//! ```json
//! {"action":"GET",
//!  "actor":{"groups":["staff"],"id":"alice","kind":"client"},
//!  "client_address":"192.0.2.7",
//!  "limits":[{"limit":50000000,"name":"fuel","used":81234}],
//!  "metadata":[{"name":"app_version","value":"3"}],
//!  "outcome":{"kind":"answered","status":200},
//!  "policies":["allow-staff"],
//!  "request_id":"0af7651916cd43dd8448eb211c80319c",
//!  "resource":"acme/shop/front shop.example /cart",
//!  "tenant":"acme",
//!  "time":"2026-11-21T08:30:00.123456789Z",
//!  "trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",
//!  "usage":{"bytes_in":0,"bytes_out":512,"cpu_ns":81000,"fuel":81234,"gas":90000,"host_calls":3,"memory_bytes":1114112,"wall_ns":920000},
//!  "version":1}
//! ```
//! without the line breaks. What each field means is written at `entry` in `wit/gate/types.wit`.
//!
//! - `outcome.kind` is one of `answered` (with `status`), `denied`, `limited`, `refused` (with `detail`), `failed`
//!   (with `detail`), `abandoned`, `interrupted`; `actor.kind` is `anonymous`, `client` or `host`.
//! - `time` is RFC 3339 in UTC with nine digits of a second, so that no reader rounds it.
//! - Counts are JSON numbers. RFC 8785 writes numbers as IEEE doubles, so a count above 2^53 - 1 is written as
//!   2^53 - 1 and means "this or more".
//! - Names and values in `metadata`, and `limits`, keep the order that the host gave.
//! - A control character (Unicode class Cc) becomes U+FFFD, so that no text can forge a line or drive a terminal. A text
//!   longer than its bound is cut at a character and ends in `…`. A record is never lost for its texts.

mod json;
#[cfg(not(target_family = "wasm"))]
mod parse;
mod time;

use json::Object;
#[cfg(not(target_family = "wasm"))]
pub use parse::{RecordError, parse};

/// The most bytes that a record may have: what fits the length prefix of an entry bundle.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// The version of the record's shape, its field `version`.
const VERSION: u64 = 1;

/// Bounds of texts, in bytes.
mod bound {
    pub(super) const ID: usize = 64;
    pub(super) const NAME: usize = 128;
    pub(super) const GROUP: usize = 64;
    pub(super) const RESOURCE: usize = 9_216;
    pub(super) const VALUE: usize = 1_024;
}

/// The record is longer than [`MAX_ENTRY_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record has {bytes} bytes, and at most 65,535 fit: give it fewer metadata, limits or policies")]
pub struct TooLarge {
    /// How many bytes the canonical form has.
    pub bytes: usize,
}

/// What kind of caller an [`Actor`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// Nobody known.
    Anonymous,
    /// A configured client.
    Client,
    /// The host itself.
    Host,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The configured name of a client; `anonymous` or `host` otherwise.
    pub id: String,
    /// What kind of caller this is.
    pub kind: ActorKind,
    /// The groups that the actor is in.
    pub groups: Vec<String>,
}

/// How the request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The app answered, with this HTTP status.
    Answered(u16),
    /// The policy denied it.
    Denied,
    /// A bucket was empty.
    Limited,
    /// A bound of the host, named here, stopped it before it ran.
    Refused(String),
    /// The run ended in the fault named here.
    Failed(String),
    /// The client left before the answer was complete.
    Abandoned,
    /// The host stopped while the request ran.
    Interrupted,
}

/// What a run took. All zero for a request that never ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Gas.
    pub gas: u64,
    /// Fuel.
    pub fuel: u64,
    /// The most bytes held at one time.
    pub memory_bytes: u64,
    /// Thread CPU time, nanoseconds.
    pub cpu_ns: u64,
    /// Time from admission to the end of the run, nanoseconds.
    pub wall_ns: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// Bytes of request body.
    pub bytes_in: u64,
    /// Bytes of response body.
    pub bytes_out: u64,
}

/// One limit that was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// The limit's name.
    pub name: String,
    /// How much of it was used.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

/// A record before it is made canonical: `entry` of `wit/gate/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The request's id, unique in the log.
    pub request_id: String,
    /// When the request came: Unix nanoseconds.
    pub time: u64,
    /// The tenant; empty for a request that named none.
    pub tenant: String,
    /// Who asked.
    pub actor: Actor,
    /// The HTTP method, or an act of administration.
    pub action: String,
    /// What it was asked of.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The client's address.
    pub client_address: String,
    /// Further facts: name and value.
    pub metadata: Vec<(String, String)>,
    /// The W3C trace id.
    pub trace_id: String,
    /// What the run took.
    pub usage: Usage,
    /// The limits in force.
    pub limits: Vec<LimitUse>,
    /// The ids of the policies that decided.
    pub policies: Vec<String>,
}

/// The canonical bytes of a record, as the module's head describes them.
///
/// # Errors
/// If they are more than [`MAX_ENTRY_BYTES`].
pub fn canonical(entry: &Entry) -> Result<Vec<u8>, TooLarge> {
    let mut out = Vec::with_capacity(1024);
    // RFC 8785, section 3.2.3: names in the order of their UTF-16 code units; for these, the order of ASCII.
    let mut record = Object::begin(&mut out);
    record.text("action", &entry.action, bound::NAME);
    record.object("actor", |actor| {
        actor.list("groups", &entry.actor.groups, |out, group| json::text(out, group, bound::GROUP));
        actor.text("id", &entry.actor.id, bound::NAME);
        actor.text("kind", actor_kind(entry.actor.kind), bound::NAME);
    });
    record.text("client_address", &entry.client_address, bound::ID);
    record.list("limits", &entry.limits, |out, limit| {
        let mut object = Object::begin(out);
        object.count("limit", limit.limit);
        object.text("name", &limit.name, bound::NAME);
        object.count("used", limit.used);
        object.end();
    });
    record.list("metadata", &entry.metadata, |out, (name, value)| {
        let mut object = Object::begin(out);
        object.text("name", name, bound::NAME);
        object.text("value", value, bound::VALUE);
        object.end();
    });
    record.object("outcome", |object| write_outcome(object, &entry.outcome));
    record.list("policies", &entry.policies, |out, policy| json::text(out, policy, bound::NAME));
    record.text("request_id", &entry.request_id, bound::ID);
    record.text("resource", &entry.resource, bound::RESOURCE);
    record.text("tenant", &entry.tenant, bound::NAME);
    record.text("time", &time::format(entry.time), bound::ID);
    record.text("trace_id", &entry.trace_id, bound::ID);
    record.object("usage", |usage| write_usage(usage, &entry.usage));
    record.count("version", VERSION);
    record.end();
    if out.len() > MAX_ENTRY_BYTES { Err(TooLarge { bytes: out.len() }) } else { Ok(out) }
}

fn actor_kind(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Anonymous => "anonymous",
        ActorKind::Client => "client",
        ActorKind::Host => "host",
    }
}

fn write_outcome(object: &mut Object<'_>, outcome: &Outcome) {
    let (kind, detail, status) = match outcome {
        Outcome::Answered(status) => ("answered", None, Some(*status)),
        Outcome::Denied => ("denied", None, None),
        Outcome::Limited => ("limited", None, None),
        Outcome::Refused(bound) => ("refused", Some(bound), None),
        Outcome::Failed(fault) => ("failed", Some(fault), None),
        Outcome::Abandoned => ("abandoned", None, None),
        Outcome::Interrupted => ("interrupted", None, None),
    };
    if let Some(detail) = detail {
        object.text("detail", detail, bound::NAME);
    }
    object.text("kind", kind, bound::NAME);
    if let Some(status) = status {
        object.count("status", u64::from(status));
    }
}

fn write_usage(object: &mut Object<'_>, usage: &Usage) {
    object.count("bytes_in", usage.bytes_in);
    object.count("bytes_out", usage.bytes_out);
    object.count("cpu_ns", usage.cpu_ns);
    object.count("fuel", usage.fuel);
    object.count("gas", usage.gas);
    object.count("host_calls", usage.host_calls);
    object.count("memory_bytes", usage.memory_bytes);
    object.count("wall_ns", usage.wall_ns);
}

#[cfg(test)]
pub(crate) mod tests;
