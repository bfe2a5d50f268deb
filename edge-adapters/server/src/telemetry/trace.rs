//! W3C Trace Context, in and out.
//!
//! A valid `traceparent` of a caller is carried on. Every request has one when it leaves here, so that the gate's
//! facts, the audit record, the guest and the exported spans all name the same trace.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of the span on the connection's side.
pub(super) const TARGET: &str = "tollgate::http";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.0.get_all(key).iter();
        match (values.next(), values.next()) {
            (Some(one), None) => one.to_str().ok(),
            // Two contexts are none. The state may be in several fields, and to lose it loses no trace.
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct FieldsMut<'a>(&'a mut HeaderMap);

impl Injector for FieldsMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// The span of one request as its connection sees it, continuing the caller's trace. Leaves one valid `traceparent`
/// in the request.
pub(crate) fn request_span<B>(request: &mut Request<B>) -> Span {
    let propagator = TraceContextPropagator::new();
    // Not the context of whatever runs this: that of the caller, or none.
    let caller = propagator.extract_with_context(&Context::new(), &Fields(request.headers()));
    let span = tracing::info_span!(
        target: TARGET,
        "http",
        otel.kind = "server",
        http.request.method = known_method(request.method()),
    );
    // Without an exporter there is no such layer, and nothing to set.
    drop(span.set_parent(caller.clone()));
    let headers = request.headers_mut();
    let ours = span.context();
    if ours.span().span_context().is_valid() {
        headers.remove(TRACESTATE);
        propagator.inject_context(&ours, &mut FieldsMut(headers));
    } else if !caller.span().span_context().is_valid() {
        headers.remove(TRACESTATE);
        let (trace, parent) = fresh();
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{parent}-00")) {
            headers.insert(TRACEPARENT, value);
        }
    }
    span
}

fn fresh() -> (TraceId, opentelemetry::SpanId) {
    let ids = RandomIdGenerator::default();
    (ids.new_trace_id(), ids.new_span_id())
}

/// A method that is known by name, or `_OTHER` (OpenTelemetry, HTTP semantic conventions): a client's own words are
/// no attribute.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

/// Puts the trace of whatever runs this into the header fields of an outgoing request. A guest's own words are kept
/// only where no trace is being sent.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        headers.remove(TRACESTATE);
        TraceContextPropagator::new().inject_context(&context, &mut FieldsMut(headers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn after(values: &[&str]) -> Vec<String> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(TRACEPARENT, *value);
        }
        let mut request = request.body(()).unwrap();
        let _span = request_span(&mut request);
        let values = request.headers().get_all(TRACEPARENT);
        values.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_valid_context_is_kept_and_anything_else_begins_a_new_trace() {
        assert_eq!(after(&[PARENT]), [PARENT]);
        for bad in [
            &[][..],
            &["nonsense"],
            &[PARENT, PARENT],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
        ] {
            let [one] = &after(bad)[..] else { panic!("not one field for {bad:?}") };
            assert_eq!((one.len(), one.contains("0af76519")), (55, false), "{bad:?} gave {one}");
            assert_ne!(after(bad), [one.as_str()], "each request has its own");
        }
    }

    #[test]
    fn with_an_exporter_the_trace_goes_on_under_our_own_span_and_outwards_too() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let mut request = Request::builder().header(TRACEPARENT, PARENT).body(()).unwrap();
            let span = request_span(&mut request);
            let sent = request.headers()[TRACEPARENT].to_str().unwrap().to_owned();
            assert!(sent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{sent}");
            assert!(!sent.contains("b7ad6b7169203331"), "our own span is the parent: {sent}");
            let _in = span.enter();
            let mut outgoing = HeaderMap::new();
            outgoing.insert(
                TRACEPARENT,
                HeaderValue::from_static("00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01"),
            );
            inject(&mut outgoing);
            assert_eq!(outgoing[TRACEPARENT], sent);
        });
    }
}
