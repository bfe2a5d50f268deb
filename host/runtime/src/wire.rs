//! Between the client's HTTP and the guest's: which headers pass, in which direction.

use crate::bindings::{Facts, Outcome};
use crate::facts::Target;
use crate::fault::Fault;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

/// Headers of one connection (RFC 9110, section 7.6.1), which no gateway passes on.
const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const HOP_BY_HOP_OLD: [&str; 4] =
    ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"];

/// Headers that say where a request came from, besides `x-forwarded-…`. A client's are dropped; the host sets its own.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip"];

/// Whatever begins so is for a proxy to say: the prefix of a path, or even who the user is.
const FORWARDED_ALL: &str = "x-forwarded-";

/// Headers that only the host writes begin so.
const OURS: &str = "tollgate-";

/// The header with the request's id, for guests and clients.
const REQUEST_ID: HeaderName = HeaderName::from_static("tollgate-request-id");

/// The length that a message announces; none when it announces none, or not one number.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let (first, None) = (values.next()?, values.next()) else { return None };
    first.to_str().ok()?.parse().ok()
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_OLD {
        headers.remove(name);
    }
}

/// Drops what neither the gate nor the app may see of a client's headers: those of its connection, and those that
/// pretend to come from the host.
pub(crate) fn clean_request_headers(headers: &mut HeaderMap) {
    drop_hop_by_hop(headers);
    drop_all(headers, OURS);
    drop_all(headers, FORWARDED_ALL);
    for name in FORWARDED {
        headers.remove(name);
    }
}

/// Drops from trailers what no header may be either, and what belongs before a body: its length, and who asks whom (RFC
/// 9110, section 6.5.1). The gate has decided by then.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    clean_request_headers(trailers);
    for name in [CONTENT_LENGTH, HOST, AUTHORIZATION, COOKIE] {
        trailers.remove(name);
    }
}

/// Drops the headers whose names begin so.
fn drop_all(headers: &mut HeaderMap, start: &str) {
    let named: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(start)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// The request as the guest gets it, from clean headers: the target in the spelling that the gate saw, and what the
/// host says of the client.
pub(crate) fn request_for_guest(
    parts: Parts,
    body: WasiBody,
    target: &Target,
    facts: &Facts,
) -> http::Request<WasiBody> {
    let mut request = http::Request::new(body);
    *request.uri_mut() = target.uri.clone();
    *request.method_mut() = parts.method;
    let mut headers = parts.headers;
    set(&mut headers, HeaderName::from_static("x-forwarded-for"), &facts.client_address);
    set(&mut headers, HeaderName::from_static("x-forwarded-proto"), &facts.scheme);
    set(&mut headers, REQUEST_ID, &facts.request_id);
    *request.headers_mut() = headers;
    request
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The guest's response as the client gets it. Informational statuses are the host's own, and a length must be one
/// number.
pub(crate) fn response_from_guest(
    response: Response<WasiBody>,
    rate_headers: &[(String, String)],
    request_id: &str,
) -> Result<Response<WasiBody>, Fault> {
    let mut response = response;
    if response.status().is_informational() {
        return Err(Fault::BadResponse);
    }
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_LENGTH) && content_length(headers).is_none() {
        return Err(Fault::BadResponse);
    }
    drop_hop_by_hop(headers);
    drop_all(headers, OURS);
    set(headers, REQUEST_ID, request_id);
    for (name, value) in rate_headers {
        if let Ok(name) = name.parse::<HeaderName>() {
            set(headers, name, value);
        }
    }
    Ok(response)
}

/// Adds headers to a response of the host's own.
pub(crate) fn with_headers(mut response: Response<Bytes>, added: &[(String, String)]) -> Response<Bytes> {
    for (name, value) in added {
        if let Ok(name) = name.parse::<HeaderName>() {
            set(response.headers_mut(), name, value);
        }
    }
    response
}

/// Whether no byte of body will follow this head.
pub(crate) fn has_no_body(response: &Response<WasiBody>) -> bool {
    matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || content_length(response.headers()) == Some(0)
        || http_body::Body::is_end_stream(response.body())
}

/// The name of an outcome, for logs and metrics.
pub fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(_) => "answered",
        Outcome::Denied => "denied",
        Outcome::Limited => "limited",
        Outcome::Refused(_) => "refused",
        Outcome::Failed(_) => "failed",
        Outcome::Abandoned => "abandoned",
        Outcome::Interrupted => "interrupted",
    }
}

/// What an outcome says beyond its name.
pub fn outcome_detail(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(status) => status.to_string(),
        Outcome::Refused(code) | Outcome::Failed(code) => code.clone(),
        Outcome::Denied | Outcome::Limited | Outcome::Abandoned | Outcome::Interrupted => String::new(),
    }
}
