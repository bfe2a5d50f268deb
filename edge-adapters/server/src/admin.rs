//! What operators and orchestrators ask: is it alive, is it ready, what are its figures. On an address of its own,
//! loopback unless told otherwise, behind the same bounds as any other listener.
//!
//! | request | answer |
//! |---|---|
//! | `GET /live` | 200 while the process answers at all |
//! | `GET /ready` | 200 when every dependency works, 503 with their names when one does not, or when the host stops |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /status` | JSON: what the operator's configuration wants shown, tenants with used and limit figures above all |

use crate::listener::{AnswerBody, Handler, answer, plain_text};
use crate::telemetry::Metrics;
use futures::future::{BoxFuture, join_all};
use http::header::{ALLOW, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tollgate_runtime::{Peer, RequestBody};

/// How long one dependency may take to say that it works.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer about readiness holds: whoever asks more often makes no more work.
const HOLDS_FOR: Duration = Duration::from_millis(500);

type Run = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// One dependency, and how to ask whether it works.
pub struct Check {
    name: String,
    run: Box<Run>,
}

impl Check {
    /// A dependency. The error says in one line why it does not work.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    async fn outcome(&self) -> Result<(), String> {
        let took_too_long = || format!("no answer within {} seconds", CHECK_WITHIN.as_secs());
        timeout(CHECK_WITHIN, (self.run)()).await.unwrap_or_else(|_| Err(took_too_long()))
    }
}

/// Makes the text of `/status`.
pub type StatusText = dyn Fn() -> Value + Send + Sync;

/// The admin address's answers.
pub struct Admin {
    inner: Arc<Inner>,
}

struct Inner {
    checks: Vec<Check>,
    metrics: Arc<Metrics>,
    status: Box<StatusText>,
    stopping: AtomicBool,
    last: Mutex<Option<(Instant, Value)>>,
}

impl Admin {
    /// Answers with these.
    pub fn new(
        checks: Vec<Check>,
        metrics: Arc<Metrics>,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        let (stopping, last) = (AtomicBool::new(false), Mutex::new(None));
        Self { inner: Arc::new(Inner { checks, metrics, status: Box::new(status), stopping, last }) }
    }

    /// From now on the host is not ready.
    pub fn stopping(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }
}

impl Handler for Admin {
    fn handle(&self, request: Request<RequestBody>, _: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            if !local_name(&request) {
                return plain_text(StatusCode::MISDIRECTED_REQUEST, "ask by address, or as localhost\n");
            }
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                let mut response = plain_text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                return response;
            }
            match request.uri().path() {
                "/live" => plain_text(StatusCode::OK, "live\n"),
                "/ready" => inner.ready().await,
                "/metrics" => inner.metrics(),
                "/status" => json_text(StatusCode::OK, &(inner.status)()),
                _ => plain_text(StatusCode::NOT_FOUND, "there are /live, /ready, /metrics and /status\n"),
            }
        })
    }
}

/// Whether the request names this host by address or as `localhost`: a page in somebody's browser, whose name was
/// pointed here, does neither.
fn local_name<B>(request: &Request<B>) -> bool {
    let field = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let field = field.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let Some(authority) = request.uri().authority().or(field.as_ref()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn json_text(status: StatusCode, value: &Value) -> Response<AnswerBody> {
    answer(status, "application/json", format!("{value:#}\n"))
}

impl Inner {
    async fn ready(&self) -> Response<AnswerBody> {
        // Held while the checks run: all who ask meanwhile get the same answer.
        let mut last = self.last.lock().await;
        let fresh =
            last.as_ref().filter(|(when, _)| when.elapsed() < HOLDS_FOR).map(|(_, report)| report.clone());
        let mut report = match fresh {
            Some(report) => report,
            None => {
                let report = self.ask().await;
                *last = Some((Instant::now(), report.clone()));
                report
            }
        };
        drop(last);
        let stopping = self.stopping.load(Ordering::Relaxed);
        let ready =
            !stopping && report.as_object().is_some_and(|checks| checks.values().all(|check| check == "ok"));
        if stopping && let Some(checks) = report.as_object_mut() {
            checks.insert("host".to_owned(), json!("stopping"));
        }
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_text(status, &json!({ "ready": ready, "checks": report }))
    }

    /// Every dependency, by name: `ok`, or why not.
    async fn ask(&self) -> Value {
        let asked = self.checks.iter().map(|check| async {
            let outcome = check.outcome().await;
            (check.name.clone(), outcome.map_or_else(Value::String, |()| json!("ok")))
        });
        Value::Object(join_all(asked).await.into_iter().collect())
    }

    fn metrics(&self) -> Response<AnswerBody> {
        match self.metrics.encode() {
            Ok(text) => {
                answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
            }
            Err(_) => plain_text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written\n"),
        }
    }
}

#[cfg(test)]
mod tests;
