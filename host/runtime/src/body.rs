//! The two bodies, counted. A response body that is not whole never ends as if it were; and its end is held back
//! until the request's record is durable, so that whoever has a whole response has a record.

use crate::fault::Fault;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};
use tollgate_request::clean_trailers;
use wasmtime_wasi_http::{Error, WasiBody};

mod early;

pub(crate) use early::{Early, GuestResponse};

/// A request body, as an adapter hands it in.
pub type RequestBody = WasiBody;

/// The response is cut here: the connection or stream must be aborted.
#[derive(Debug, thiserror::Error)]
#[error("the response was cut: {0}")]
pub struct Cut(&'static str);

/// How a response body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// All of it was handed on.
    Whole,
    /// The guest's part broke off.
    Cut(Fault),
    /// The client went before the end.
    Abandoned,
}

/// A body of which each frame is looked at as it passes, and may be changed or refused.
struct Watched<F> {
    inner: WasiBody,
    look: F,
}

/// A body of which `look` sees each frame as it passes, and may change or refuse it.
pub(crate) fn watched(
    inner: WasiBody,
    look: impl FnMut(&mut Frame<Bytes>) -> Result<(), Error> + Unpin + Send + 'static,
) -> WasiBody {
    Watched { inner, look }.boxed_unsync()
}

/// A request's body as a guest gets it: no longer than the limit, and counted. Nothing in its trailers pretends to come
/// from the host, or comes too late.
pub(crate) fn counted(inner: RequestBody, limit: u64, count: Arc<AtomicU64>) -> WasiBody {
    watched(inner, move |frame| {
        if let Some(trailers) = frame.trailers_mut() {
            clean_trailers(trailers);
        } else if let Some(data) = frame.data_ref() {
            let sum = count.fetch_add(data.len() as u64, Relaxed).saturating_add(data.len() as u64);
            if sum > limit {
                return Err(Error::HttpRequestBodySize(Some(limit)));
            }
        }
        Ok(())
    })
}

