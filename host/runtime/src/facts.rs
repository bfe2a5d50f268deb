//! What the gate may know of a request: made here, once, in the spelling of [`tollgate_request`].

use crate::bindings::{Actor, ActorKind, Facts};
use crate::route::{Client, Route};
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_request::{Spelling, Unreadable, bearer, content_length, shown, trace_id};

/// Who is at the other end of a connection, as the listener knows it.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address, without port.
    pub address: IpAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// The host and path of a request, each in one spelling, and the ids that follow it everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) path: String,
    /// What the app gets: scheme, host and port, path and query, all in the spelling that the gate sees.
    pub(crate) uri: Uri,
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    pub(crate) received_at_ns: u64,
}

impl Target {
    /// Reads the target of a request.
    pub(crate) fn of(parts: &Parts, peer: &Peer) -> Result<Self, Unreadable> {
        let Spelling { host, path, uri } = Spelling::of(parts, scheme(peer))?;
        Ok(Self {
            host,
            path,
            uri,
            request_id: hex::encode(random_id()),
            trace_id: trace_id(&parts.headers).unwrap_or_else(|| hex::encode(random_id())),
            received_at_ns: unix_ns(),
        })
    }
}

fn scheme(peer: &Peer) -> &'static str {
    if peer.tls { "https" } else { "http" }
}

/// The present time, for records.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    // Without a source of randomness the ids would only be less unlike: the time keeps them apart.
    if getrandom::fill(&mut id).is_err() {
        id = u128::from(unix_ns()).to_be_bytes();
    }
    id
}

/// The facts of a request on a route. Its headers are those that the app will get.
pub(crate) fn facts(
    parts: &Parts,
    peer: &Peer,
    target: &Target,
    route: &Route,
    clients: &[Client],
) -> Result<Facts, Unreadable> {
    Ok(Facts {
        request_id: target.request_id.clone(),
        received_at: target.received_at_ns,
        tenant: route.tenant.as_str().into(),
        app: route.app_name.as_str().into(),
        route: route.name.as_str().into(),
        component: route.digest().into(),
        method: parts.method.as_str().into(),
        scheme: scheme(peer).into(),
        host: target.host.clone(),
        path: target.path.clone(),
        query: parts.uri.query().map(str::to_owned),
        client_address: peer.address.to_canonical().to_string(),
        actor: actor(&parts.headers, clients),
        headers: shown(&parts.headers, &route.headers)?,
        body_length: content_length(&parts.headers),
        trace_id: target.trace_id.clone(),
    })
}

/// Who asks, by the bearer token (RFC 6750). A token that the tenant does not know may be meant for the app, so it
/// makes the caller anonymous and not refused.
fn actor(headers: &HeaderMap, clients: &[Client]) -> Actor {
    let client = bearer(headers).and_then(|token| Client::known(clients, token));
    match client {
        Some(client) => Actor {
            id: client.name.as_str().into(),
            kind: ActorKind::Client,
            groups: client.groups.iter().map(|group| group.as_str().into()).collect(),
        },
        None => Actor { id: "anonymous".into(), kind: ActorKind::Anonymous, groups: Vec::new() },
    }
}
