//! The component's shell: the `audit` interface of `wit/gate/audit.wit` over `wasi:keyvalue` and the host's signer.

use std::cell::RefCell;

use bindings::exports::tollgate::gate::audit::{AuditError, Guest};
use bindings::tollgate::gate::types;
use bindings::tollgate::platform::signer;
use bindings::wasi::keyvalue::{batch, store};

use crate::{Actor, ActorKind, Entry, LimitUse, Log, LogError, Outcome, Signer, Store, Usage};

#[allow(
    unsafe_code,
    unreachable_pub,
    missing_docs,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from the WIT"
)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/deps/keyvalue", "../../wit/platform", "../../wit/gate"],
        world: "tollgate:gate/audit-log",
        generate_all,
    });
}

thread_local! {
    /// The open log. A component has one thread, and an instance one log.
    static LOG: RefCell<Option<Log<Bucket, HostSigner>>> = const { RefCell::new(None) };
}

struct Component;

#[allow(unsafe_code, unreachable_pub, missing_docs, reason = "generated from the WIT")]
mod export {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}

impl Guest for Component {
    fn open(origin: String, store: String) -> Result<u64, AuditError> {
        LOG.with_borrow_mut(|slot| {
            *slot = None;
            let bucket = store::open(&store).map_err(|e| AuditError::Store(message(e)))?;
            let log = Log::open(&origin, Bucket(bucket), HostSigner)?;
            let size = log.size();
            *slot = Some(log);
            Ok(size)
        })
    }

    fn append(entries: Vec<types::Entry>) -> Result<u64, AuditError> {
        let entries: Vec<Entry> = entries.into_iter().map(Entry::from).collect();
        LOG.with_borrow_mut(|slot| Ok(slot.as_mut().ok_or(AuditError::NotOpen)?.append(&entries)?))
    }

    fn checkpoint() -> Result<String, AuditError> {
        LOG.with_borrow(|slot| Ok(slot.as_ref().ok_or(AuditError::NotOpen)?.checkpoint().to_owned()))
    }

    fn prove(index: u64, size: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        LOG.with_borrow(|slot| {
            let path = slot.as_ref().ok_or(AuditError::NotOpen)?.prove(index, size)?;
            Ok(path.iter().map(|hash| hash.to_vec()).collect())
        })
    }
}

struct Bucket(store::Bucket);

impl Store for Bucket {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.0.get(key).map_err(message)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let found = batch::get_many(&self.0, keys).map_err(message)?;
        Ok(found.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), String> {
        batch::set_many(&self.0, values).map_err(message)
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), String> {
        batch::delete_many(&self.0, keys).map_err(message)
    }
}

fn message(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "there is no store of this name".to_owned(),
        store::Error::AccessDenied => "the audit component was not granted this store".to_owned(),
        store::Error::Other(text) => text,
    }
}

struct HostSigner;

impl Signer for HostSigner {
    fn verifier_key(&self) -> String {
        signer::verifier_key()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        signer::sign(text)
    }
}

impl From<LogError> for AuditError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(text) => Self::Store(text),
            LogError::Corrupt(text) => Self::Corrupt(text),
            LogError::TooLarge(place) => Self::TooLarge(place),
            LogError::OutOfRange => Self::OutOfRange,
            LogError::Signer(text) => Self::Signer(text),
        }
    }
}

impl From<types::Entry> for Entry {
    fn from(entry: types::Entry) -> Self {
        let limit = |(name, used, limit)| LimitUse { name, used, limit };
        Self {
            request_id: entry.request_id,
            time: entry.time,
            tenant: entry.tenant,
            actor: entry.actor.into(),
            action: entry.action,
            resource: entry.resource,
            outcome: entry.outcome.into(),
            client_address: entry.client_address,
            metadata: entry.metadata,
            trace_id: entry.trace_id,
            usage: entry.usage.into(),
            limits: entry.limits.into_iter().map(limit).collect(),
            policies: entry.policies,
        }
    }
}

impl From<types::Actor> for Actor {
    fn from(actor: types::Actor) -> Self {
        let kind = match actor.kind {
            types::ActorKind::Anonymous => ActorKind::Anonymous,
            types::ActorKind::Client => ActorKind::Client,
            types::ActorKind::Host => ActorKind::Host,
        };
        Self { id: actor.id, kind, groups: actor.groups }
    }
}

impl From<types::Outcome> for Outcome {
    fn from(outcome: types::Outcome) -> Self {
        match outcome {
            types::Outcome::Answered(status) => Self::Answered(status),
            types::Outcome::Denied => Self::Denied,
            types::Outcome::Limited => Self::Limited,
            types::Outcome::Refused(bound) => Self::Refused(bound),
            types::Outcome::Failed(fault) => Self::Failed(fault),
            types::Outcome::Abandoned => Self::Abandoned,
            types::Outcome::Interrupted => Self::Interrupted,
        }
    }
}

impl From<types::Usage> for Usage {
    fn from(usage: types::Usage) -> Self {
        Self {
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
}
