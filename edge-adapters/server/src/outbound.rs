//! Outgoing requests of guests: resolve, check the address, connect, send, stream.
//!
//! The allow-list was asked before a request gets here; the addresses are asked here, each time, because a name may
//! resolve to another address tomorrow. A connection serves one tenant only, and one request at a time; it is used
//! again only for a request whose own egress permits its peer's address. No redirect is followed, no proxy is asked,
//! and no time-out reaches beyond the end of the run.

mod body;
mod connect;
mod failure;
mod headers;
mod pool;
mod resolve;

pub use connect::Roots;
pub(crate) use connect::tls;
pub use resolve::{Resolve, SystemResolver};

use body::UpstreamBody;
use connect::Connector;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use pool::{Lease, Pools};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollgate_runtime::{EgressError, HttpFailure, Origin, RequestBody, Transport, Upstream};

/// The runtime's body of a `wasi:http` message.
type WasiBody = RequestBody;

/// A failure in the words of `wasi:http`.
type HttpError = <WasiBody as http_body::Body>::Error;

fn http_failure(error: HttpError) -> EgressError {
    EgressError::Http(HttpFailure(error))
}

/// The bounds that hold for all tenants together.
#[derive(Debug, Clone)]
pub struct OutboundOptions {
    /// Connections in all, pooled ones included.
    pub connections: usize,
    /// How long a pooled connection waits for its next request.
    pub idle: Duration,
    /// Bytes of a response's head.
    pub head_bytes: usize,
    /// Header fields of a response.
    pub headers: usize,
    /// Name look-ups at the same time.
    pub lookups: usize,
    /// Name look-ups of one tenant at the same time: a slow resolver of one must not take all.
    pub lookups_per_tenant: usize,
    /// Whom to trust for TLS.
    pub roots: Roots,
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self {
            connections: 4_096,
            idle: Duration::from_secs(30),
            head_bytes: 64 << 10,
            headers: 100,
            lookups: 64,
            lookups_per_tenant: 8,
            roots: Roots::Web,
        }
    }
}

/// Sends guests' requests over HTTP/1.1, in clear text or TLS.
pub struct Outbound {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Connector,
    pools: Arc<Pools>,
}

impl Outbound {
    /// A transport that resolves names as the system does.
    ///
    /// # Errors
    /// When a root certificate is malformed.
    pub fn new(options: &OutboundOptions) -> Result<Self, rustls::Error> {
        Self::with_resolver(options, Arc::new(SystemResolver))
    }

    /// A transport with another resolver.
    ///
    /// # Errors
    /// When a root certificate is malformed.
    pub fn with_resolver(
        options: &OutboundOptions,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, rustls::Error> {
        let connector = Connector::new(options, resolver)?;
        Ok(Self { inner: Arc::new(Inner { connector, pools: Pools::new(options) }) })
    }

    /// Open connections, pooled ones included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.inner.pools.open()
    }
}

impl Transport for Outbound {
    fn send(
        &self,
        upstream: Upstream,
        request: Request<WasiBody>,
    ) -> BoxFuture<'static, Result<Response<WasiBody>, EgressError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.send(upstream, request).await })
    }
}

/// The moments that end the parts of one exchange.
#[derive(Clone, Copy)]
struct Times {
    deadline: Instant,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Inner {
    async fn send(
        &self,
        upstream: Upstream,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, EgressError> {
        let origin = Origin::of(request.uri())?;
        let mut request = prepare(request, &origin)?;
        let times = Times {
            deadline: Instant::from_std(upstream.deadline),
            first_byte: upstream.first_byte,
            between_bytes: upstream.between_bytes,
        };
        let pool = self.pools.of(&upstream.tenant);
        // A pooled connection may have been closed by its peer a moment ago. Then the request comes back unsent.
        while let Some(lease) = pool.take_idle(&origin, &upstream.egress) {
            match exchange(lease, request, times).await {
                Exchanged::Answered(response) => return Ok(response),
                Exchanged::Failed(error) => return Err(error),
                Exchanged::Unsent(back, _) => request = back,
            }
        }
        let connect_by = times.deadline.min(Instant::now() + upstream.connect);
        let slot = pool.slot(upstream.connections)?;
        let connected =
            timeout_at(connect_by, self.connector.connect(&pool, &origin, &upstream.egress, connect_by));
        let connection = connected.await.map_err(|_| EgressError::Timeout("connect"))??;
        let lease = Lease::new(Arc::clone(&pool), origin, connection, slot);
        match exchange(lease, request, times).await {
            Exchanged::Answered(response) => Ok(response),
            Exchanged::Failed(error) | Exchanged::Unsent(_, error) => Err(error),
        }
    }
}

/// The request as it goes out: in origin form, with its own `host` and nothing of another connection's.
fn prepare(request: Request<WasiBody>, origin: &Origin) -> Result<Request<WasiBody>, EgressError> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err(http_failure(HttpError::HttpRequestMethodInvalid));
    }
    headers::for_upstream(&mut parts.headers, origin)?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| EgressError::BadTarget("the path is malformed"))?;
    parts.version = http::Version::HTTP_11;
    Ok(Request::from_parts(parts, body))
}

enum Exchanged {
    Answered(Response<WasiBody>),
    /// Nothing of the request went out.
    Unsent(Request<WasiBody>, EgressError),
    Failed(EgressError),
}

/// Sends the request over one connection and waits for the response's head.
async fn exchange(mut lease: Lease, request: Request<WasiBody>, times: Times) -> Exchanged {
    let first_byte_by = times.deadline.min(Instant::now() + times.first_byte);
    let head_only = request.method() == Method::HEAD;
    let sent = match timeout_at(first_byte_by, lease.send(request)).await {
        Ok(sent) => sent,
        Err(_) => return Exchanged::Failed(EgressError::Timeout("first byte")),
    };
    match sent {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Exchanged::Failed(http_failure(HttpError::HttpUpgradeFailed))
        }
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            headers::for_guest(&mut parts.headers);
            let body = UpstreamBody::new(body, lease, times, head_only).boxed_unsync();
            Exchanged::Answered(Response::from_parts(parts, body))
        }
        Err(mut error) => {
            let request = error.take_message();
            let error = failure::of(error.into_error());
            match request {
                Some(request) => Exchanged::Unsent(request, error),
                None => Exchanged::Failed(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
