//! What Fastly gives, in the words of `http`: heads, bodies, origins, the log, the time and chance.

use crate::bindings::fastly::compute::backend::Backend;
use crate::bindings::fastly::compute::http_body::{self, Body};
use crate::bindings::fastly::compute::http_downstream::{self, NextRequestOptions};
use crate::bindings::fastly::compute::http_req::{self, ErrorWithDetail, Request, SendErrorDetail};
use crate::bindings::fastly::compute::http_resp::{self, Response};
use crate::bindings::fastly::compute::http_types::FramingHeadersMode;
use crate::bindings::fastly::compute::log;
use crate::bindings::fastly::compute::types::{Error, IpAddress};
use crate::bindings::wasi::cli::stderr::get_stderr;
use crate::bindings::wasi::clocks::wall_clock;
use crate::bindings::wasi::random::random::get_random_bytes;
use crate::facts::Peer;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tollgate_request::{Blame, End};

/// How much is asked for at once, of a body and of a head.
const CHUNK_BYTES: u32 = 64 << 10;
const HEAD_BYTES: u64 = 128 << 10;

/// The longest method and URI that are read. Longer ones are no request of ours.
const METHOD_BYTES: u64 = 64;
const URI_BYTES: u64 = 64 << 10;

/// How long a sandbox waits for its next request.
const IDLE_MS: u64 = 5_000;

/// The longest complaint: a longer write to a stream than 4,096 bytes traps.
const COMPLAINT_CHARS_MOST: usize = 1_000;

/// Something that the platform did not do. It fails the request, never opens it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub(crate) String);

fn failed(what: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure(format!("{what}: {error:?}"))
}

fn malformed(what: &'static str) -> Failure {
    Failure(format!("the platform gave a malformed {what}"))
}

/// The present time, Unix nanoseconds.
pub(crate) fn now() -> u64 {
    let now = wall_clock::now();
    now.seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(now.nanoseconds))
}

/// A random id.
pub(crate) fn id() -> Result<[u8; 16], Failure> {
    get_random_bytes(16).try_into().map_err(|_| Failure("the platform gave no randomness".to_owned()))
}

/// Another request for this sandbox, if one comes soon: to make and configure a gate costs more than to ask it.
pub(crate) fn next_request() -> Option<(Request, Body)> {
    let options = NextRequestOptions { timeout_ms: Some(IDLE_MS), extra: None };
    let pending = http_downstream::next_request(&options).ok()?;
    http_downstream::await_request(pending).ok()?
}

/// The head of a client's request.
pub(crate) fn head(request: &Request) -> Result<Parts, Failure> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let method = request.get_method(METHOD_BYTES).map_err(failed("the method can't be read"))?;
    parts.method = method.parse().map_err(|_| malformed("method"))?;
    let uri = request.get_uri(URI_BYTES).map_err(failed("the target can't be read"))?;
    parts.uri = uri.parse().map_err(|_| malformed("target"))?;
    parts.headers = headers(
        |cursor| request.get_header_names(HEAD_BYTES, cursor),
        |name, cursor| request.get_header_values(name, HEAD_BYTES, cursor),
    )?;
    Ok(parts)
}

/// Who sent it.
pub(crate) fn peer(request: &Request) -> Result<Peer, Failure> {
    let address = match http_downstream::downstream_client_ip_addr(request) {
        Some(IpAddress::Ipv4((a, b, c, d))) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h))) => IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
        None => return Err(Failure("the platform does not know the client's address".to_owned())),
    };
    let tls = http_downstream::downstream_tls_protocol(request, METHOD_BYTES);
    Ok(Peer { address, tls: tls.is_ok_and(|protocol| protocol.is_some_and(|name| !name.is_empty())) })
}

/// Reads the pages of names, and for each name the pages of its values.
fn headers(
    names: impl Fn(u32) -> Result<(String, Option<u32>), Error>,
    values: impl Fn(&str, u32) -> Result<(Vec<u8>, Option<u32>), Error>,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let mut next = Some(0);
    while let Some(cursor) = next {
        let (page, more) = names(cursor).map_err(failed("the headers can't be read"))?;
        for name in page.split_terminator('\0') {
            let field: HeaderName = name.parse().map_err(|_| malformed("header"))?;
            let mut next = Some(0);
            while let Some(cursor) = next {
                let (page, more) = values(name, cursor).map_err(failed("a header can't be read"))?;
                // Each value ends with a zero byte.
                let whole = page.strip_suffix(&[0]).unwrap_or(&page);
                for value in whole.split(|byte| *byte == 0) {
                    let value = HeaderValue::from_bytes(value).map_err(|_| malformed("header"))?;
                    headers.append(&field, value);
                }
                next = more;
            }
        }
        next = more;
    }
    Ok(headers)
}

/// A request for an origin.
pub(crate) fn request(parts: &Parts) -> Result<Request, Failure> {
    let wrong = failed("the origin's request can't be made");
    let request = Request::new().map_err(&wrong)?;
    request.set_method(parts.method.as_str()).map_err(&wrong)?;
    request.set_uri(&parts.uri.to_string()).map_err(&wrong)?;
    for (name, value) in &parts.headers {
        request.append_header(name.as_str(), value.as_bytes()).map_err(&wrong)?;
    }
    Ok(request)
}

