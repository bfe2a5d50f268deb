//! What the listener answers by itself, before anybody else is asked: statuses and texts.

use super::{AnswerBody, BoxError};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};

/// Why a request gets no further than the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is not exactly one `host`, it is malformed, or it is not the target's (RFC 9112, section 3.2).
    Host,
    /// The target is too long.
    Target,
    /// There are too many header fields.
    Headers,
    /// A tunnel was asked for.
    Connect,
    /// The body is in a transfer coding other than chunked, or in more than one (RFC 9112, section 6.1).
    Coding,
    /// A value begins or ends with a space (RFC 9113, section 8.2.1): it would be another value after the next hop.
    Value,
    /// The handler panicked.
    Panic,
}

impl Refusal {
    pub(super) fn response(self) -> Response<AnswerBody> {
        let (status, code, title) = match self {
            Self::Host => {
                (StatusCode::BAD_REQUEST, "bad-request", "the request does not name exactly one host")
            }
            Self::Target => (StatusCode::URI_TOO_LONG, "target-too-long", "the request target is too long"),
            Self::Headers => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too-many-headers",
                "there are too many header fields",
            ),
            Self::Connect => (StatusCode::NOT_IMPLEMENTED, "no-tunnels", "this host opens no tunnels"),
            Self::Coding => {
                (StatusCode::NOT_IMPLEMENTED, "unknown-coding", "the only transfer coding here is chunked")
            }
            Self::Value => {
                (StatusCode::BAD_REQUEST, "bad-request", "a header value begins or ends with a space")
            }
            Self::Panic => {
                (StatusCode::INTERNAL_SERVER_ERROR, "host-fault", "the request failed in the host")
            }
        };
        let number = status.as_u16();
        // All of it is ours and needs no escaping.
        let body = format!(
            "{{\"type\":\"https://tollgate.dev/problems/{code}\",\"title\":\"{title}\",\"status\":{number}}}\n"
        );
        answer(status, "application/problem+json", body)
    }
}

/// A response in plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    answer(status, "text/plain; charset=utf-8", body)
}

/// A response of the host's own.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<AnswerBody> {
    let body = Full::new(body.into()).map_err(|never| -> BoxError { match never {} }).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a connection says that took too long over a request's head (RFC 9110, section 15.5.9).
pub(super) const TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
