use super::*;
use crate::listener::{AnswerBody, Handler, Listener, ListenerOptions, plain_text};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tollgate_runtime::{Peer, RequestBody};
use tracing_subscriber::layer::SubscriberExt;

/// Takes spans, or never answers.
struct Collector(Option<mpsc::UnboundedSender<(String, Vec<u8>)>>);

impl Handler for Collector {
    fn handle(&self, request: Request<RequestBody>, _: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        let taken = self.0.clone();
        Box::pin(async move {
            let Some(taken) = taken else { return std::future::pending().await };
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            taken.send((path, body)).unwrap();
            plain_text(StatusCode::OK, "")
        })
    }
}

/// Makes this many spans under a provider that sends to this collector.
fn spans(collector: &Listener, count: usize) -> SdkTracerProvider {
    let endpoint = format!("http://{}", collector.address());
    let provider =
        provider(&endpoint, &TelemetryOptions { service: "a-host".to_owned(), ..Default::default() })
            .unwrap();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for _ in 0..count {
            tracing::info_span!("a-span").in_scope(|| {});
        }
    });
    provider
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_a_collector_by_otlp() {
    let (sender, mut taken) = mpsc::unbounded_channel();
    let collector = Listener::start(ListenerOptions::default(), Arc::new(Collector(Some(sender)))).unwrap();
    let provider = spans(&collector, 1);
    let (path, body) = taken.recv().await.unwrap();
    assert_eq!(path, "/v1/traces");
    let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("a-span") && has("a-host") && has("service.version"));
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_stops_nobody() {
    let collector = Listener::start(ListenerOptions::default(), Arc::new(Collector(None))).unwrap();
    // Far more than may wait: if a span could wait for room, this would not end.
    let provider = spans(&collector, 4 * WAITING_SPANS);
    tokio::task::spawn_blocking(move || drop(provider.shutdown_with_timeout(Duration::from_millis(10))))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let options = TelemetryOptions::default();
    for (options, part) in [
        (TelemetryOptions { filter: "a=b=c".to_owned(), ..options.clone() }, "`a=b=c` is not a log filter"),
        (TelemetryOptions { sample: 1.5, ..options.clone() }, "`sample = 1.5` is out of range"),
        (TelemetryOptions { otlp: Some("grpc://x".to_owned()), ..options }, "`grpc://x` is not an endpoint"),
    ] {
        let refused = Telemetry::start(&options).err().unwrap().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}
