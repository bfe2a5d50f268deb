//! Records that the host makes by itself: of a request whose gate can't, and of one that was admitted and not yet
//! settled.

use crate::bindings::admission::Ending;
use crate::bindings::{Entry, Facts, Outcome, Usage};

/// Nothing taken.
pub(crate) const NOTHING: Usage =
    Usage { gas: 0, fuel: 0, memory_bytes: 0, cpu: 0, wall: 0, host_calls: 0, bytes_in: 0, bytes_out: 0 };

/// A request's record, as the gate's `settle` would make it.
pub(crate) fn of(facts: &Facts, ending: Ending) -> Entry {
    Entry {
        request_id: facts.request_id.clone(),
        time: facts.received_at,
        tenant: facts.tenant.clone(),
        actor: facts.actor.clone(),
        action: facts.method.clone(),
        resource: format!("{}/{}/{} {} {}", facts.tenant, facts.app, facts.route, facts.host, facts.path),
        outcome: ending.outcome,
        client_address: facts.client_address.clone(),
        metadata: ending.metadata,
        trace_id: facts.trace_id.clone(),
        usage: ending.usage,
        limits: ending.limits,
        policies: ending.policies,
    }
}

/// The record of a request that the host stopped in: written down at admission, found at the next start.
pub(crate) fn interrupted(facts: &Facts, policies: &[String]) -> Entry {
    of(facts, ending(Outcome::Interrupted, policies.to_vec()))
}

/// An ending of a request that took nothing.
pub(crate) fn ending(outcome: Outcome, policies: Vec<String>) -> Ending {
    Ending {
        outcome,
        usage: NOTHING,
        limits: Vec::new(),
        metadata: Vec::new(),
        policies,
        charges: Vec::new(),
        now: crate::facts::unix_ns(),
    }
}
