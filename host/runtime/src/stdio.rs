//! What a guest writes to stdout and stderr: lines of the structured log, bounded in number and length.

use crate::limits::Limits;
use crate::names::Name;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes that a guest may write in one call.
const WRITE_BYTES: usize = 64 << 10;

/// Where lines go, and how many may still come. Shared by the stdout and the stderr of one run.
pub(crate) struct GuestLog {
    pub(crate) tenant: Name,
    pub(crate) app: Name,
    pub(crate) request_id: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counts: Mutex<LogCounts>,
}

/// What was logged, and what was not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogCounts {
    pub(crate) lines: u32,
    pub(crate) dropped: u32,
}

impl GuestLog {
    fn line(&self, stream: &'static str, bytes: &[u8], cut: usize) {
        {
            let mut counts = self.counts.lock();
            if counts.lines >= self.limits.log_lines {
                counts.dropped = counts.dropped.saturating_add(1);
                return;
            }
            counts.lines += 1;
        }
        let text = String::from_utf8_lossy(bytes);
        let (tenant, app, request_id) = (self.tenant.as_str(), self.app.as_str(), self.request_id.as_str());
        tracing::info!(target: "tollgate::guest", tenant, app, request_id, stream, cut_bytes = cut, line = %text);
    }
}

/// One of the two streams.
#[derive(Clone)]
pub(crate) struct GuestStream {
    log: Arc<GuestLog>,
    name: &'static str,
    partial: Arc<Mutex<Partial>>,
}

#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    cut: usize,
}

impl GuestStream {
    pub(crate) fn new(log: &Arc<GuestLog>, name: &'static str) -> Self {
        Self { log: log.clone(), name, partial: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let most = self.log.limits.log_line_bytes;
        let mut partial = self.partial.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = most.saturating_sub(partial.bytes.len()).min(text.len());
            let (kept, cut) = text.split_at(room);
            partial.bytes.extend_from_slice(kept);
            partial.cut += cut.len();
            if ends {
                self.log.line(self.name, &partial.bytes, partial.cut);
                *partial = Partial::default();
            }
        }
    }
}

/// The last line may have no end.
impl Drop for GuestStream {
    fn drop(&mut self) {
        if Arc::strong_count(&self.partial) == 1 {
            let partial = self.partial.lock();
            if !partial.bytes.is_empty() {
                self.log.line(self.name, &partial.bytes, partial.cut);
            }
        }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
