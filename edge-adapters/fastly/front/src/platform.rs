//! What only the front asks of Fastly: clients, origins, and where the operator reads.

use crate::bindings::fastly::compute::http_downstream::{self, NextRequestOptions};
use crate::bindings::wasi::cli::stderr::get_stderr;
use crate::facts::Peer;
use http::{HeaderMap, StatusCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tollgate_fastly_platform::bindings::fastly::compute::backend::Backend;
use tollgate_fastly_platform::bindings::fastly::compute::http_req::{
    self, ErrorWithDetail, Request, SendErrorDetail,
};
use tollgate_fastly_platform::bindings::fastly::compute::types::IpAddress;
use tollgate_fastly_platform::{Body, Failure, response_head};
use tollgate_request::{Blame, End};

/// The longest name of a protocol.
const PROTOCOL_BYTES: u64 = 64;

/// How long a sandbox waits for its next request.
const IDLE_MS: u64 = 5_000;

/// The longest complaint: a longer write to a stream than 4,096 bytes traps.
const COMPLAINT_CHARS_MOST: usize = 1_000;

/// Another request for this sandbox, if one comes soon: to make and configure a gate costs more than to ask it.
pub(crate) fn next_request() -> Option<(Request, Body)> {
    let options = NextRequestOptions { timeout_ms: Some(IDLE_MS), extra: None };
    let pending = http_downstream::next_request(&options).ok()?;
    http_downstream::await_request(pending).ok()?
}

/// Who sent a request.
pub(crate) fn peer(request: &Request) -> Result<Peer, Failure> {
    let address = match http_downstream::downstream_client_ip_addr(request) {
        Some(IpAddress::Ipv4((a, b, c, d))) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h))) => IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
        None => return Err(Failure::new("the platform does not know the client's address")),
    };
    let tls = http_downstream::downstream_tls_protocol(request, PROTOCOL_BYTES);
    Ok(Peer { address, tls: tls.is_ok_and(|protocol| protocol.is_some_and(|name| !name.is_empty())) })
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
    let (status, headers) = response_head(&response).map_err(|_| End::Failed("bad-response", Blame::App))?;
    Ok(Answer { status, headers, body })
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

/// Tells the operator what went wrong, where the platform shows a service's standard error. There is no better place
/// when this fails, too.
pub(crate) fn complain(text: &str) {
    let line: String = format!("tollgate: {text}").chars().take(COMPLAINT_CHARS_MOST).chain(['\n']).collect();
    let _ = get_stderr().blocking_write_and_flush(line.as_bytes());
}
