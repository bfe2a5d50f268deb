//! Between the types of the crate `http` and those of `wasi:http`.

use super::{
    Body, Error, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Timeouts, Uri,
};
use ::http::{header, uri};
use std::time::Duration;
use wasip3::http::types as wasi;
use wasip3::wit_future;

/// An arriving request.
pub(super) fn request_from_host(request: wasi::Request) -> Result<Request, wasi::ErrorCode> {
    let mut into = Request::new(Body::empty());
    *into.method_mut() = method_from_host(&request.get_method())?;
    *into.uri_mut() = uri_from_host(&request).ok_or(wasi::ErrorCode::HttpRequestUriInvalid)?;
    *into.headers_mut() = headers_from_host(request.get_headers())?;
    let (read, reading) = wit_future::new(|| Ok(()));
    let (stream, ending) = wasi::Request::consume_body(request, reading);
    *into.body_mut() = Body::arriving(stream, ending, read);
    Ok(into)
}

/// A response to [`request_from_host`].
pub(super) fn response_to_host(mut response: Response) -> Result<wasi::Response, wasi::ErrorCode> {
    announce_length(&mut response);
    let (parts, body) = response.into_parts();
    let headers = headers_to_host(&parts.headers).map_err(internal)?;
    let (stream, ending) = body.into_parts();
    let (response, _sent) = wasi::Response::new(headers, stream, ending);
    response.set_status_code(parts.status.as_u16()).map_err(|()| internal("the status is out of range"))?;
    Ok(response)
}

/// A request to another server.
pub(super) fn request_to_host(request: Request) -> Result<wasi::Request, Error> {
    let (mut parts, body) = request.into_parts();
    let invalid = |what: &str| Error::Invalid(what.to_owned());
    // The authority says it; as a header it is forbidden.
    let host = parts.headers.remove(header::HOST);
    let authority = match (parts.uri.authority(), &host) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| invalid("its host header is not text"))?,
        (None, None) => return Err(invalid("it names no host: give a whole URL")),
    };
    if let Some(length) = body.known_length().filter(|length| *length > 0) {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let options = parts.extensions.get::<Timeouts>().map(options_to_host).transpose()?;
    let headers = headers_to_host(&parts.headers).map_err(Error::Invalid)?;
    let (stream, ending) = body.into_parts();
    let (request, _sent) = wasi::Request::new(headers, stream, ending, options);
    request
        .set_method(&method_to_host(&parts.method))
        .map_err(|()| invalid("the host refuses its method"))?;
    let scheme = match parts.uri.scheme_str() {
        Some("https") => wasi::Scheme::Https,
        Some("http") | None => wasi::Scheme::Http,
        Some(other) => wasi::Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("the host refuses its scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| invalid("the host refuses its authority"))?;
    let path = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    request.set_path_with_query(Some(path)).map_err(|()| invalid("the host refuses its path"))?;
    Ok(request)
}

/// A response from another server.
pub(super) fn response_from_host(response: wasi::Response) -> Result<Response, wasi::ErrorCode> {
    let mut into = Response::new(Body::empty());
    *into.status_mut() =
        StatusCode::from_u16(response.get_status_code()).map_err(|_| wasi::ErrorCode::HttpProtocolError)?;
    *into.headers_mut() = headers_from_host(response.get_headers())?;
    let (read, reading) = wit_future::new(|| Ok(()));
    let (stream, ending) = wasi::Response::consume_body(response, reading);
    *into.body_mut() = Body::arriving(stream, ending, read);
    Ok(into)
}

/// A body in memory is sent with its length, unless the status forbids one (RFC 9110, section 8.6).
fn announce_length(response: &mut Response) {
    let status = response.status();
    let forbidden =
        status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if let (false, Some(length)) = (forbidden, response.body().known_length()) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

fn headers_from_host(fields: wasi::Headers) -> Result<HeaderMap, wasi::ErrorCode> {
    let pairs = fields.copy_all();
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(internal)?;
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(internal)?);
    }
    Ok(headers)
}

fn headers_to_host(headers: &HeaderMap) -> Result<wasi::Headers, String> {
    let pairs: Vec<(String, Vec<u8>)> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    wasi::Headers::from_list(&pairs).map_err(|error| format!("the host refuses a header: {error:?}"))
}

fn uri_from_host(request: &wasi::Request) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(request.get_path_with_query().as_deref().unwrap_or("/").parse().ok()?);
    // A URI has both or neither.
    if let Some(authority) = request.get_authority() {
        parts.authority = Some(authority.parse().ok()?);
        parts.scheme = Some(match request.get_scheme() {
            Some(wasi::Scheme::Https) => uri::Scheme::HTTPS,
            Some(wasi::Scheme::Other(other)) => other.parse().ok()?,
            Some(wasi::Scheme::Http) | None => uri::Scheme::HTTP,
        });
    }
    Uri::from_parts(parts).ok()
}

fn method_from_host(method: &wasi::Method) -> Result<Method, wasi::ErrorCode> {
    Ok(match method {
        wasi::Method::Get => Method::GET,
        wasi::Method::Head => Method::HEAD,
        wasi::Method::Post => Method::POST,
        wasi::Method::Put => Method::PUT,
        wasi::Method::Delete => Method::DELETE,
        wasi::Method::Connect => Method::CONNECT,
        wasi::Method::Options => Method::OPTIONS,
        wasi::Method::Trace => Method::TRACE,
        wasi::Method::Patch => Method::PATCH,
        wasi::Method::Other(other) => {
            Method::from_bytes(other.as_bytes()).map_err(|_| wasi::ErrorCode::HttpRequestMethodInvalid)?
        }
    })
}

fn method_to_host(method: &Method) -> wasi::Method {
    match *method {
        Method::GET => wasi::Method::Get,
        Method::HEAD => wasi::Method::Head,
        Method::POST => wasi::Method::Post,
        Method::PUT => wasi::Method::Put,
        Method::DELETE => wasi::Method::Delete,
        Method::CONNECT => wasi::Method::Connect,
        Method::OPTIONS => wasi::Method::Options,
        Method::TRACE => wasi::Method::Trace,
        Method::PATCH => wasi::Method::Patch,
        ref other => wasi::Method::Other(other.as_str().to_owned()),
    }
}

fn options_to_host(timeouts: &Timeouts) -> Result<wasi::RequestOptions, Error> {
    let options = wasi::RequestOptions::new();
    let nanoseconds =
        |time: Option<Duration>| time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let refused = |_| Error::Invalid("the host offers no such time limit".to_owned());
    options.set_connect_timeout(nanoseconds(timeouts.connect)).map_err(refused)?;
    options.set_first_byte_timeout(nanoseconds(timeouts.first_byte)).map_err(refused)?;
    options.set_between_bytes_timeout(nanoseconds(timeouts.between_bytes)).map_err(refused)?;
    Ok(options)
}

fn internal(error: impl std::fmt::Display) -> wasi::ErrorCode {
    wasi::ErrorCode::InternalError(Some(error.to_string()))
}
