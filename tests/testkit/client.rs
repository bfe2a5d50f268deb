//! Who asks: one request on a connection of its own, and the whole answer.

use crate::answer::{Answer, Body};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

/// What came back; none if the connection broke before the head.
type Exchanged = Option<(http::response::Parts, Body)>;

/// A client of a platform that is a process of its own.
pub(crate) struct Client {
    runtime: Runtime,
    address: SocketAddr,
}

impl Client {
    pub(crate) fn of(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.unwrap(), address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// The answer, without records; the host is `acme.test` unless the request says another.
    #[track_caller]
    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let exchanged = self.runtime.block_on(exchange(self.address, request));
        let (status, headers, body) = match exchanged {
            Some((parts, body)) => (Some(parts.status), parts.headers, body),
            None => (None, http::HeaderMap::new(), Body::Cut(Vec::new())),
        };
        Answer { status, headers, body, records: Vec::new(), _host: None }
    }

    /// Begins a request that need not be waited for.
    pub(crate) fn begin(&self, request: Request<Full<Bytes>>) -> JoinHandle<Exchanged> {
        self.runtime.spawn(exchange(self.address, request))
    }
}

/// One request on a connection of its own.
pub(crate) async fn exchange(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Exchanged {
    let host = http::HeaderValue::from_static("acme.test");
    request.headers_mut().entry("host").or_insert(host);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    Some(read(response).await)
}

async fn read(response: Response<Incoming>) -> (http::response::Parts, Body) {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(_) => return (parts, Body::Cut(bytes)),
        }
    }
    (parts, Body::Whole(bytes))
}