/// What an origin answered: its head, and its body that is still to be read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// Sends a request to an origin, past the cache: what the gate let one request have is not for another.
pub(crate) fn send(request: Request, body: Body, origin: &str) -> Result<Answer, End> {
    let backend = Backend::open(origin).map_err(|_| UNREACHABLE)?;
    let (response, body) = http_req::send_uncached(request, body, &backend).map_err(|error| why(&error))?;
    let status = response.get_status().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let headers = headers(
        |cursor| response.get_header_names(HEAD_BYTES, cursor),
        |name, cursor| response.get_header_values(name, HEAD_BYTES, cursor),
    );
    match (status, headers) {
        (Some(status), Ok(headers)) => Ok(Answer { status, headers, body }),
        _ => Err(End::Failed("bad-response", Blame::App)),
    }
}

const UNREACHABLE: End = End::Failed("origin-unreachable", Blame::App);

fn why(error: &ErrorWithDetail) -> End {
    match &error.detail {
        Some(
            SendErrorDetail::DnsTimeout
            | SendErrorDetail::ConnectionTimeout
            | SendErrorDetail::HttpResponseTimeout,
        ) => End::Failed("deadline", Blame::Slow),
        Some(
            SendErrorDetail::HttpIncompleteResponse
            | SendErrorDetail::HttpResponseHeaderSectionTooLarge
            | SendErrorDetail::HttpResponseBodyTooLarge
            | SendErrorDetail::HttpResponseStatusInvalid
            | SendErrorDetail::HttpProtocolError,
        ) => End::Failed("bad-response", Blame::App),
        _ => UNREACHABLE,
    }
}

/// Begins a response whose body streams; it is whole when the body is closed, and cut when it is dropped before.
pub(crate) fn begin(status: StatusCode, headers: &HeaderMap) -> Result<Body, Failure> {
    let body = empty()?;
    let response = response(status, headers)?;
    http_resp::send_downstream_streaming(response, &body).map_err(failed("the response can't be sent"))?;
    Ok(body)
}

/// Sends a whole response.
pub(crate) fn respond(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Result<(), Failure> {
    let body = empty()?;
    write(&body, bytes)?;
    http_resp::send_downstream(response(status, headers)?, body).map_err(failed("the response can't be sent"))
}

fn response(status: StatusCode, headers: &HeaderMap) -> Result<Response, Failure> {
    let wrong = failed("the response can't be made");
    let response = Response::new().map_err(&wrong)?;
    response.set_status(status.as_u16()).map_err(&wrong)?;
    for (name, value) in headers {
        response.append_header(name.as_str(), value.as_bytes()).map_err(&wrong)?;
    }
    if headers.contains_key(CONTENT_LENGTH) {
        // The length that the origin announced is a promise to the client, also where the body streams or is left out.
        response.set_framing_headers_mode(FramingHeadersMode::ManuallyFromHeaders).map_err(&wrong)?;
    }
    Ok(response)
}

/// A body of nothing.
pub(crate) fn empty() -> Result<Body, Failure> {
    http_body::new().map_err(failed("a body can't be made"))
}

/// Whether reading would not wait: there are bytes, the end, or a failure.
pub(crate) fn is_ready(body: &Body) -> bool {
    body.is_ready()
}

/// The next bytes of a body; none at its end.
pub(crate) fn read(body: &Body) -> Result<Vec<u8>, Failure> {
    http_body::read(body, CHUNK_BYTES).map_err(failed("a body can't be read"))
}

/// Writes all bytes to a body.
pub(crate) fn write(body: &Body, bytes: &[u8]) -> Result<(), Failure> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = http_body::write(body, rest).map_err(failed("a body can't be written"))?;
        // No progress would be an endless loop.
        let left = usize::try_from(written).ok().filter(|&n| n > 0).and_then(|n| rest.get(n..));
        rest = left.ok_or_else(|| Failure("a body takes no more bytes".to_owned()))?;
    }
    Ok(())
}

/// Ends a body that is whole.
pub(crate) fn close(body: Body) -> Result<(), Failure> {
    http_body::close(body).map_err(failed("a body can't be ended"))
}

/// The length of a body, if the platform knows it.
pub(crate) fn length(body: &Body) -> Option<u64> {
    http_body::get_known_length(body)
}

/// Tells the operator what went wrong, where the platform shows a service's standard error. There is no better place
/// when this fails, too.
pub(crate) fn complain(text: &str) {
    let line: String = format!("tollgate: {text}").chars().take(COMPLAINT_CHARS_MOST).chain(['\n']).collect();
    let _ = get_stderr().blocking_write_and_flush(line.as_bytes());
}

/// The log that records go to.
pub(crate) struct Log(log::Endpoint);

impl Log {
    /// Opens an endpoint of the service.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let endpoint = log::Endpoint::open(name);
        Ok(Self(endpoint.map_err(|error| Failure(format!("the log can't be opened: {error:?}")))?))
    }

    /// Hands one record to the platform, which says nothing back.
    pub(crate) fn write(&self, record: &[u8]) {
        self.0.write(record);
    }
}
