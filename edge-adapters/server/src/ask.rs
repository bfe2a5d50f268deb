//! Asking another process's admin address.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take, and how large it may be: ten thousand tenants take about ten million bytes.
const WITHIN: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody can be reached there.
    #[error("nobody answers at {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What came is no answer, or too long.
    #[error("the answer from {0} is not one of a tollgate host")]
    Answer(SocketAddr),
    /// Nothing came in time.
    #[error("no answer from {0} within ten seconds")]
    Late(SocketAddr),
}

/// What an admin address answers for a path: an object with this member, or it is no host of ours.
///
/// # Errors
/// Any [`AskError`].
pub async fn ask_admin(address: SocketAddr, path: &str, member: &str) -> Result<Value, AskError> {
    let text = timeout(WITHIN, ask(address, path)).await.unwrap_or(Err(AskError::Late(address)))?;
    let value: Option<Value> = serde_json::from_str(&text).ok();
    value.filter(|value| value.get(member).is_some_and(Value::is_object)).ok_or(AskError::Answer(address))
}

async fn ask(address: SocketAddr, path: &str) -> Result<String, AskError> {
    let stream = TcpStream::connect(address).await.map_err(|source| AskError::Connect { address, source })?;
    let answer = AskError::Answer(address);
    let exchange = async {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request =
            Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new()).ok()?;
        let response = sender.send_request(request).await.ok()?;
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.ok()?.to_bytes();
        String::from_utf8(body.into()).ok()
    };
    exchange.await.ok_or(answer)
}
