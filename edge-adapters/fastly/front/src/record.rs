//! The audit record in its canonical form, which is the same on every platform.

use crate::bindings::tollgate::gate::types;
use tollgate_audit::{Actor, ActorKind, Entry, LimitUse, Outcome, TooLarge, Usage, canonical};

/// The canonical bytes of what the gate has made of a request.
///
/// # Errors
/// If they are more than a record may have.
pub(crate) fn line(entry: types::Entry) -> Result<Vec<u8>, TooLarge> {
    let limit = |(name, used, limit)| LimitUse { name, used, limit };
    canonical(&Entry {
        request_id: entry.request_id,
        time: entry.time,
        tenant: entry.tenant,
        actor: actor(entry.actor),
        action: entry.action,
        resource: entry.resource,
        outcome: outcome(entry.outcome),
        client_address: entry.client_address,
        metadata: entry.metadata,
        trace_id: entry.trace_id,
        usage: usage(entry.usage),
        limits: entry.limits.into_iter().map(limit).collect(),
        policies: entry.policies,
    })
}

fn actor(actor: types::Actor) -> Actor {
    let kind = match actor.kind {
        types::ActorKind::Anonymous => ActorKind::Anonymous,
        types::ActorKind::Client => ActorKind::Client,
        types::ActorKind::Host => ActorKind::Host,
    };
    Actor { id: actor.id, kind, groups: actor.groups }
}

fn outcome(outcome: types::Outcome) -> Outcome {
    match outcome {
        types::Outcome::Answered(status) => Outcome::Answered(status),
        types::Outcome::Denied => Outcome::Denied,
        types::Outcome::Limited => Outcome::Limited,
        types::Outcome::Refused(bound) => Outcome::Refused(bound),
        types::Outcome::Failed(fault) => Outcome::Failed(fault),
        types::Outcome::Abandoned => Outcome::Abandoned,
        types::Outcome::Interrupted => Outcome::Interrupted,
    }
}

fn usage(usage: types::Usage) -> Usage {
    Usage {
        gas: usage.gas,
        fuel: usage.fuel,
        memory_bytes: usage.memory_bytes,
        cpu_ns: usage.cpu,
        wall_ns: usage.wall,
        host_calls: usage.host_calls,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
    }
}
