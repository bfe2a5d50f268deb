//! Asks several other servers at once and joins what they say as JSON.
//!
//! The setting `upstreams` holds their URLs, separated by spaces or line breaks; each needs an egress grant. Nothing
//! is hidden: an upstream that fails is in the answer with its reason, and the status is 200 if all answered, 207 if
//! some did, 502 if none did.

use futures::future::join_all;
use serde::Serialize;
use std::time::Duration;
use tollgate_sdk::config;
use tollgate_sdk::http::{self, Body, Error, IntoResponse, Json, Request, Response, StatusCode, Timeouts};

/// An upstream may say this much.
const ANSWER_BYTES: usize = 64 * 1024;

/// An upstream may take this long until its first byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of one upstream.
#[derive(Serialize)]
struct Answer {
    url: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

async fn handle(_: Request) -> Result<Response, config::Error> {
    let upstreams = config::require("upstreams")?;
    let answers = join_all(upstreams.split_whitespace().map(ask)).await;
    let good = answers.iter().filter(|answer| answer.ok).count();
    let status = match good {
        _ if good == answers.len() => StatusCode::OK,
        0 => StatusCode::BAD_GATEWAY,
        _ => StatusCode::MULTI_STATUS,
    };
    Ok((status, Json(answers)).into_response())
}

async fn ask(url: &str) -> Answer {
    let mut answer = Answer { url: url.to_owned(), ok: false, status: None, body: None, error: None };
    match fetch(url).await {
        Ok((status, body)) => {
            answer.ok = status.is_success();
            answer.status = Some(status.as_u16());
            answer.body = Some(body);
        }
        Err(error) => answer.error = Some(error.to_string()),
    }
    answer
}

async fn fetch(url: &str) -> Result<(StatusCode, String), Error> {
    let mut request =
        Request::get(url).body(Body::empty()).map_err(|error| Error::Invalid(error.to_string()))?;
    request.extensions_mut().insert(Timeouts { first_byte: Some(PATIENCE), ..Timeouts::default() });
    let response = http::send(request).await?;
    let status = response.status();
    let bytes = response.into_body().bytes_within(ANSWER_BYTES).await?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

tollgate_sdk::serve!(handle);
