//! The messages on both sides of a gateway: what an app gets, and what its client gets back.

use crate::headers::{content_length, drop_hop_by_hop, drop_ours};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

/// The header with the request's id, for apps and clients.
const REQUEST_ID: HeaderName = HeaderName::from_static("tollgate-request-id");

/// A response that no client may get as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedResponse;

/// Adds to clean request headers what the host says of the client.
pub fn request_headers(headers: &mut HeaderMap, client_address: &str, scheme: &str, request_id: &str) {
    set(headers, HeaderName::from_static("x-forwarded-for"), client_address);
    set(headers, HeaderName::from_static("x-forwarded-proto"), scheme);
    set(headers, REQUEST_ID, request_id);
}

/// An app's response head as its client gets it. Informational statuses are the host's own, and a length must be one
/// number.
///
/// # Errors
/// If it is not so.
pub fn response_headers(
    status: StatusCode,
    headers: &mut HeaderMap,
    rate_headers: &[(String, String)],
    request_id: &str,
) -> Result<(), MalformedResponse> {
    if status.is_informational() {
        return Err(MalformedResponse);
    }
    if headers.contains_key(CONTENT_LENGTH) && content_length(headers).is_none() {
        return Err(MalformedResponse);
    }
    drop_hop_by_hop(headers);
    drop_ours(headers);
    set(headers, REQUEST_ID, request_id);
    announce(headers, rate_headers);
    Ok(())
}

/// Adds the gate's headers, those about rates, to a response.
pub fn announce(headers: &mut HeaderMap, added: &[(String, String)]) {
    for (name, value) in added {
        if let Ok(name) = name.parse::<HeaderName>() {
            set(headers, name, value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether no byte of body will follow this head.
pub fn has_no_body<B>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || content_length(response.headers()) == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn an_app_says_nothing_in_the_hosts_name() {
        let mut headers = head(&[("tollgate-anything", "x"), ("keep-alive", "1"), ("ratelimit", "forged")]);
        let rates = [("ratelimit".to_owned(), "true".to_owned())];
        response_headers(StatusCode::OK, &mut headers, &rates, "id").unwrap();
        assert_eq!(headers, head(&[("ratelimit", "true"), ("tollgate-request-id", "id")]));
    }

    #[test]
    fn a_head_that_clients_could_read_in_two_ways_is_malformed() {
        let mut none = HeaderMap::new();
        assert!(response_headers(StatusCode::CONTINUE, &mut none, &[], "").is_err());
        let mut text = head(&[("content-length", "ten")]);
        assert!(response_headers(StatusCode::OK, &mut text, &[], "").is_err());
    }
}
