//! One platform's API: requests with the token, and answers judged by their status.

use crate::multipart::{self, Part};
use crate::provider::ProviderError;
use crate::token::Token;
use crate::web::{Site, Web};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long one request may take, uploads included.
const WITHIN: Duration = Duration::from_secs(180);

/// How much of what a platform said is shown, in characters.
const SAID_CHARS: usize = 300;

/// Who this is, for the platform's own logs.
const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// What a platform says of a refusal: its own number for it, and a text.
pub(crate) type Said = (Option<u64>, String);

/// What differs from one platform's API to another's.
pub(crate) struct Manners {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// The variable that tokens for it are in.
    pub(crate) variable: &'static str,
    /// The header that tokens go in, and what stands before them.
    pub(crate) token: (&'static str, &'static str),
    /// Reads what it says of a refusal.
    pub(crate) said: fn(&Value) -> Option<Said>,
}

/// A platform's API.
pub(crate) struct Client {
    web: Arc<dyn Web>,
    manners: &'static Manners,
    site: Site,
    token: Token,
}

/// What goes along with a request.
pub(crate) enum Body<'a> {
    None,
    Json(Value),
    Form(&'a [(&'a str, &'a str)]),
    Parts(&'a [Part<'a>]),
}

impl Client {
    pub(crate) fn new(web: Arc<dyn Web>, manners: &'static Manners, site: Site, token: Token) -> Self {
        Self { web, manners, site, token }
    }

    /// Asks, and reads the answer as JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<T, ProviderError> {
        let request = self.request(method, path, body)?;
        let answer = self.web.send(request, None, WITHIN).await;
        let answer = answer.map_err(|source| ProviderError::Unreachable { api: self.api(), source })?;
        if answer.status().is_success() {
            let reason = |error: serde_json::Error| self.unreadable(error.to_string());
            serde_json::from_slice(answer.body()).map_err(reason)
        } else {
            Err(self.refusal(&answer))
        }
    }

    /// The error for an answer that is not what was agreed.
    pub(crate) fn unreadable(&self, reason: String) -> ProviderError {
        ProviderError::Unreadable { api: self.api(), reason: self.token.hidden_in(&reason) }
    }

    fn api(&self) -> String {
        format!("{} ({})", self.manners.name, self.site)
    }

    fn request(&self, method: Method, path: &str, body: Body<'_>) -> Result<Request<Bytes>, ProviderError> {
        let (kind, bytes) = match body {
            Body::None => (None, Bytes::new()),
            Body::Json(value) => (Some("application/json".to_owned()), value.to_string().into()),
            Body::Form(fields) => (Some("application/x-www-form-urlencoded".to_owned()), form(fields).into()),
            Body::Parts(parts) => {
                let (kind, bytes) = multipart::encode(parts);
                (Some(kind), bytes)
            }
        };
        let malformed = || ProviderError::Unfit(format!("no request can be made of `{path}`"));
        let (name, before) = self.manners.token;
        let token = self.token.header(before).ok_or_else(malformed)?;
        let mut request = Request::builder()
            .method(method)
            .uri(self.site.join(path))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .header(HeaderName::from_static(name), token);
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        request.body(bytes).map_err(|_| malformed())
    }

    fn refusal(&self, answer: &Response<Bytes>) -> ProviderError {
        let (api, status) = (self.api(), answer.status());
        let (code, said) = self.said(answer.body());
        match status {
            StatusCode::TOO_MANY_REQUESTS => ProviderError::Busy { api, wait: wait(answer) },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ProviderError::Denied { api, status: status.as_u16(), variable: self.manners.variable }
            }
            _ if status.is_server_error() => ProviderError::Unwell { api, status: status.as_u16(), said },
            _ => ProviderError::Refused { api, status: status.as_u16(), code, said },
        }
    }

    fn said(&self, body: &[u8]) -> Said {
        let document: Option<Value> = serde_json::from_slice(body).ok();
        let (code, text) = document
            .and_then(|document| (self.manners.said)(&document))
            .unwrap_or_else(|| (None, String::from_utf8_lossy(body).into_owned()));
        let line: String = self.token.hidden_in(&text).replace(char::is_control, " ");
        let line = line.trim();
        (
            code,
            if line.is_empty() { "no reason given".into() } else { line.chars().take(SAID_CHARS).collect() },
        )
    }
}

/// `Retry-After` in seconds. Its other form, a date, is not read: then the pause is our own.
fn wait(answer: &Response<Bytes>) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// A text in a query or a form: all but unreserved characters (RFC 3986, section 2.3) are escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Nothing can go wrong in writing to a string.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[("comment", "tollgate:a b"), ("x", "1&2")]), "comment=tollgate%3Aa%20b&x=1%262");
    }

    #[test]
    fn a_pause_is_read_in_seconds() {
        let after =
            |text: &str| wait(&Response::builder().header("retry-after", text).body(Bytes::new()).unwrap());
        assert_eq!(after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 22 Nov 2026 06:00:00 GMT"), None);
    }
}
