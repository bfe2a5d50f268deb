//! Takes connections, and holds every bound on them: how many, how long each part of a request may take, and how
//! large its head may be.
//!
//! The accept loop never ends by itself and never waits for a client: handshakes, protocol detection and requests
//! all happen in the connection's own task. When the host stops, the loop ends first, then each connection after
//! the request it is at, and after the drain time those that are left.

mod accept;
mod connection;
mod detect;
mod gauge;
mod refusal;
mod service;
mod stream;
mod tls;

pub use gauge::ListenerStatus;
pub(crate) use refusal::{answer, text as plain_text};
pub use tls::{Certificate, Renewal, TlsError, TlsFiles};

use accept::Acceptor;
use bytes::Bytes;
use connection::Server;
use futures::future::BoxFuture;
use gauge::Gauges;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_runtime::{Peer, RequestBody};

/// Why a response's body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response. An error in it cuts the connection or stream.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Dropped when the client leaves.
    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'static, Response<AnswerBody>>;

    /// Requests that are under way although nobody may wait for them any more.
    fn under_way(&self) -> usize {
        0
    }
}

/// The bounds of one listener.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Where to listen. Port 0 takes any free one.
    pub address: SocketAddr,
    /// The certificate to show; clear text without.
    pub tls: Option<TlsFiles>,
    /// Connections that the system holds until they are accepted.
    pub backlog: u32,
    /// Bytes that the system may hold of a connection that are not read yet: where a body comes faster than its guest
    /// takes it, its client has to wait.
    pub receive_bytes: usize,
    /// Connections in all. Further ones are closed at once.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_client: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, counted from the connection's beginning or the end of the response
    /// before: so it is also how long a connection may be idle.
    pub head: Duration,
    /// How long a request's body may pause.
    pub body_pause: Duration,
    /// How long the client may refuse to take what is sent to it: the connection's bytes, or a stream's over HTTP/2.
    pub write_pause: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// What holds for HTTP/2.
    pub http2: Http2Options,
}

/// The bounds of HTTP/2 connections.
#[derive(Debug, Clone)]
pub struct Http2Options {
    /// Requests at the same time on one connection.
    pub streams: u32,
    /// Bytes that a client may send on one stream before it is read.
    pub stream_window: u32,
    /// Bytes that a client may send on one connection before it is read.
    pub connection_window: u32,
    /// Bytes that wait to be sent on one stream.
    pub send_bytes: usize,
    /// Streams that a client reset before they were looked at; with more the connection ends (rapid reset).
    pub pending_resets: usize,
    /// Streams that this host reset for a client's fault; with more the connection ends.
    pub error_resets: usize,
    /// How often a connection with open streams is pinged.
    pub ping: Duration,
    /// How long the answer may take.
    pub ping_answer: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            backlog: 1_024,
            receive_bytes: 1 << 20,
            connections: 10_000,
            connections_per_client: 1_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            write_pause: Duration::from_secs(30),
            head_bytes: 32 << 10,
            target_bytes: 16 << 10,
            headers: 100,
            http2: Http2Options::default(),
        }
    }
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 64 << 10,
            connection_window: 256 << 10,
            send_bytes: 64 << 10,
            pending_resets: 20,
            error_resets: 64,
            ping: Duration::from_secs(20),
            ping_answer: Duration::from_secs(10),
        }
    }
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be listened on.
    #[error("can't listen on `{address}`: {cause}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// A bound makes no sense.
    #[error("`{key} = {value}` is out of range: use {least} to {most}")]
    Range {
        /// The bound's name.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The least value.
        least: u64,
        /// The greatest.
        most: u64,
    },
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ListenerOptions {
    /// Refuses bounds that can't hold, or that would make hyper panic.
    fn check(&self) -> Result<(), ListenError> {
        let http2 = &self.http2;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        const HOUR: u64 = 3_600_000;
        for (key, value, least, most) in [
            ("backlog", u64::from(self.backlog), 1, 65_535),
            ("connections", self.connections as u64, 1, 1_000_000),
            ("connections-per-client", self.connections_per_client as u64, 1, 1_000_000),
            ("handshake-ms", millis(self.handshake), 10, HOUR),
            ("head-ms", millis(self.head), 10, HOUR),
            ("body-pause-ms", millis(self.body_pause), 10, HOUR),
            ("write-pause-ms", millis(self.write_pause), 10, HOUR),
            ("receive-bytes", self.receive_bytes as u64, 64 << 10, 64 << 20),
            ("head-bytes", self.head_bytes as u64, 1 << 10, 1 << 20),
            ("target-bytes", self.target_bytes as u64, 256, 60 << 10),
            ("headers", self.headers as u64, 10, 1_000),
            ("http2-streams", u64::from(http2.streams), 1, 10_000),
            ("http2-stream-window", u64::from(http2.stream_window), 1 << 10, 1 << 30),
            ("http2-connection-window", u64::from(http2.connection_window), 65_535, 1 << 30),
            ("http2-send-bytes", http2.send_bytes as u64, 1 << 10, 64 << 20),
            ("http2-pending-resets", http2.pending_resets as u64, 1, 1_000),
            ("http2-error-resets", http2.error_resets as u64, 1, 10_000),
            ("http2-ping-ms", millis(http2.ping), 10, HOUR),
            ("http2-ping-answer-ms", millis(http2.ping_answer), 10, HOUR),
        ] {
            if !(least..=most).contains(&value) {
                return Err(ListenError::Range { key, value, least, most });
            }
        }
        Ok(())
    }
}

/// A listener that takes connections.
pub struct Listener {
    address: SocketAddr,
    tls: Option<Arc<Certificate>>,
    gauges: Arc<Gauges>,
    handler: Arc<dyn Handler>,
    /// No new connections; connections end after the request they are at.
    drain: CancellationToken,
    /// Connections end now.
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Binds, and starts to take connections. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Any [`ListenError`].
    pub fn start(options: ListenerOptions, handler: Arc<dyn Handler>) -> Result<Self, ListenError> {
        options.check()?;
        let tls = options.tls.clone().map(Certificate::load).transpose()?.map(Arc::new);
        let bind = |cause| ListenError::Bind { address: options.address, cause };
        let socket = accept::bind(&options).map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        let gauges = Arc::new(Gauges::new(options.connections, options.connections_per_client));
        let (drain, cut, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let server = Arc::new(Server {
            handler: Arc::clone(&handler),
            gauges: Arc::clone(&gauges),
            drain: drain.clone(),
            cut: cut.clone(),
            tls: tls.clone(),
            options,
        });
        let acceptor = Acceptor { socket, server, gauges: Arc::clone(&gauges), tasks: tasks.clone() };
        tasks.spawn(acceptor.run(drain.clone()));
        Ok(Self { address, tls, gauges, handler, drain, cut, tasks })
    }

    /// Where it listens, with the port that it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that it shows; none in clear text.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.tls.clone()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> ListenerStatus {
        self.gauges.status()
    }

    /// Stops to take connections and waits for those there are, at most for `within`; then ends what is left. Waits
    /// as long again for requests of clients that are gone.
    ///
    /// Returns whether every request came to its end.
    pub async fn drain(&self, within: Duration) -> bool {
        self.drain.cancel();
        self.tasks.close();
        let whole = tokio::time::timeout(within, self.tasks.wait()).await.is_ok();
        self.cut.cancel();
        self.tasks.wait().await;
        let settled = async {
            while self.handler.under_way() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(within, settled).await.is_ok() && whole
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.drain.cancel();
        self.cut.cancel();
    }
}

#[cfg(test)]
mod tests;
