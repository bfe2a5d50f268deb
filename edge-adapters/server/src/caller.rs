//! Calls to web services of others, one request and one whole answer each: for deployers, not for guests.

use crate::outbound::{Roots, tls};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tollgate_runtime::Origin;

/// The most bytes of an answer.
const MAX_BYTES: usize = 16 << 20;

/// How long opening a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Calls web services over HTTP/1.1, each time on a connection of its own.
pub struct Caller {
    tls: TlsConnector,
}

/// Why there is no answer. Whether the request got there is not known.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none.
    #[error("`{0}` can't be asked")]
    Target(Uri),
    /// Nobody can be reached there.
    #[error("`{host}` can't be reached")]
    Connect {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to `{host}` broke")]
    Broken {
        /// The host.
        host: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer broke off, or is too long.
    #[error("the answer of `{0}` broke off, or has more than 16 MiB")]
    Answer(String),
    /// No answer came in time.
    #[error("`{host}` did not answer within {seconds} s")]
    Late {
        /// The host.
        host: String,
        /// The time that it had.
        seconds: u64,
    },
}

impl Caller {
    /// A caller that trusts the web's authorities.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tls: tls(&Roots::Web)? })
    }

    /// Sends a request and reads the whole answer. The connection goes to `at`, if that is given, whatever the name in
    /// the request resolves to. No redirect is followed, no proxy is asked, and nothing is tried twice.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub async fn send(
        &self,
        request: Request<Bytes>,
        at: Option<IpAddr>,
        within: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let target = || CallError::Target(request.uri().clone());
        let origin = Origin::of(request.uri()).map_err(|_| target())?;
        let authority = request.uri().authority().ok_or_else(target)?.as_str();
        let host = HeaderValue::from_str(authority).map_err(|_| target())?;
        let late = CallError::Late { host: origin.host.clone(), seconds: within.as_secs() };
        let exchange = self.exchange(request, host, &origin, at);
        timeout(within, exchange).await.unwrap_or(Err(late))
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        host: HeaderValue,
        origin: &Origin,
        at: Option<IpAddr>,
    ) -> Result<Response<Bytes>, CallError> {
        let failed = |source| CallError::Connect { host: origin.host.clone(), source };
        let tcp = timeout(CONNECT_WITHIN, connect(origin, at)).await;
        let tcp = tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        if !origin.tls {
            return talk(tcp, request, host, origin).await;
        }
        let name = ServerName::try_from(origin.host.clone());
        let name = name.map_err(|error| failed(io::Error::other(error)))?;
        let stream = timeout(CONNECT_WITHIN, self.tls.connect(name, tcp)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        talk(stream, request, host, origin).await
    }
}

async fn connect(origin: &Origin, at: Option<IpAddr>) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match at {
        Some(address) => vec![SocketAddr::new(address, origin.port)],
        None => lookup_host((origin.host.as_str(), origin.port)).await?.collect(),
    };
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn talk<S>(
    stream: S,
    request: Request<Bytes>,
    host: HeaderValue,
    origin: &Origin,
) -> Result<Response<Bytes>, CallError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |source| CallError::Broken { host: origin.host.clone(), source };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(HOST, host);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse();
    parts.uri = path.map_err(|_| CallError::Target(parts.uri.clone()))?;
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(broken)?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await;
    driver.abort();
    let body = body.map_err(|_| CallError::Answer(origin.host.clone()))?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with these bytes, and returns what was asked.
    async fn once(listener: TcpListener, answer: &'static [u8]) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"body") {
            let mut part = [0; 512];
            let read = stream.read(&mut part).await.unwrap();
            assert_ne!(read, 0, "the request is whole");
            asked.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer).await.unwrap();
        String::from_utf8(asked).unwrap()
    }

    async fn called(answer: &'static [u8]) -> (Result<Response<Bytes>, CallError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let request =
            Request::put(format!("http://nobody.invalid:{port}/a?b")).body(Bytes::from("body")).unwrap();
        let caller = Caller::new().unwrap();
        let at = Some([127, 0, 0, 1].into());
        tokio::join!(caller.send(request, at, Duration::from_secs(20)), once(listener, answer))
    }

    #[tokio::test]
    async fn a_call_goes_to_the_address_and_speaks_of_the_name() {
        let (answer, asked) = called(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await;
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (201, &b"ok"[..]));
        assert!(asked.starts_with("PUT /a?b HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: nobody.invalid:"), "{asked}");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let (answer, _) = called(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok").await;
        assert!(matches!(answer, Err(CallError::Answer(host)) if host == "nobody.invalid"));
    }
}
