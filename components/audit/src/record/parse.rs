//! Reading a record back, and refusing every form of it but the canonical one.

use serde::Deserialize;

use super::{Actor, ActorKind, Entry, LimitUse, Outcome, Usage, VERSION, canonical, time};

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON of a record's shape.
    #[error("not a record: {0}")]
    Shape(#[from] serde_json::Error),
    /// A field has no meaning.
    #[error("the record's field `{0}` has a value that is not one of its kind")]
    Field(&'static str),
    /// A record, but not written in the canonical way.
    #[error("the record is not written in its canonical form")]
    NotCanonical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecord {
    action: String,
    actor: RawActor,
    client_address: String,
    limits: Vec<RawLimit>,
    metadata: Vec<RawPair>,
    outcome: RawOutcome,
    policies: Vec<String>,
    request_id: String,
    resource: String,
    tenant: String,
    time: String,
    trace_id: String,
    usage: RawUsage,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawActor {
    groups: Vec<String>,
    id: String,
    kind: RawActorKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawActorKind {
    Anonymous,
    Client,
    Host,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    limit: u64,
    name: String,
    used: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutcome {
    kind: String,
    detail: Option<String>,
    status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUsage {
    bytes_in: u64,
    bytes_out: u64,
    cpu_ns: u64,
    fuel: u64,
    gas: u64,
    host_calls: u64,
    memory_bytes: u64,
    wall_ns: u64,
}

impl RawOutcome {
    fn checked(self) -> Result<Outcome, RecordError> {
        match (self.kind.as_str(), self.detail, self.status) {
            ("answered", None, Some(status)) => Ok(Outcome::Answered(status)),
            ("denied", None, None) => Ok(Outcome::Denied),
            ("limited", None, None) => Ok(Outcome::Limited),
            ("refused", Some(bound), None) => Ok(Outcome::Refused(bound)),
            ("failed", Some(fault), None) => Ok(Outcome::Failed(fault)),
            ("abandoned", None, None) => Ok(Outcome::Abandoned),
            ("interrupted", None, None) => Ok(Outcome::Interrupted),
            _ => Err(RecordError::Field("outcome")),
        }
    }
}

/// Reads a record's bytes.
///
/// # Errors
/// If they are not a record of version 1, or differ in any byte from its canonical form.
pub fn parse(bytes: &[u8]) -> Result<Entry, RecordError> {
    let raw: RawRecord = serde_json::from_slice(bytes)?;
    if raw.version != VERSION {
        return Err(RecordError::Field("version"));
    }
    let kind = match raw.actor.kind {
        RawActorKind::Anonymous => ActorKind::Anonymous,
        RawActorKind::Client => ActorKind::Client,
        RawActorKind::Host => ActorKind::Host,
    };
    let usage = Usage {
        gas: raw.usage.gas,
        fuel: raw.usage.fuel,
        memory_bytes: raw.usage.memory_bytes,
        cpu_ns: raw.usage.cpu_ns,
        wall_ns: raw.usage.wall_ns,
        host_calls: raw.usage.host_calls,
        bytes_in: raw.usage.bytes_in,
        bytes_out: raw.usage.bytes_out,
    };
    let limit = |raw: RawLimit| LimitUse { name: raw.name, used: raw.used, limit: raw.limit };
    let entry = Entry {
        request_id: raw.request_id,
        time: time::parse(&raw.time).ok_or(RecordError::Field("time"))?,
        tenant: raw.tenant,
        actor: Actor { id: raw.actor.id, kind, groups: raw.actor.groups },
        action: raw.action,
        resource: raw.resource,
        outcome: raw.outcome.checked()?,
        client_address: raw.client_address,
        metadata: raw.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        trace_id: raw.trace_id,
        usage,
        limits: raw.limits.into_iter().map(limit).collect(),
        policies: raw.policies,
    };
    match canonical(&entry) {
        Ok(written) if written == bytes => Ok(entry),
        _ => Err(RecordError::NotCanonical),
    }
}
