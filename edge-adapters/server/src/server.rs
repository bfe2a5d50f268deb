//! The whole of it: listeners before the line, the admin address beside them, and how they stop.

use crate::admin::{Admin, Check};
use crate::audit_book::AuditBook;
use crate::listener::{
    AnswerBody, BoxError, Certificate, Handler, ListenError, Listener, ListenerOptions, ListenerStatus,
};
use crate::telemetry::{Metrics, dropped_lines};
use futures::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tollgate_runtime::{Line, Peer, RequestBody, Used};

/// Where the server listens, and how it stops.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where requests come in.
    pub listeners: Vec<ListenerOptions>,
    /// The admin address, if there is to be one.
    pub admin: Option<ListenerOptions>,
    /// How long requests may take to come to their end when the server stops.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { listeners: vec![ListenerOptions::default()], admin: None, drain: Duration::from_secs(30) }
    }
}

/// What the server is made of.
pub struct ServerParts {
    /// Who answers: a [`LineHandler`], or anything else in a test.
    pub handler: Arc<dyn Handler>,
    /// The audit book, closed when the last request is over.
    pub book: Option<Arc<AuditBook>>,
    /// What `/metrics` shows; the server adds its own figures.
    pub metrics: Arc<Metrics>,
    /// What `/ready` asks; the server adds the audit book.
    pub checks: Vec<Check>,
    /// What `/status` shows, for example [`line_status`].
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
}

/// The line, as the listeners ask it.
pub struct LineHandler(Arc<Line>);

impl LineHandler {
    /// A handler that asks this line.
    #[must_use]
    pub fn new(line: Arc<Line>) -> Self {
        Self(line)
    }
}

impl Handler for LineHandler {
    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        let line = Arc::clone(&self.0);
        Box::pin(async move {
            line.serve(request, peer).await.map(|body| body.map_err(BoxError::from).boxed_unsync())
        })
    }

    fn under_way(&self) -> usize {
        self.0.under_way()
    }
}

/// Every tenant with what it uses and what it may use.
#[must_use]
pub fn line_status(line: &Line) -> Value {
    let house = line.house();
    let tenants: serde_json::Map<String, Value> = house
        .tenants()
        .map(|tenant| {
            let figures = json!({
                "running": { "used": tenant.running, "limit": tenant.totals.concurrent_requests },
                "memory_bytes": used(tenant.memory_bytes),
                "instances": used(tenant.instances),
                "egress_bytes_this_hour": used(tenant.egress_bytes),
                "gas_this_hour": used(tenant.gas),
                "storage_bytes": used(tenant.storage_bytes),
                "waiting": { "used": tenant.waiting, "limit": tenant.totals.queued_requests },
                "since_start": {
                    "requests": tenant.spent.requests,
                    "host_calls": tenant.spent.host_calls,
                    "gas": {
                        "fuel": tenant.spent.gas_for_fuel,
                        "memory": tenant.spent.gas_for_memory,
                        "all": tenant.spent.gas,
                    },
                },
                "gate": if tenant.gate_up { "up" } else { "down" },
            });
            (tenant.name.to_string(), figures)
        })
        .collect();
    json!({ "tenants": tenants, "refused_routes": house.refused_routes() })
}

fn used(figure: Used) -> Value {
    json!({ "used": figure.used, "limit": figure.limit })
}

/// A dependency: that gates can decide. One tenant's gate that can't is that tenant's trouble, and shown in the status;
/// a host is not ready when none can.
pub fn gates_check(line: Arc<Line>) -> Check {
    Check::new("gates", move || {
        let house = line.house();
        let (mut up, mut down) = (0_usize, 0_usize);
        for tenant in house.tenants() {
            *(if tenant.gate_up { &mut up } else { &mut down }) += 1;
        }
        let outcome = if up > 0 || down == 0 { Ok(()) } else { Err(format!("all {down} are down")) };
        Box::pin(std::future::ready(outcome))
    })
}

/// Starts servers.
pub struct Server;

