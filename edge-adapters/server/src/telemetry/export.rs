//! Sends spans by OTLP over HTTP.

use super::TelemetryError;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

const SEND_WITHIN: Duration = Duration::from_secs(5);

/// The path of traces below an endpoint (OTLP, section on OTLP/HTTP).
const PATH: &str = "/v1/traces";

/// Sends on the host's runtime: the SDK's own thread, which asks for it, has none, and hyper needs one.
#[derive(Debug)]
pub(super) struct OnRuntime {
    inner: Arc<SpanExporter>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = Arc::clone(&self.inner);
        let sent = self.runtime.spawn(async move { inner.export(batch).await });
        sent.await.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

/// An exporter to this endpoint. Its path, if there is none, is the one that OTLP names.
pub(super) fn exporter(endpoint: &str) -> Result<OnRuntime, TelemetryError> {
    let bad = |cause: String| TelemetryError::Endpoint { endpoint: endpoint.to_owned(), cause };
    let uri: http::Uri = endpoint.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(bad(
            "write it as `http://host:4318`: a collector beside this host takes it in clear text".to_owned(),
        ));
    }
    let full = match uri.path() {
        "" | "/" => format!("{}{PATH}", endpoint.trim_end_matches('/')),
        _ => endpoint.to_owned(),
    };
    let runtime = Handle::try_current().map_err(|error| bad(error.to_string()))?;
    let inner = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(full)
        .with_timeout(SEND_WITHIN)
        .build()
        .map_err(|error| bad(error.to_string()))?;
    Ok(OnRuntime { inner: Arc::new(inner), runtime })
}
