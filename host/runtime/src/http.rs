//! Outgoing HTTP for guests: the allow-list, the run's own count, and the deadline; the adapter's transport does the
//! rest.

use crate::account::Account;
use crate::body::watched;
use crate::egress::{Egress, EgressError, Origin};
use crate::limits::Limits;
use crate::names::Name;
use crate::seams::{Transport, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Bytes of an outgoing body that the host holds at one time.
const CHUNK_BYTES: usize = 64 << 10;

/// How long a connection may take when the guest says nothing.
const CONNECT: Duration = Duration::from_secs(10);

/// What one run may send.
pub(crate) struct Outgoing {
    pub(crate) tenant: Name,
    pub(crate) grant: Option<Arc<Egress>>,
    pub(crate) connections: usize,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) limits: Arc<Limits>,
    /// Of the present run.
    pub(crate) run: Sending,
}

/// What belongs to one run.
pub(crate) struct Sending {
    pub(crate) deadline: Instant,
    pub(crate) sent: u32,
    /// Bytes of bodies, in both directions.
    pub(crate) bytes: Arc<AtomicU64>,
}

impl Sending {
    /// Nothing sent yet.
    pub(crate) fn until(deadline: Instant, bytes: Arc<AtomicU64>) -> Self {
        Self { deadline, sent: 0, bytes }
    }
}

impl Outgoing {
    /// Everything that can be told before a name is resolved.
    fn plan(&mut self, uri: &http::Uri, options: Option<RequestOptions>) -> Result<Upstream, EgressError> {
        // Also what is refused counts: each attempt is a line in the host's log.
        self.run.sent = self.run.sent.saturating_add(1);
        if self.run.sent > self.limits.outgoing_requests {
            let limit = self.limits.outgoing_requests as usize;
            return Err(EgressError::Limit { what: "outgoing requests in one run", limit });
        }
        if let Some(account) = self.account.as_ref().filter(|account| account.egress_left() == 0) {
            let limit = usize::try_from(account.egress_used().limit).unwrap_or(usize::MAX);
            return Err(EgressError::Limit { what: "bytes of outgoing requests in this hour", limit });
        }
        let origin = Origin::of(uri)?;
        let egress = self.grant.clone().filter(|egress| egress.allows(&origin));
        let egress = egress.ok_or(EgressError::NotAllowed(origin))?;
        let options = options.unwrap_or_default();
        let left = self.run.deadline.saturating_duration_since(Instant::now());
        let within = |asked: Option<Duration>, default: Duration| asked.unwrap_or(default).min(left);
        Ok(Upstream {
            tenant: self.tenant.clone(),
            egress,
            connections: self.connections,
            connect: within(options.connect_timeout, CONNECT),
            first_byte: within(options.first_byte_timeout, left),
            between_bytes: within(options.between_bytes_timeout, left),
            deadline: self.run.deadline,
        })
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        io: Io,
    ) -> Sent {
        // The transport reports a broken body through the body itself.
        drop(io);
        let planned = self.plan(request.uri(), options);
        // The limit is said once, and not for each request beyond it.
        let told = self.run.sent <= self.limits.outgoing_requests.saturating_add(1);
        let (transport, tenant, bytes) =
            (self.transport.clone(), self.tenant.clone(), self.run.bytes.clone());
        let account = self.account.clone();
        // Heads are bytes, too. What does not fit shows at the next request.
        let head = head_bytes(request.headers()) + request.uri().to_string().len() as u64;
        let counts = self.account.clone();
        if let Some(account) = &counts {
            account.egress(head);
        }
        let counted = move |inner: WasiBody| {
            let (count, account) = (bytes.clone(), account.clone());
            watched(inner, move |frame| {
                let bytes = match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => data.len() as u64,
                    (_, trailers) => trailers.map_or(0, head_bytes),
                };
                if account.as_ref().is_some_and(|account| !account.egress(bytes)) {
                    return Err(Error::ConnectionLimitReached);
                }
                count.fetch_add(bytes, Relaxed);
                Ok(())
            })
        };
        Box::new(async move {
            let sent = match planned {
                Ok(upstream) => transport.send(upstream, request.map(&counted)).await,
                Err(error) => Err(error),
            };
            let response = sent.map_err(|error| {
                if told {
                    tracing::info!(target: "tollgate::egress", %tenant, %error, "outgoing request refused or failed");
                }
                Error::from(error)
            })?;
            if let Some(account) = &counts {
                account.egress(head_bytes(response.headers()));
            }
            Ok((response.map(counted), Box::new(std::future::ready(Ok(()))) as Io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

/// Bytes of header fields or trailers, as HTTP/1 writes them.
fn head_bytes(headers: &http::HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}
