//! A guest's response before its head is sent. What a guest gives without a break, to the end of its run, goes out in
//! one piece when its record is durable: one write to the client, and a problem document where the guest fails in the
//! middle. As soon as the guest has to wait for anything, what there is goes out and the rest streams.

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use tollgate_request::content_length;
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes after which no more is taken, and frames. A frame may go past it; then the end is not read, so what is whole is
/// no larger. A response that is over is no longer on its tenant's account while a client
/// lets it wait.
const MOST_BYTES: usize = 16 << 10;
const MOST_FRAMES: usize = 64;

/// A guest's response as it goes out.
pub(crate) enum GuestResponse {
    /// The run is over, and this is all of it.
    Whole(Response<Bytes>),
    /// More may come, or must not be held.
    Streams(Response<WasiBody>),
}

/// A response, and what has come of its body.
pub(crate) struct Early {
    head: Response<()>,
    rest: WasiBody,
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    end: Option<Result<(), Error>>,
}

impl Early {
    pub(crate) fn of(response: Response<WasiBody>) -> Self {
        let (head, rest) = response.into_parts();
        let head = Response::from_parts(head, ());
        Self { head, rest, frames: VecDeque::new(), bytes: 0, end: None }
    }

    /// Takes what there is of the body. True if something came, and more may be held.
    pub(crate) fn take(&mut self, context: &mut Context<'_>) -> bool {
        let before = (self.frames.len(), self.end.is_some());
        while self.end.is_none() && self.has_room() {
            match Pin::new(&mut self.rest).poll_frame(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => {
                    self.bytes += frame.data_ref().map_or(0, Bytes::len);
                    self.frames.push_back(frame);
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
            }
        }
        before != (self.frames.len(), self.end.is_some()) && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.bytes <= MOST_BYTES && self.frames.len() < MOST_FRAMES
    }

    /// What goes out. `over` tells that the run is, and `most` how many bytes the body may have.
    pub(crate) fn goes(self, over: bool, most: u64) -> GuestResponse {
        let is_whole = over
            && matches!(self.end, Some(Ok(())))
            && self.bytes as u64 <= most
            && self.frames.iter().all(Frame::is_data)
            && content_length(self.head.headers()).is_none_or(|length| length == self.bytes as u64);
        let Self { head, rest, frames, bytes, end } = self;
        if !is_whole {
            return GuestResponse::Streams(head.map(|()| Continued { frames, rest, end }.boxed_unsync()));
        }
        let mut data = frames.into_iter().filter_map(|frame| frame.into_data().ok());
        let body = match (data.next(), data.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only,
            (Some(first), Some(second)) => {
                let mut all = BytesMut::with_capacity(bytes);
                [first, second].iter().for_each(|piece| all.extend_from_slice(piece));
                data.for_each(|piece| all.extend_from_slice(&piece));
                all.freeze()
            }
        };
        GuestResponse::Whole(head.map(|()| body))
    }
}

/// A body of which a part was taken before.
struct Continued {
    frames: VecDeque<Frame<Bytes>>,
    rest: WasiBody,
    end: Option<Result<(), Error>>,
}

impl Body for Continued {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.end {
            None => Pin::new(&mut self.rest).poll_frame(context),
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && match &self.end {
                None => self.rest.is_end_stream(),
                Some(end) => end.is_ok(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        let rest = if self.end.is_some() { SizeHint::with_exact(0) } else { self.rest.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
