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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::channel::mpsc;
    use http::HeaderMap;
    use http_body_util::StreamBody;

    type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, Error>>;

    /// A guest's response, and what feeds its body.
    fn fed(headers: &[(&str, &str)]) -> (Feed, Early) {
        let (feed, frames) = mpsc::unbounded();
        let response = headers
            .iter()
            .fold(Response::builder(), |response, (name, value)| response.header(*name, *value));
        (feed, Early::of(response.body(StreamBody::new(frames).boxed_unsync()).unwrap()))
    }

    fn data(bytes: usize) -> Result<Frame<Bytes>, Error> {
        Ok(Frame::data(Bytes::from(vec![7; bytes])))
    }

    fn take(early: &mut Early) -> bool {
        early.take(&mut Context::from_waker(futures::task::noop_waker_ref()))
    }

    /// Bytes that went out in one piece.
    fn whole(early: Early, over: bool, most: u64) -> Option<usize> {
        match early.goes(over, most) {
            GuestResponse::Whole(response) => Some(response.into_body().len()),
            GuestResponse::Streams(_) => None,
        }
    }

    /// What a client gets of a body that streams.
    fn streamed(early: Early) -> Result<usize, Error> {
        let GuestResponse::Streams(response) = early.goes(false, u64::MAX) else { panic!("it is whole") };
        let collected = response.into_body().collect().now_or_never().expect("all of it is there");
        collected.map(|body| body.to_bytes().len())
    }

    #[test]
    fn what_is_all_there_when_the_run_is_over_goes_out_in_one_piece() {
        for pieces in [&[][..], &[5], &[5, 6, 7]] {
            let (feed, mut early) = fed(&[]);
            pieces.iter().for_each(|bytes| feed.unbounded_send(data(*bytes)).unwrap());
            drop(feed);
            assert!(take(&mut early) && !take(&mut early));
            assert_eq!(whole(early, true, 18), Some(pieces.iter().sum()));
        }
    }

    #[test]
    fn what_may_go_on_or_must_be_cut_streams() {
        let (feed, mut early) = fed(&[]);
        feed.unbounded_send(data(5)).unwrap();
        assert!(take(&mut early));
        assert_eq!(whole(early, true, 18), None, "its end has not come");

        let ended = |headers: &[(&str, &str)], frames: Vec<Result<Frame<Bytes>, Error>>| {
            let (feed, mut early) = fed(headers);
            frames.into_iter().for_each(|frame| feed.unbounded_send(frame).unwrap());
            drop(feed);
            take(&mut early);
            early
        };
        assert_eq!(whole(ended(&[], vec![data(5)]), false, 18), None, "the guest may do more");
        assert_eq!(whole(ended(&[], vec![data(19)]), true, 18), None, "more than it may have");
        assert_eq!(
            whole(ended(&[("content-length", "6")], vec![data(5)]), true, 18),
            None,
            "less than it said"
        );
        assert_eq!(whole(ended(&[("content-length", "5")], vec![data(5)]), true, 18), Some(5));
        let trailers = Ok(Frame::trailers(HeaderMap::new()));
        assert_eq!(whole(ended(&[], vec![data(5), trailers]), true, 18), None, "trailers need a stream");
        let failed = ended(&[], vec![data(5), Err(Error::InternalError(None))]);
        assert_eq!(whole(failed, true, 18), None, "it failed");
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let (feed, mut early) = fed(&[]);
        (0..100).for_each(|_| feed.unbounded_send(data(1)).unwrap());
        drop(feed);
        assert!(!take(&mut early));
        assert_eq!(early.frames.len(), MOST_FRAMES);
        assert_eq!(streamed(early).unwrap(), 100, "nothing of it is lost");

        let (feed, mut early) = fed(&[]);
        (0..3).for_each(|_| feed.unbounded_send(data(MOST_BYTES)).unwrap());
        drop(feed);
        assert!(!take(&mut early));
        assert_eq!(early.bytes, 2 * MOST_BYTES, "the frame that goes past it is the last");
        assert_eq!(streamed(early).unwrap(), 3 * MOST_BYTES);
    }

    #[test]
    fn a_body_that_failed_is_never_whole_to_who_reads_it() {
        let (feed, mut early) = fed(&[]);
        feed.unbounded_send(data(5)).unwrap();
        feed.unbounded_send(Err(Error::InternalError(None))).unwrap();
        drop(feed);
        take(&mut early);
        assert!(streamed(early).is_err());
    }

    #[test]
    fn what_streams_says_how_long_it_may_be() {
        let (feed, mut early) = fed(&[]);
        feed.unbounded_send(data(5)).unwrap();
        take(&mut early);
        let GuestResponse::Streams(response) = early.goes(false, u64::MAX) else { panic!("it is whole") };
        let body = response.into_body();
        assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (5, None));
        assert!(!body.is_end_stream());
        drop(feed);
    }
}
