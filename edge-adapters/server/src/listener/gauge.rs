//! How many connections there are, in all and of each client, and what was refused.

use super::accept::AcceptError;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Figures of a listener. All but the first only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ListenerStatus {
    /// Connections now.
    pub connections: usize,
    /// Connections that were taken.
    pub accepted: u64,
    /// Connections refused because there were too many in all.
    pub over_total: u64,
    /// Connections refused because their client had too many.
    pub over_client: u64,
    /// Connections that broke before they were accepted.
    pub broken: u64,
    /// Times that the host was out of descriptors or memory, or accepting failed in another way.
    pub exhausted: u64,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// Connections that took too long to say what they want.
    pub head_timeouts: u64,
    /// HTTP/2 connections ended because their client did not take its responses.
    pub stalled: u64,
    /// Requests that were refused before anybody was asked: too large, or malformed.
    pub malformed: u64,
    /// Requests whose handling panicked.
    pub panics: u64,
}

pub(super) struct Gauges {
    most: usize,
    most_per_client: usize,
    connections: AtomicUsize,
    clients: DashMap<IpAddr, usize>,
    accepted: AtomicU64,
    over_total: AtomicU64,
    over_client: AtomicU64,
    broken: AtomicU64,
    exhausted: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) head_timeouts: AtomicU64,
    pub(super) stalled: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) panics: AtomicU64,
}

/// A connection's place. Given back when dropped.
pub(super) struct Place {
    gauges: Arc<Gauges>,
    client: IpAddr,
}

impl Gauges {
    pub(super) fn new(most: usize, most_per_client: usize) -> Self {
        Self {
            most,
            most_per_client,
            connections: AtomicUsize::new(0),
            clients: DashMap::new(),
            accepted: AtomicU64::new(0),
            over_total: AtomicU64::new(0),
            over_client: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            exhausted: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            head_timeouts: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// A place for a connection of this address, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let more = |now| (now < self.most).then_some(now + 1);
        if self.connections.fetch_update(Relaxed, Relaxed, more).is_err() {
            self.over_total.fetch_add(1, Relaxed);
            return None;
        }
        let client = network(address);
        let mut count = self.clients.entry(client).or_insert(0);
        if *count >= self.most_per_client {
            drop(count);
            self.connections.fetch_sub(1, Relaxed);
            self.over_client.fetch_add(1, Relaxed);
            return None;
        }
        *count += 1;
        drop(count);
        self.accepted.fetch_add(1, Relaxed);
        Some(Place { gauges: Arc::clone(self), client })
    }

    pub(super) fn accept_error(&self, kind: AcceptError) {
        let count = if kind == AcceptError::Connection { &self.broken } else { &self.exhausted };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn status(&self) -> ListenerStatus {
        ListenerStatus {
            connections: self.connections.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            over_total: self.over_total.load(Relaxed),
            over_client: self.over_client.load(Relaxed),
            broken: self.broken.load(Relaxed),
            exhausted: self.exhausted.load(Relaxed),
            handshakes_failed: self.handshakes_failed.load(Relaxed),
            head_timeouts: self.head_timeouts.load(Relaxed),
            stalled: self.stalled.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            panics: self.panics.load(Relaxed),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.gauges.clients.entry(self.client) {
            if *count.get() <= 1 {
                count.remove();
            } else {
                *count.get_mut() -= 1;
            }
        }
        self.gauges.connections.fetch_sub(1, Relaxed);
    }
}

/// Whom connections are counted for: one subscriber has a whole IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_in_all_and_for_each_client_and_come_back() {
        let gauges = Arc::new(Gauges::new(3, 2));
        let first = gauges.admit(address("192.0.2.1")).unwrap();
        let second = gauges.admit(address("192.0.2.1")).unwrap();
        assert!(gauges.admit(address("192.0.2.1")).is_none());
        let third = gauges.admit(address("192.0.2.2")).unwrap();
        assert!(gauges.admit(address("192.0.2.3")).is_none());
        let status = gauges.status();
        assert_eq!((status.connections, status.over_total, status.over_client), (3, 1, 1));
        drop((first, second, third));
        assert_eq!(gauges.status().connections, 0);
        assert!(gauges.clients.is_empty(), "no trace of clients that are gone");
        assert!(gauges.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let gauges = Arc::new(Gauges::new(10, 1));
        let _first = gauges.admit(address("2001:db8:1:2::1")).unwrap();
        assert!(gauges.admit(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(gauges.admit(address("2001:db8:1:3::1")).is_some());
    }
}