impl<F: FnMut(&mut Frame<Bytes>) -> Result<(), Error> + Unpin> Body for Watched<F> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Err(error) = (self.look)(frame)
        {
            return Poll::Ready(Some(Err(error)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What the body and the run know of each other.
#[derive(Default)]
pub(crate) struct Tail {
    /// Set before the guest's store is dropped: a body that ends after that was cut.
    fault: Mutex<Option<Fault>>,
    /// Bytes that were handed on.
    pub(crate) bytes: AtomicU64,
}

impl Tail {
    pub(crate) fn fail(&self, fault: Fault) {
        *self.fault.lock() = Some(fault);
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock()
    }
}

/// The response body that an adapter sends.
pub struct ResponseBody(Inner);

enum Inner {
    /// The host's own text.
    Ready(Option<Bytes>),
    /// A guest's.
    Guest(Box<GuestBody>),
}

struct GuestBody {
    inner: WasiBody,
    tail: Arc<Tail>,
    bounds: BodyBounds,
    /// Bytes to come, where the response's head announced a length.
    announced: Option<u64>,
    stage: Stage,
    /// Made when the body first pauses.
    timer: Option<Pin<Box<Sleep>>>,
    ended: Option<oneshot::Sender<BodyEnd>>,
    settled: oneshot::Receiver<bool>,
}

enum Stage {
    Streaming,
    /// Everything is there; the last frame waits for the record.
    Holding(Option<Frame<Bytes>>),
    Done,
}

/// How much a guest's body may be, and until when. The run's own clock does not hold for a body that outlives the
/// run: one that the guest only passes on from somewhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyBounds {
    pub(crate) bytes: u64,
    pub(crate) deadline: Instant,
}

/// The two ends that a guest's body is tied to.
pub(crate) struct Ties {
    /// Told how the body ended.
    pub(crate) ended: oneshot::Sender<BodyEnd>,
    /// Tells that the record is durable; false or dropped when it could not be made.
    pub(crate) settled: oneshot::Receiver<bool>,
}

impl ResponseBody {
    /// A body of the host's own.
    pub(crate) fn ready(bytes: Bytes) -> Self {
        Self(Inner::Ready(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// A guest's body within these bounds.
    pub(crate) fn guest(
        inner: WasiBody,
        tail: Arc<Tail>,
        bounds: BodyBounds,
        announced: Option<u64>,
        ties: Ties,
    ) -> Self {
        let Ties { ended, settled } = ties;
        let (stage, timer) = (Stage::Streaming, None);
        Self(Inner::Guest(Box::new(GuestBody {
            inner,
            tail,
            bounds,
            announced,
            stage,
            timer,
            ended: Some(ended),
            settled,
        })))
    }
}

impl GuestBody {
    fn end(&mut self, end: BodyEnd) {
        if let Some(ended) = self.ended.take() {
            // The run may be over and gone already; then nobody waits for this.
            let _ = ended.send(end);
        }
    }

    fn cut(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.stage = Stage::Done;
        self.end(BodyEnd::Cut(fault));
        Poll::Ready(Some(Err(Cut(fault.code()))))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if matches!(self.stage, Stage::Streaming) {
            let polled = Pin::new(&mut self.inner).poll_frame(context);
            if self.is_late(polled.is_pending(), context) {
                self.tail.fail(Fault::Deadline);
                return self.cut(Fault::Deadline);
            }
            match std::task::ready!(polled) {
                Some(Ok(frame)) => match self.count(&frame) {
                    Ok(false) => return Poll::Ready(Some(Ok(frame))),
                    Ok(true) => self.hold(Some(frame)),
                    Err(fault) => return self.cut(fault),
                },
                Some(Err(_)) => {
                    let fault = self.tail.fault().unwrap_or(Fault::BadResponse);
                    return self.cut(fault);
                }
                None => match (self.tail.fault(), self.announced) {
                    (Some(fault), _) => return self.cut(fault),
                    (None, Some(1..)) => return self.cut(Fault::BadResponse),
                    (None, _) => self.hold(None),
                },
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Holding(frame) => match Pin::new(&mut self.settled).poll(context) {
                Poll::Pending => {
                    self.stage = Stage::Holding(frame);
                    Poll::Pending
                }
                Poll::Ready(Ok(true)) => Poll::Ready(frame.map(Ok)),
                Poll::Ready(_) => Poll::Ready(Some(Err(Cut("no record could be made")))),
            },
            Stage::Streaming | Stage::Done => Poll::Ready(None),
        }
    }

    /// Whether the deadline is over; if the body pauses, sees to it that it is asked again by then.
    fn is_late(&mut self, pauses: bool, context: &mut Context<'_>) -> bool {
        if !pauses {
            return Instant::now() > self.bounds.deadline;
        }
        let deadline = self.bounds.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        timer.as_mut().poll(context).is_ready()
    }

    fn hold(&mut self, frame: Option<Frame<Bytes>>) {
        self.stage = Stage::Holding(frame);
        self.end(BodyEnd::Whole);
    }

    /// Counts a frame; true when it is the last: by the announced length, or because trailers are.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<bool, Fault> {
        let Some(data) = frame.data_ref() else {
            return if matches!(self.announced, Some(1..)) { Err(Fault::BadResponse) } else { Ok(true) };
        };
        let length = data.len() as u64;
        if self.tail.bytes.fetch_add(length, Relaxed).saturating_add(length) > self.bounds.bytes {
            return Err(Fault::ResponseTooLarge);
        }
        match &mut self.announced {
            Some(left) => {
                *left = left.checked_sub(length).ok_or(Fault::BadResponse)?;
                Ok(*left == 0)
            }
            None => Ok(false),
        }
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        self.end(BodyEnd::Abandoned);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.get_mut().0 {
            Inner::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Guest(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Ready(bytes) => bytes.is_none(),
            Inner::Guest(body) => matches!(body.stage, Stage::Done),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Ready(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Inner::Guest(body) => body.announced.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

#[cfg(test)]
mod tests;
