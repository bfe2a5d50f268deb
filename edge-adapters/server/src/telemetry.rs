//! Logs, metrics and traces. None of them ever waits: what can't be written or sent is dropped and counted.

mod export;
mod lines;
mod metrics;
mod tenants;
mod trace;

pub use lines::dropped_lines;
pub use metrics::Metrics;
pub use tenants::observe_tenants;
pub(crate) use trace::{inject, request_span};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use std::time::Duration;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, dynamic_filter_fn, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Spans that wait to be sent; more are dropped.
const WAITING_SPANS: usize = 4_096;

/// A client can have the HTTP/2 library warn as often as it sends frames: unless the filter names it, it says errors only.
const QUIET: &str = "h2=error";

/// How the host tells what it does.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// What is logged, as `tracing-subscriber` writes filters: `info`, or `info,tollgate::egress=debug`.
    pub filter: String,
    /// Where traces go: an OTLP/HTTP endpoint such as `http://127.0.0.1:4318`. None sends none.
    pub otlp: Option<String>,
    /// The `service.name` of the traces.
    pub service: String,
    /// Which part of the traces that begin here is sent, 0 to 1. A caller's own decision is kept.
    pub sample: f64,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned(), otlp: None, service: "tollgate".to_owned(), sample: 1.0 }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is malformed.
    #[error("`{filter}` is not a log filter: {cause}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The endpoint can't be used.
    #[error("`{endpoint}` is not an endpoint for traces: {cause}")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The sampled part is no part.
    #[error("`sample = {0}` is out of range: use 0 to 1")]
    Sample(f64),
    /// Something else in this process has begun to log before.
    #[error("logging is already set up in this process")]
    Twice,
    /// The thread that writes logs can't be started.
    #[error("can't start the thread that writes logs: {0}")]
    Thread(#[source] std::io::Error),
}

/// Telemetry of this process. To drop it sends and writes what waits, for a few seconds at most.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    lines: lines::Lines,
}

impl Telemetry {
    /// Begins to log to standard error, and to send traces if there is an endpoint. Once in a process, within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// Any [`TelemetryError`].
    pub fn start(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(format!("{QUIET},{}", options.filter)).map_err(|error| {
            TelemetryError::Filter { filter: options.filter.clone(), cause: error.to_string() }
        })?;
        if !(0.0..=1.0).contains(&options.sample) {
            return Err(TelemetryError::Sample(options.sample));
        }
        let traces = options.otlp.as_deref().map(|endpoint| provider(endpoint, options)).transpose()?;
        let lines = lines::Lines::start(std::io::stderr()).map_err(TelemetryError::Thread)?;
        // The span of the connection's side carries the trace and nothing for a log line. Without the hint, every trace
        // point of every dependency would be asked about, and the engine has many.
        let logged =
            filter_fn(|metadata| metadata.target() != trace::TARGET).with_max_level_hint(LevelFilter::TRACE);
        let logs = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(lines.writer())
            .with_filter(filter.and(logged));
        let sent = traces.as_ref().map(|provider| {
            // A request's span is of a trace that is sent, or there is no span of its connection to be within.
            let is_ours = |metadata: &Metadata<'_>| {
                let is_shown = metadata.is_span() && *metadata.level() <= Level::INFO;
                is_shown && metadata.target().starts_with("tollgate")
            };
            let of_a_trace = dynamic_filter_fn(move |metadata, context| {
                is_ours(metadata)
                    && (metadata.target() == trace::TARGET || context.lookup_current().is_some())
            });
            let ours =
                of_a_trace.with_max_level_hint(LevelFilter::INFO).with_callsite_filter(move |metadata| {
                    if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
                });
            trace::send(options.sample);
            tracing_opentelemetry::layer().with_tracer(provider.tracer("tollgate")).with_filter(ours)
        });
        Registry::default().with(sent).with(logs).try_init().map_err(|_| TelemetryError::Twice)?;
        Ok(Self { traces, lines })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            // Sending needs the runtime that this may be running on, so the wait is on a thread of its own.
            let shutdown = std::thread::spawn(move || traces.shutdown_with_timeout(Duration::from_secs(3)));
            drop(shutdown.join());
        }
        self.lines.finish();
    }
}

fn provider(endpoint: &str, options: &TelemetryOptions) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = export::exporter(endpoint)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING_SPANS)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name(options.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        // What is not sent has no span.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build();
    Ok(provider)
}

#[cfg(test)]
mod tests;
