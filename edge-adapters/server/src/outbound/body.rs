//! A response's body on its way to the guest: bounded in time, and holding its connection until it ends.

use super::pool::Lease;
use super::{HttpError, Times, failure};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct UpstreamBody {
    inner: Incoming,
    /// Gone when the body has ended, one way or the other.
    lease: Option<Lease>,
    times: Times,
    timer: Pin<Box<Sleep>>,
    /// Whether a poll had to wait since the last frame: only then does the timer run.
    waiting: bool,
}

impl UpstreamBody {
    pub(super) fn new(inner: Incoming, lease: Lease, times: Times, head_only: bool) -> Self {
        let timer = Box::pin(sleep_until(times.deadline));
        let mut body = Self { inner, lease: Some(lease), times, timer, waiting: false };
        if head_only || body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn fail(&mut self, error: HttpError) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.lease.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                // A body of known length is over with its last byte; the connection need not wait for a guest that
                // never asks for more.
                if this.inner.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(failure::code(error)),
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let now = Instant::now();
                if !this.waiting {
                    this.waiting = true;
                    let pause_until = now + this.times.between_bytes;
                    this.timer.as_mut().reset(pause_until.min(this.times.deadline));
                }
                ready!(this.timer.as_mut().poll(context));
                let error = if Instant::now() >= this.times.deadline {
                    HttpError::HttpResponseTimeout
                } else {
                    HttpError::ConnectionReadTimeout
                };
                this.fail(error)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
