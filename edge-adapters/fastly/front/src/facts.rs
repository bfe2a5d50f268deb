//! What the gate may know of a request, in the spelling of [`tollgate_request`].

use crate::bindings::tollgate::gate::types::{Actor, ActorKind, Facts};
use crate::house::Entry;
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::net::IpAddr;
use tollgate_request::{Spelling, Unreadable, bearer, content_length, shown, trace_id};

/// Who is at the other end, as the platform knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The address, without port.
    pub(crate) address: IpAddr,
    /// Whether the connection is TLS.
    pub(crate) tls: bool,
}

impl Peer {
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A request as it came in: where it goes to, and the ids that follow it everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    peer: Peer,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) uri: Uri,
    pub(crate) request_id: String,
    trace_id: String,
    received_at: u64,
}

impl Arrival {
    /// Reads the target of a request. The two ids are random; `now` is Unix nanoseconds.
    ///
    /// # Errors
    /// What could be understood in more than one way.
    pub(crate) fn of(parts: &Parts, peer: Peer, ids: [[u8; 16]; 2], now: u64) -> Result<Self, Unreadable> {
        let Spelling { host, path, uri } = Spelling::of(parts, peer.scheme())?;
        let [request_id, fresh_trace] = ids.map(hex::encode);
        let trace_id = trace_id(&parts.headers).unwrap_or(fresh_trace);
        Ok(Self { peer, host, path, uri, request_id, trace_id, received_at: now })
    }

    /// The facts of this request on a route. Its headers are the clean ones that the app will get.
    pub(crate) fn facts(&self, parts: &Parts, entry: &Entry) -> Result<Facts, Unreadable> {
        Ok(Facts {
            request_id: self.request_id.clone(),
            received_at: self.received_at,
            tenant: entry.tenant.name.clone(),
            app: entry.route.app.clone(),
            route: entry.route.name.clone(),
            component: entry.route.component.clone(),
            method: parts.method.as_str().to_owned(),
            scheme: self.peer.scheme().to_owned(),
            host: self.host.clone(),
            path: self.path.clone(),
            query: parts.uri.query().map(str::to_owned),
            client_address: self.peer.address.to_canonical().to_string(),
            actor: actor(&parts.headers, entry),
            headers: shown(&parts.headers, &entry.shown)?,
            body_length: content_length(&parts.headers),
            trace_id: self.trace_id.clone(),
        })
    }
}

/// Who asks. A token that the tenant does not know may be meant for the app, so it makes the caller anonymous and not
/// refused.
fn actor(headers: &HeaderMap, entry: &Entry) -> Actor {
    match bearer(headers).and_then(|token| entry.client(token)) {
        Some(client) => {
            Actor { id: client.name.clone(), kind: ActorKind::Client, groups: client.groups.clone() }
        }
        None => Actor { id: "anonymous".to_owned(), kind: ActorKind::Anonymous, groups: Vec::new() },
    }
}

#[cfg(test)]
mod tests;
