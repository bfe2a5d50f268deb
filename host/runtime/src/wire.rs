//! Between the client's HTTP and the guest's: which headers pass, in which direction.

use crate::bindings::{Facts, Outcome};
use crate::facts::Target;
use crate::fault::Fault;
pub(crate) use crate::headers::{clean_request_headers, content_length};
use crate::headers::{drop_hop_by_hop, drop_ours};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

/// The header with the request's id, for guests and clients.
const REQUEST_ID: HeaderName = HeaderName::from_static("tollgate-request-id");

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
pub(crate) fn response_from_guest<B>(
    response: Response<B>,
    rate_headers: &[(String, String)],
    request_id: &str,
) -> Result<Response<B>, Fault> {
    let mut response = response;
    if response.status().is_informational() {
        return Err(Fault::BadResponse);
    }
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_LENGTH) && content_length(headers).is_none() {
        return Err(Fault::BadResponse);
    }
    drop_hop_by_hop(headers);
    drop_ours(headers);
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
pub(crate) fn has_no_body<B>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || content_length(response.headers()) == Some(0)
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
