//! `[host.listener]`: the bounds on clients' connections.

use super::read::{Table, or};
use std::time::Duration;
use tollgate_server::ListenerOptions;

/// The bounds on clients' connections. The listener holds them all to ranges of its own, which are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client.
    pub connections_per_client: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take; so it is also how long a connection may be idle.
    pub head: Duration,
    /// How long a request's body may pause.
    pub body_pause: Duration,
    /// How long the client may refuse to take what is sent to it.
    pub write_pause: Duration,
    /// Bytes that the system may hold of a connection that are not read yet.
    pub receive_bytes: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        let ListenerOptions {
            connections,
            connections_per_client,
            handshake,
            head,
            body_pause,
            write_pause,
            receive_bytes,
            head_bytes,
            target_bytes,
            headers,
            ..
        } = ListenerOptions::default();
        Self {
            connections,
            connections_per_client,
            handshake,
            head,
            body_pause,
            write_pause,
            receive_bytes,
            head_bytes,
            target_bytes,
            headers,
        }
    }
}

impl ListenerLimits {
    /// A listener's options with these bounds, and every other at its default.
    #[must_use]
    pub fn options(&self) -> ListenerOptions {
        ListenerOptions {
            connections: self.connections,
            connections_per_client: self.connections_per_client,
            handshake: self.handshake,
            head: self.head,
            body_pause: self.body_pause,
            write_pause: self.write_pause,
            receive_bytes: self.receive_bytes,
            head_bytes: self.head_bytes,
            target_bytes: self.target_bytes,
            headers: self.headers,
            ..ListenerOptions::default()
        }
    }
}

/// Reads `[host.listener]`.
pub(super) fn read(table: &Table<'_>) -> Option<ListenerLimits> {
    let default = ListenerLimits::default();
    let count = |key, default: usize, least, most| {
        or(table.get(key), default, |value| value.integer(least, most).and_then(|n| usize::try_from(n).ok()))
    };
    let bytes =
        |key, default: usize, least, most| or(table.get(key), default, |value| value.bytes(least, most));
    let time = |key, default| {
        or(table.get(key), default, |value| {
            value.duration(Duration::from_millis(10), Duration::from_secs(3600))
        })
    };
    let connections = count("connections", default.connections, 1, 1_000_000);
    let connections_per_client =
        count("connections-per-client", default.connections_per_client, 1, 1_000_000);
    let handshake = time("handshake", default.handshake);
    let head = time("head", default.head);
    let body_pause = time("body-pause", default.body_pause);
    let write_pause = time("write-pause", default.write_pause);
    let receive_bytes = bytes("receive-bytes", default.receive_bytes, 64 << 10, 64 << 20);
    let head_bytes = bytes("head-bytes", default.head_bytes, 1 << 10, 1 << 20);
    let target_bytes = bytes("target-bytes", default.target_bytes, 256, 60 << 10);
    let headers = count("headers", default.headers, 10, 1_000);
    Some(ListenerLimits {
        connections: connections?,
        connections_per_client: connections_per_client?,
        handshake: handshake?,
        head: head?,
        body_pause: body_pause?,
        write_pause: write_pause?,
        receive_bytes: receive_bytes?,
        head_bytes: head_bytes?,
        target_bytes: target_bytes?,
        headers: headers?,
    })
}
