//! Between the client's HTTP and the guest's: which headers pass, in which direction.

use crate::bindings::{Facts, Outcome};
use crate::facts::Target;
use crate::fault::Fault;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tollgate_request::{announce, request_headers, response_headers};
pub(crate) use tollgate_request::{clean_request_headers, content_length, has_no_body};
use wasmtime_wasi_http::WasiBody;

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
    request_headers(&mut headers, &facts.client_address, &facts.scheme, &facts.request_id);
    *request.headers_mut() = headers;
    request
}

/// The guest's response as the client gets it.
pub(crate) fn response_from_guest<B>(
    response: Response<B>,
    rate_headers: &[(String, String)],
    request_id: &str,
) -> Result<Response<B>, Fault> {
    let mut response = response;
    let status = response.status();
    response_headers(status, response.headers_mut(), rate_headers, request_id)
        .map_err(|_| Fault::BadResponse)?;
    Ok(response)
}

/// Adds headers to a response of the host's own.
pub(crate) fn with_headers(mut response: Response<Bytes>, added: &[(String, String)]) -> Response<Bytes> {
    announce(response.headers_mut(), added);
    response
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
