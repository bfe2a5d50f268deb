//! Requests, responses and other servers, over `wasi:http` 0.3.
//!
//! The types are those of the crate [`http`](https://docs.rs/http), with a [`Body`] that streams.
//!
//! ```
//! use tollgate_sdk::http::{IntoResponse, Method, Request, StatusCode};
//!
//! async fn handle(request: Request) -> impl IntoResponse {
//!     match (request.method(), request.uri().path()) {
//!         (&Method::GET, "/") => "hello\n".into_response(),
//!         _ => (StatusCode::NOT_FOUND, "there is nothing here\n").into_response(),
//!     }
//! }
//!
//! tollgate_sdk::serve!(handle);
//! # fn main() {}
//! ```

mod body;
mod client;
mod convert;
mod error;
mod respond;
pub(crate) mod server;

pub use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
pub use body::{Body, BodyWriter, Closed};
pub use client::{Timeouts, get, send};
pub use error::Error;
pub use respond::IntoResponse;
#[cfg(feature = "json")]
pub use respond::Json;

/// A request. What arrives at a handler, and what [`send`] sends.
pub type Request<B = Body> = ::http::Request<B>;

/// A response. What a handler answers, and what [`send`] returns.
pub type Response<B = Body> = ::http::Response<B>;

/// The first value of a name in the request's query, with `+` and `%xx` decoded; none if it is not there.
///
/// ```
/// use tollgate_sdk::http::{Body, Request, query_value};
///
/// let request = Request::builder().uri("/search?q=two%20words&page=2").body(Body::empty()).unwrap();
/// assert_eq!(query_value(&request, "q").as_deref(), Some("two words"));
/// assert_eq!(query_value(&request, "sort"), None);
/// ```
pub fn query_value<B>(request: &Request<B>, name: &str) -> Option<String> {
    request.uri().query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

/// `application/x-www-form-urlencoded` decoding; what is not a valid escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (other, _) => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stays() {
        assert_eq!(decoded("a+b%21"), "a b!");
        assert_eq!(decoded("%zz%4"), "%zz%4");
        assert_eq!(decoded("%c3%a4"), "ä");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }
}
