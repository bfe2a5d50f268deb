//! Opening a connection: look-up, address check, TCP, TLS, and the HTTP/1.1 handshake.

use super::pool::TenantPool;
use super::resolve::{Lookups, Resolve};
use super::{HttpError, OutboundOptions, WasiBody, failure, http_failure};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tollgate_runtime::{Egress, EgressError, Origin};

/// How many of a name's addresses are tried.
const MAX_ADDRESSES: usize = 8;

/// Whose certificates are trusted.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The authorities that Mozilla trusts, as of the build.
    Web,
    /// Those, and these: for upstreams of one's own, and for tests.
    WebAnd(Vec<CertificateDer<'static>>),
}

/// TLS for HTTP/1.1 towards servers whose certificates these roots vouch for.
pub(crate) fn tls(trusted: &Roots) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Roots::WebAnd(more) = trusted {
        for certificate in more {
            roots.add(certificate.clone())?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}

/// An open connection, and the task that drives it.
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<WasiBody>,
    pub(super) peer: SocketAddr,
    pub(super) driver: tokio::task::AbortHandle,
}

pub(super) struct Connector {
    lookups: Lookups,
    tls: TlsConnector,
    http: http1::Builder,
}

impl Connector {
    pub(super) fn new(options: &OutboundOptions, resolver: Arc<dyn Resolve>) -> Result<Self, rustls::Error> {
        let tls = tls(&options.roots)?;
        let mut http = http1::Builder::new();
        // Hyper's buffer has to hold a whole head, and can't be smaller than 8 KiB.
        http.max_buf_size(options.head_bytes.max(8 << 10)).max_headers(options.headers);
        let lookups = Lookups::new(resolver, options.lookups);
        Ok(Self { lookups, tls, http })
    }

    /// Opens a connection to the first address that permits it. The caller holds the time-out over all of it; `by`
    /// only divides what is left of it among the addresses.
    pub(super) async fn connect(
        &self,
        pool: &TenantPool,
        origin: &Origin,
        egress: &Egress,
        by: Instant,
    ) -> Result<Connection, EgressError> {
        let found = self.lookups.addresses(&pool.lookups, &origin.host, origin.port).await?;
        let mut permitted: Vec<_> =
            found.into_iter().filter(|address| egress.address(address.ip())).collect();
        permitted.truncate(MAX_ADDRESSES);
        let (tcp, peer) = open(&permitted, by)
            .await
            .unwrap_or_else(|| Err(EgressError::Prohibited { host: origin.host.clone() }))?;
        if origin.tls {
            let name = ServerName::try_from(origin.host.clone())
                .map_err(|_| EgressError::BadTarget("the host name can't be in a certificate"))?;
            let stream = self.tls.connect(name, tcp).await.map_err(failure::of_tls)?;
            self.shake_hands(stream, peer).await
        } else {
            self.shake_hands(tcp, peer).await
        }
    }

    async fn shake_hands<S>(&self, stream: S, peer: SocketAddr) -> Result<Connection, EgressError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = self.http.handshake(TokioIo::new(stream)).await.map_err(failure::of)?;
        let driver = tokio::spawn(async move {
            // Whoever waits for a response learns of the failure by it.
            if let Err(error) = connection.await {
                tracing::debug!(target: "tollgate::egress", %error, "an outgoing connection ended");
            }
        });
        Ok(Connection { sender, peer, driver: driver.abort_handle() })
    }
}

/// Opens TCP to the first of the addresses that answers; none if there are none.
async fn open(addresses: &[SocketAddr], by: Instant) -> Option<Result<(TcpStream, SocketAddr), EgressError>> {
    let mut last = None;
    for (place, &address) in addresses.iter().enumerate() {
        let left = by.saturating_duration_since(Instant::now());
        // An address that does not answer leaves the others their part of the time.
        let share = left / u32::try_from(addresses.len() - place).unwrap_or(1);
        last = Some(match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests and responses are written whole; to hold back small ones only adds time.
                return Some(match stream.set_nodelay(true) {
                    Ok(()) => Ok((stream, address)),
                    Err(_) => Err(http_failure(HttpError::ConnectionTerminated)),
                });
            }
            Ok(Err(error)) => Err(failure::of_tcp(&error)),
            Err(_) => Err(EgressError::Timeout("connect")),
        });
    }
    last
}
