//! What the book of open entries keeps of a request: enough for an `interrupted` record.

use serde::{Deserialize, Serialize};
use std::io;
use tollgate_runtime::{Actor, ActorKind, Entry, Outcome, Usage};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    request_id: String,
    time: u64,
    tenant: String,
    actor_id: String,
    actor_kind: Kind,
    actor_groups: Vec<String>,
    action: String,
    resource: String,
    client_address: String,
    metadata: Vec<(String, String)>,
    trace_id: String,
    policies: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Anonymous,
    Client,
    Host,
}

impl Note {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            request_id: entry.request_id.clone(),
            time: entry.time,
            tenant: entry.tenant.clone(),
            actor_id: entry.actor.id.clone(),
            actor_kind: match entry.actor.kind {
                ActorKind::Anonymous => Kind::Anonymous,
                ActorKind::Client => Kind::Client,
                ActorKind::Host => Kind::Host,
            },
            actor_groups: entry.actor.groups.clone(),
            action: entry.action.clone(),
            resource: entry.resource.clone(),
            client_address: entry.client_address.clone(),
            metadata: entry.metadata.clone(),
            trace_id: entry.trace_id.clone(),
            policies: entry.policies.clone(),
        }
    }

    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }

    /// Reads a note. What can't be read still stands for a request that was admitted, and it is recorded as far as
    /// it is known.
    pub(super) fn decode(request_id: &str, bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).ok().filter(|note: &Self| note.request_id == request_id).unwrap_or_else(
            || Self {
                request_id: request_id.to_owned(),
                time: 0,
                tenant: String::new(),
                actor_id: "anonymous".to_owned(),
                actor_kind: Kind::Anonymous,
                actor_groups: Vec::new(),
                action: String::new(),
                resource: String::new(),
                client_address: String::new(),
                metadata: vec![("note".to_owned(), "unreadable".to_owned())],
                trace_id: String::new(),
                policies: Vec::new(),
            },
        )
    }

    /// The record of a request that the host stopped in. What it took is not known.
    pub(super) fn interrupted(&self) -> Entry {
        let note = self.clone();
        Entry {
            request_id: note.request_id,
            time: note.time,
            tenant: note.tenant,
            actor: Actor {
                id: note.actor_id,
                kind: match note.actor_kind {
                    Kind::Anonymous => ActorKind::Anonymous,
                    Kind::Client => ActorKind::Client,
                    Kind::Host => ActorKind::Host,
                },
                groups: note.actor_groups,
            },
            action: note.action,
            resource: note.resource,
            outcome: Outcome::Interrupted,
            client_address: note.client_address,
            metadata: note.metadata,
            trace_id: note.trace_id,
            usage: Usage {
                gas: 0,
                fuel: 0,
                memory_bytes: 0,
                cpu: 0,
                wall: 0,
                host_calls: 0,
                bytes_in: 0,
                bytes_out: 0,
            },
            limits: Vec::new(),
            policies: note.policies,
        }
    }
}
