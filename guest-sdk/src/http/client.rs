//! Requests to other servers.

use super::convert::{request_to_host, response_from_host};
use super::{Body, Error, Request, Response, Uri};
use std::time::Duration;

/// How long [`send`] may wait, given as an extension of the request. The host has limits of its own and the shorter
/// time holds.
///
/// ```
/// use std::time::Duration;
/// use tollgate_sdk::http::{Body, Request, Timeouts};
///
/// let mut request = Request::builder().uri("https://api.example.com/slow").body(Body::empty()).unwrap();
/// request.extensions_mut().insert(Timeouts { first_byte: Some(Duration::from_secs(2)), ..Timeouts::default() });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Until the response's first byte.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<Duration>,
}

/// Sends a request and returns the response when its head is there. Its URI must be whole; a status of 400 and above
/// is a response, not an error.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Denied`], [`Error::Unreachable`], [`Error::Timeout`], [`Error::Interrupted`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tollgate_sdk::http::{self, Body, Request};
///
/// let request = Request::post("https://api.example.com/orders").body(Body::from("{}"))?;
/// let response = http::send(request).await?;
/// # Ok(())
/// # }
/// ```
pub async fn send<B: Into<Body>>(request: Request<B>) -> Result<Response, Error> {
    let request = request_to_host(request.map(Into::into))?;
    let response = wasip3::http::client::send(request).await?;
    Ok(response_from_host(response)?)
}

/// Asks for a URL by `GET`.
///
/// # Errors
/// As [`send`].
///
/// ```no_run
/// # async fn example() -> Result<(), tollgate_sdk::http::Error> {
/// let text = tollgate_sdk::http::get("https://api.example.com/motd").await?.into_body().text().await?;
/// # Ok(())
/// # }
/// ```
pub async fn get(url: &str) -> Result<Response, Error> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = url.parse::<Uri>().map_err(|error| Error::Invalid(format!("`{url}`: {error}")))?;
    send(request).await
}
