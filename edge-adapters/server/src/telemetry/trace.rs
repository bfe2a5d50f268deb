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
use std::sync::OnceLock;
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

/// Which part of the traces that begin here is sent; none where no traces are sent.
static SENT: OnceLock<f64> = OnceLock::new();

/// Has this part of the traces that begin here be sent from now on, and those of callers that want it.
pub(super) fn send(part: f64) {
    // There is one telemetry in a process.
    let _ = SENT.set(part);
}

/// The span of one request as its connection sees it, continuing the caller's trace; none if this trace is not sent.
/// Leaves one valid `traceparent` in the request.
pub(crate) fn request_span<B>(request: &mut Request<B>) -> Span {
    span_of(request, SENT.get().copied())
}

/// Whether a trace is sent is decided here, before anything is made for it: most are not.
fn span_of<B>(request: &mut Request<B>, part: Option<f64>) -> Span {
    let propagator = TraceContextPropagator::new();
    // Not the context of whatever runs this: that of the caller, or none.
    let caller = propagator.extract_with_context(&Context::new(), &Fields(request.headers()));
    let known = caller.span().span_context().clone();
    let (trace, parent) = fresh();
    let is_sent = match part {
        Some(_) if known.is_valid() => known.is_sampled(),
        Some(part) => is_within(trace, part),
        None => false,
    };
    let method = known_method(request.method());
    let headers = request.headers_mut();
    if !is_sent {
        if !known.is_valid() {
            headers.remove(TRACESTATE);
            if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{parent}-00")) {
                headers.insert(TRACEPARENT, value);
            }
        }
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TARGET,
        "http",
        otel.kind = "server",
        http.request.method = method,
    );
    // It fails where there is no layer that sends, and then nothing is sent.
    drop(span.set_parent(caller));
    request.headers_mut().remove(TRACESTATE);
    propagator.inject_context(&span.context(), &mut FieldsMut(request.headers_mut()));
    span
}

/// Whether a trace is of this part of all: its id is random.
fn is_within(trace: TraceId, part: f64) -> bool {
    let [.., a, b, c, d] = trace.to_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < part * (f64::from(u32::MAX) + 1.0)
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
    fn a_trace_that_is_not_sent_is_named_all_the_same_and_no_span_is_made_for_it() {
        const UNSENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let named = |header: Option<&str>, part| {
            let mut request = Request::new(());
            if let Some(header) = header {
                request.headers_mut().insert(TRACEPARENT, HeaderValue::from_str(header).unwrap());
            }
            let is_made = !span_of(&mut request, part).is_none();
            (is_made, request.headers()[TRACEPARENT].to_str().unwrap().to_owned())
        };
        assert_eq!(named(Some(UNSENT), Some(1.0)), (false, UNSENT.to_owned()), "the caller decides");
        assert_eq!(named(Some(PARENT), None), (false, PARENT.to_owned()), "there is nowhere to send to");
        let (is_made, name) = named(None, Some(0.0));
        assert!(!is_made && name.len() == 55 && name.ends_with("-00"), "{name}");
        let half = (0..1_000).filter(|_| is_within(fresh().0, 0.5)).count();
        assert!((400..600).contains(&half), "{half}");
        assert!(is_within(TraceId::from(u128::MAX), 1.0) && !is_within(TraceId::from(0), 0.0));
    }

    #[test]
    fn with_an_exporter_the_trace_goes_on_under_our_own_span_and_outwards_too() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let mut request = Request::builder().header(TRACEPARENT, PARENT).body(()).unwrap();
            let span = span_of(&mut request, Some(0.0));
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
