//! What a handler may return.

use super::{Body, Error, HeaderValue, Response, StatusCode, header};
use crate::{config, kv};

/// What a handler may return.
///
/// Text, bytes, a status, a status with any of these, a whole [`Response`], and a [`Result`] of two of these. The
/// SDK's own errors are answers too: the client gets a status and a plain word, the log gets the reason. So `?` works
/// in a handler that returns `Result<_, kv::Error>`.
///
/// ```
/// use tollgate_sdk::http::{IntoResponse, StatusCode};
///
/// let response = (StatusCode::NOT_FOUND, "there is nothing here\n").into_response();
/// assert_eq!(response.status(), 404);
/// ```
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl<B: Into<Body>> IntoResponse for Response<B> {
    fn into_response(self) -> Response {
        self.map(Into::into)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self;
        response
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        with_type("application/octet-stream", self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        with_type("text/plain; charset=utf-8", self)
    }
}

impl IntoResponse for &str {
    fn into_response(self) -> Response {
        self.to_owned().into_response()
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// A value as JSON.
///
/// ```
/// use tollgate_sdk::http::{IntoResponse, Json};
///
/// let response = Json([1, 2, 3]).into_response();
/// assert_eq!(response.headers()["content-type"], "application/json");
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => with_type("application/json", bytes),
            Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) | Self::Denied => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unreachable(_) | Self::Interrupted(_) => StatusCode::BAD_GATEWAY,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
        };
        failed(status, &self)
    }
}

impl IntoResponse for kv::Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Contended => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        failed(status, &self)
    }
}

impl IntoResponse for config::Error {
    fn into_response(self) -> Response {
        failed(StatusCode::INTERNAL_SERVER_ERROR, &self)
    }
}

/// The client learns the status; the reason is for the log.
fn failed(status: StatusCode, error: &dyn std::error::Error) -> Response {
    crate::log!("answered {}: {error}", status.as_u16());
    let text = status.canonical_reason().unwrap_or("failed").to_ascii_lowercase();
    (status, text + "\n").into_response()
}

fn with_type(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::{Error, IntoResponse, Response, StatusCode, kv};

    #[test]
    fn text_says_that_it_is_text() {
        let response = "hello".into_response();
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }

    #[test]
    fn an_error_gives_the_client_a_status_and_no_reason() {
        let result: Result<Response, _> = Err(kv::Error::Other("disk /dev/sda is full".to_owned()));
        let response = result.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(format!("{:?}", response.body()), "Body(22 bytes)");
    }

    #[test]
    fn a_slow_upstream_is_a_gateway_timeout() {
        assert_eq!(Error::Timeout.into_response().status(), 504);
    }
}
