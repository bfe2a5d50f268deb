//! Heads of requests and responses, and how a response is sent.

use crate::bindings::fastly::compute::http_req::Request;
use crate::bindings::fastly::compute::http_resp::{self, Response};
use crate::bindings::fastly::compute::http_types::FramingHeadersMode;
use crate::bindings::fastly::compute::types::Error;
use crate::{Body, Failure, empty, failed, malformed, write};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

/// How much of a head is asked for at once.
const HEAD_BYTES: u64 = 128 << 10;

/// The longest method and URI that are read. Longer ones are no request of ours.
const METHOD_BYTES: u64 = 64;
const URI_BYTES: u64 = 64 << 10;

/// The head of a client's request.
///
/// # Errors
/// If the platform can't give it, or gives what is none.
pub fn request_head(request: &Request) -> Result<Parts, Failure> {
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

/// The head of an origin's response.
///
/// # Errors
/// As for a request's.
pub fn response_head(response: &Response) -> Result<(StatusCode, HeaderMap), Failure> {
    let status = response.get_status().map_err(failed("the status can't be read"))?;
    let status = StatusCode::from_u16(status).map_err(|_| malformed("status"))?;
    let headers = headers(
        |cursor| response.get_header_names(HEAD_BYTES, cursor),
        |name, cursor| response.get_header_values(name, HEAD_BYTES, cursor),
    )?;
    Ok((status, headers))
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

/// A request for a backend.
///
/// # Errors
/// If the platform does not take what it is made of.
pub fn request(parts: &Parts) -> Result<Request, Failure> {
    let wrong = failed("a request can't be made");
    let request = Request::new().map_err(&wrong)?;
    request.set_method(parts.method.as_str()).map_err(&wrong)?;
    request.set_uri(&parts.uri.to_string()).map_err(&wrong)?;
    for (name, value) in &parts.headers {
        request.append_header(name.as_str(), value.as_bytes()).map_err(&wrong)?;
    }
    Ok(request)
}

/// Has the length that a request announces kept, also where its body streams.
///
/// # Errors
/// The platform's own.
pub fn framed(request: Request) -> Result<Request, Failure> {
    let mode = FramingHeadersMode::ManuallyFromHeaders;
    request.set_framing_headers_mode(mode).map_err(failed("a request can't be framed"))?;
    Ok(request)
}

/// Begins a response whose body streams; it is whole when the body is closed, and cut when it is dropped before.
///
/// # Errors
/// If the platform does not take the head.
pub fn begin(status: StatusCode, headers: &HeaderMap) -> Result<Body, Failure> {
    let body = empty()?;
    let response = response(status, headers)?;
    http_resp::send_downstream_streaming(response, &body).map_err(failed("the response can't be sent"))?;
    Ok(body)
}

/// Sends a whole response.
///
/// # Errors
/// If the platform does not take it.
pub fn respond(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Result<(), Failure> {
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
        // The length that was announced is a promise to the client, also where the body streams or is left out.
        response.set_framing_headers_mode(FramingHeadersMode::ManuallyFromHeaders).map_err(&wrong)?;
    }
    Ok(response)
}
