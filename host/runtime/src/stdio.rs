//! What a guest writes to stdout and stderr: lines of the structured log, bounded in number and length.

use crate::limits::Limits;
use crate::names::Name;
use bytes::Bytes;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write in one call.
const WRITE_BYTES: usize = 64 << 10;

/// Where the lines of one instance go, and how many may still come in its present run. Shared by stdout and stderr.
pub(crate) struct GuestLog {
    tenant: Name,
    app: Name,
    limits: Arc<Limits>,
    run: Mutex<LogRun>,
}

/// What belongs to one run of an instance.
#[derive(Default)]
pub(crate) struct LogRun {
    request_id: String,
    /// Every byte that was written, also of lines that were dropped. For the meter.
    pub(crate) bytes: Arc<AtomicU64>,
    counts: LogCounts,
    partial: [Partial; 2],
}

/// What was logged, and what was not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogCounts {
    pub(crate) lines: u32,
    pub(crate) dropped: u32,
}

/// A line that has no end yet.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    cut: usize,
}

/// Which of the two streams.
#[derive(Clone, Copy)]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

impl GuestLog {
    /// For the first run of an instance.
    pub(crate) fn new(tenant: &Name, app: &Name, limits: &Arc<Limits>, request_id: &str) -> Arc<Self> {
        Arc::new(Self {
            tenant: tenant.clone(),
            app: app.clone(),
            limits: limits.clone(),
            run: Mutex::new(LogRun::of(request_id)),
        })
    }

    /// Begins the next run of a reused instance: other lines, counted anew.
    pub(crate) fn begin(&self, request_id: &str) {
        let mut run = self.run.lock();
        *run = LogRun { bytes: run.bytes.clone(), ..LogRun::of(request_id) };
    }

    /// Goes on with another run, where one instance has several at one time. This one takes its place.
    pub(crate) fn turn_to(&self, run: &mut LogRun) {
        std::mem::swap(&mut *self.run.lock(), run);
    }

    /// Says for which request the present run is, which began before there was one.
    pub(crate) fn set_request(&self, request_id: &str) {
        request_id.clone_into(&mut self.run.lock().request_id);
    }

    /// Ends the present run. The last line may have had no end.
    pub(crate) fn end(&self) -> LogCounts {
        self.end_of(&mut self.run.lock())
    }

    /// As [`GuestLog::end`], of a run whose turn it is not.
    pub(crate) fn end_of(&self, run: &mut LogRun) -> LogCounts {
        for stream in [StreamName::Stdout, StreamName::Stderr] {
            let partial = std::mem::take(run.partial(stream));
            if !partial.bytes.is_empty() {
                self.line(run, stream, &partial);
            }
        }
        run.counts
    }

    /// The count of bytes, for the meter.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        self.run.lock().bytes.clone()
    }

    /// One of the guest's two streams.
    pub(crate) fn stream(self: &Arc<Self>, name: StreamName) -> GuestStream {
        GuestStream { log: self.clone(), name }
    }

    fn line(&self, run: &mut LogRun, stream: StreamName, partial: &Partial) {
        if run.counts.lines >= self.limits.log_lines {
            run.counts.dropped = run.counts.dropped.saturating_add(1);
            return;
        }
        run.counts.lines += 1;
        let text = String::from_utf8_lossy(&partial.bytes);
        let text = plain(&text);
        let (tenant, app, request_id) = (self.tenant.as_str(), self.app.as_str(), run.request_id.as_str());
        tracing::info!(
            target: "tollgate::guest",
            tenant,
            app,
            request_id,
            stream = stream.as_str(),
            cut_bytes = partial.cut,
            line = %text
        );
    }

    fn take(&self, stream: StreamName, bytes: &[u8]) {
        let most = self.limits.log_line_bytes;
        let mut run = self.run.lock();
        run.bytes.fetch_add(bytes.len() as u64, Relaxed);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let partial = run.partial(stream);
            let room = most.saturating_sub(partial.bytes.len()).min(text.len());
            let (kept, cut) = text.split_at(room);
            partial.bytes.extend_from_slice(kept);
            partial.cut += cut.len();
            if ends {
                let partial = std::mem::take(partial);
                self.line(&mut run, stream, &partial);
            }
        }
    }
}

impl LogRun {
    /// No line yet, of this request.
    pub(crate) fn of(request_id: &str) -> Self {
        Self { request_id: request_id.to_owned(), ..Self::default() }
    }

    fn partial(&mut self, stream: StreamName) -> &mut Partial {
        let [stdout, stderr] = &mut self.partial;
        match stream {
            StreamName::Stdout => stdout,
            StreamName::Stderr => stderr,
        }
    }
}

impl StreamName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A guest's line, with everything written out that a reader of the log could take for more than text: the end of a
/// line, an order to a terminal, another direction of writing, or nothing at all.
fn plain(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        let marks = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}');
        (c.is_control() && c != '\t') || marks || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { plain.extend(c.escape_unicode()) } else { plain.push(c) }
    }
    Cow::Owned(plain)
}

/// One of the two streams.
#[derive(Clone)]
pub(crate) struct GuestStream {
    log: Arc<GuestLog>,
    name: StreamName,
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
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap("more was written to a stream than it had said it takes"));
        }
        self.log.take(self.name, &bytes);
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
        // A part at a time, so that a guest's clock is looked at in between.
        let some = bytes.get(..WRITE_BYTES).unwrap_or(bytes);
        self.log.take(self.name, some);
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_more_than_text_is_written_out() {
        assert_eq!(plain("grüße\t👩\u{200d}🚀"), "grüße\t👩\u{200d}🚀");
        assert_eq!(plain("a\rb\0\u{1b}[31m"), "a\\u{d}b\\u{0}\\u{1b}[31m");
        assert_eq!(plain("\u{9b}31m\u{2028}\u{202e}\u{feff}"), "\\u{9b}31m\\u{2028}\\u{202e}\\u{feff}");
    }
}
