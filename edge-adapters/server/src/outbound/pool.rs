//! The connections of each tenant: how many there are, and which wait to be used again.

use super::connect::Connection;
use super::{OutboundOptions, WasiBody};
use dashmap::DashMap;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tollgate_runtime::{Egress, EgressError, Name, Origin};

/// How long a connection may take, after a response's end, to be ready for the next request.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// Every tenant's pool.
pub(super) struct Pools {
    tenants: DashMap<Name, Arc<TenantPool>>,
    open: Arc<AtomicUsize>,
    most: usize,
    idle: Duration,
    lookups_per_tenant: usize,
}

impl Pools {
    pub(super) fn new(options: &OutboundOptions) -> Arc<Self> {
        Arc::new(Self {
            tenants: DashMap::new(),
            open: Arc::new(AtomicUsize::new(0)),
            most: options.connections,
            idle: options.idle,
            lookups_per_tenant: options.lookups_per_tenant,
        })
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn of(&self, tenant: &Name) -> Arc<TenantPool> {
        if let Some(pool) = self.tenants.get(tenant) {
            return Arc::clone(&pool);
        }
        let made = || {
            Arc::new(TenantPool {
                open: Arc::new(AtomicUsize::new(0)),
                all: Arc::clone(&self.open),
                most_of_all: self.most,
                idle_for: self.idle,
                idle: Mutex::new(Waiting::default()),
                lookups: Arc::new(Semaphore::new(self.lookups_per_tenant)),
            })
        };
        Arc::clone(&self.tenants.entry(tenant.clone()).or_insert_with(made))
    }
}

/// One tenant's connections.
pub(super) struct TenantPool {
    open: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
    most_of_all: usize,
    idle_for: Duration,
    idle: Mutex<Waiting>,
    /// The tenant's bound on name look-ups.
    pub(super) lookups: Arc<Semaphore>,
}

/// The connections that wait.
#[derive(Default)]
struct Waiting {
    /// Oldest first.
    idle: VecDeque<Idle>,
    /// Whether a task is there to close what waited too long.
    swept: bool,
}

struct Idle {
    origin: Origin,
    since: Instant,
    held: Held,
}

/// The right to have one connection open. Given back when dropped.
pub(super) struct Slot {
    counts: [Arc<AtomicUsize>; 2],
}

impl Drop for Slot {
    fn drop(&mut self) {
        for count in &self.counts {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A connection and its slot. To drop it closes it: the slot is free when the socket is about to be.
struct Held {
    connection: Connection,
    _slot: Slot,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.driver.abort();
    }
}

impl Held {
    fn usable(&self) -> bool {
        !self.connection.sender.is_closed()
    }
}

impl TenantPool {
    /// A connection that waits, to this origin, at an address that `egress` permits. What is closed or too old is
    /// dropped on the way.
    pub(super) fn take_idle(self: &Arc<Self>, origin: &Origin, egress: &Egress) -> Option<Lease> {
        let idle = &mut self.idle.lock().idle;
        let now = Instant::now();
        idle.retain(|idle| idle.held.usable() && now.duration_since(idle.since) < self.idle_for);
        // The youngest first: it is the least likely to have been closed by its peer.
        let found = idle
            .iter()
            .rposition(|idle| idle.origin == *origin && egress.address(idle.held.connection.peer.ip()))?;
        let Idle { origin, held, .. } = idle.remove(found)?;
        Some(Lease { pool: Arc::clone(self), origin, held })
    }

    /// Leave to open one more connection. When the tenant has all it may have, the one that waited longest is closed
    /// for it.
    pub(super) fn slot(&self, most: usize) -> Result<Slot, EgressError> {
        loop {
            let refused = match take(&self.open, most) {
                Ok(()) => match take(&self.all, self.most_of_all) {
                    Ok(()) => return Ok(Slot { counts: [Arc::clone(&self.open), Arc::clone(&self.all)] }),
                    Err(limit) => {
                        self.open.fetch_sub(1, Ordering::Relaxed);
                        EgressError::Limit { what: "outgoing connections of the host", limit }
                    }
                },
                Err(limit) => EgressError::Limit { what: "outgoing connections of the tenant", limit },
            };
            let oldest = self.idle.lock().idle.pop_front();
            if oldest.is_none() {
                return Err(refused);
            }
        }
    }

    fn put_back(self: &Arc<Self>, origin: Origin, held: Held) {
        let mut waiting = self.idle.lock();
        waiting.idle.push_back(Idle { origin, since: Instant::now(), held });
        if !std::mem::replace(&mut waiting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_for));
        }
    }

    /// Closes what waited too long. Returns when the next one will have; none, and the sweep ends, when none waits.
    fn close_old(&self) -> Option<Instant> {
        let mut waiting = self.idle.lock();
        let now = Instant::now();
        waiting.idle.retain(|idle| idle.held.usable() && now.duration_since(idle.since) < self.idle_for);
        waiting.swept = !waiting.idle.is_empty();
        waiting.idle.front().map(|oldest| oldest.since + self.idle_for)
    }
}

/// Nobody may ask for a pooled connection for a long time, so it ends by itself, too.
async fn sweep(pool: Weak<TenantPool>, first: Duration) {
    let mut next = Instant::now() + first;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let Some(later) = pool.close_old() else { return };
        next = later;
    }
}

fn take(count: &AtomicUsize, most: usize) -> Result<(), usize> {
    let taken =
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1));
    taken.map(drop).map_err(|_| most)
}

/// A connection in use. To drop it closes it; [`Lease::give_back`] keeps it for the tenant's next request.
pub(super) struct Lease {
    pool: Arc<TenantPool>,
    origin: Origin,
    held: Held,
}

impl Lease {
    pub(super) fn new(pool: Arc<TenantPool>, origin: Origin, connection: Connection, slot: Slot) -> Self {
        Self { pool, origin, held: Held { connection, _slot: slot } }
    }

    pub(super) fn send(
        &mut self,
        request: Request<WasiBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<WasiBody>>>> + Send {
        self.held.connection.sender.try_send_request(request)
    }

    /// Keeps the connection, once it is ready for another request. If its peer asked for it to be closed, or it is
    /// still busy with a request body, it is closed.
    pub(super) fn give_back(mut self) {
        if self.held.connection.sender.is_ready() {
            self.pool.put_back(self.origin, self.held);
            return;
        }
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(READY_WITHIN, self.held.connection.sender.ready()).await {
                self.pool.put_back(self.origin, self.held);
            }
        });
    }
}