impl Server {
    /// Binds every address, or none, and begins to answer. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Any [`ListenError`].
    pub fn start(options: ServerOptions, parts: ServerParts) -> Result<Running, ListenError> {
        let ServerParts { handler, book, metrics, mut checks, status } = parts;
        let listeners: Result<Vec<_>, _> = options
            .listeners
            .into_iter()
            .map(|one| Listener::start(one, Arc::clone(&handler)).map(Arc::new))
            .collect();
        let listeners = listeners?;
        if let Some(book) = book.clone() {
            // Weak, here and below: the book counts its records in the metrics, and must not be kept by them.
            let waiting = Arc::downgrade(&book);
            metrics.observe("audit_waiting", "Records that wait for the audit log", move || {
                waiting.upgrade().map_or(0, |book| gauge(book.waiting()))
            });
            checks.push(Check::new("audit-log", move || {
                Box::pin(std::future::ready(book.ready().map_err(|error| error.to_string())))
            }));
        }
        observe(&metrics, &listeners);
        let admin = Arc::new(Admin::new(checks, metrics, status));
        let admin_handler: Arc<dyn Handler> = Arc::<Admin>::clone(&admin);
        let admin_listener = options.admin.map(|one| Listener::start(one, admin_handler)).transpose()?;
        let (done, _) = watch::channel(None);
        Ok(Running { listeners, admin, admin_listener, book, drain: options.drain, done })
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The listeners' figures, summed over all of them.
fn observe(metrics: &Metrics, listeners: &[Arc<Listener>]) {
    type Figure = fn(&ListenerStatus) -> u64;
    let figures: [(&str, &str, Figure); 11] = [
        ("connections", "Connections now", |status| status.connections as u64),
        ("connections_accepted", "Connections taken", |status| status.accepted),
        ("connections_over_total", "Connections refused: too many in all", |status| status.over_total),
        ("connections_over_client", "Connections refused: too many of one client", |status| {
            status.over_client
        }),
        ("connections_broken", "Connections that broke before they were accepted", |status| status.broken),
        ("accept_exhausted", "Times that accepting failed for want of descriptors or memory", |status| {
            status.exhausted
        }),
        ("handshakes_failed", "TLS handshakes that failed", |status| status.handshakes_failed),
        ("head_timeouts", "Requests whose head took too long", |status| status.head_timeouts),
        (
            "connections_stalled",
            "HTTP/2 connections ended: the client did not take its responses",
            |status| status.stalled,
        ),
        ("malformed_requests", "Requests that the listener refused", |status| status.malformed),
        ("handler_panics", "Requests whose handling panicked", |status| status.panics),
    ];
    for (name, help, figure) in figures {
        let listeners: Vec<_> = listeners.iter().map(Arc::downgrade).collect();
        metrics.observe(name, help, move || {
            let here = listeners.iter().filter_map(Weak::upgrade);
            let sum: u64 = here.map(|listener| figure(&listener.status())).sum();
            i64::try_from(sum).unwrap_or(i64::MAX)
        });
    }
    metrics.observe("log_lines_dropped", "Log lines dropped because too many waited", || {
        i64::try_from(dropped_lines()).unwrap_or(i64::MAX)
    });
}

/// A server that answers.
pub struct Running {
    listeners: Vec<Arc<Listener>>,
    admin: Arc<Admin>,
    admin_listener: Option<Listener>,
    book: Option<Arc<AuditBook>>,
    drain: Duration,
    done: watch::Sender<Option<bool>>,
}

impl Running {
    /// Where requests come in, in the order of the options, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address()).collect()
    }

    /// The admin address.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_listener.as_ref().map(Listener::address)
    }

    /// The certificates that its listeners show.
    #[must_use]
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.listeners.iter().filter_map(|listener| listener.certificate()).collect()
    }

    /// Stops: is not ready any more, takes no new connections, lets requests come to their end, writes every record,
    /// and ends. Returns whether every request came to its end.
    pub async fn drain(&self) -> bool {
        self.admin.stopping();
        let whole = join_all(self.listeners.iter().map(|listener| listener.drain(self.drain))).await;
        if let Some(book) = &self.book {
            book.close().await;
        }
        if let Some(admin) = &self.admin_listener {
            // Nobody waits for more than one answer here.
            admin.drain(Duration::from_secs(1)).await;
        }
        let whole = whole.into_iter().all(|whole| whole);
        self.done.send_replace(Some(whole));
        whole
    }

    /// Waits until the server has stopped, and returns what [`Running::drain`] returned.
    pub async fn done(&self) -> bool {
        let mut done = self.done.subscribe();
        let ended = done.wait_for(Option::is_some).await.ok().and_then(|ended| *ended);
        ended.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
