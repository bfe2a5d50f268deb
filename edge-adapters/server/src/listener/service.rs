//! Requests of one connection: checked, handed on, and their bodies bounded.

use super::connection::Server;
use super::refusal::Refusal;
use super::stream::Cut;
use super::{AnswerBody, BoxError};
use crate::telemetry;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};
use tollgate_runtime::{Peer, RequestBody};
use tracing::Instrument;

/// A failure of a request's body, in the runtime's words.
type BodyError = <RequestBody as Body>::Error;

/// Takes the requests of one connection.
pub(super) struct Requests {
    pub(super) server: Arc<Server>,
    pub(super) peer: Peer,
    pub(super) activity: Arc<Activity>,
    /// Told when a response is cut. Not for HTTP/2, where only the stream is reset.
    pub(super) cut: Option<Cut>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (server, peer, cut) = (Arc::clone(&self.server), self.peer, self.cut.clone());
        let activity = Arc::clone(&self.activity);
        let active = Activity::begin(&activity);
        Box::pin(async move {
            let http2 = cut.is_none();
            let response = match check(&request, server.options.target_bytes, server.options.headers) {
                Ok(()) => {
                    let span = telemetry::request_span(&mut request);
                    let pause = server.options.body_pause;
                    let request = request.map(|body| Paced::new(body, pause).boxed_unsync());
                    let handled = AssertUnwindSafe(server.handler.handle(request, peer).instrument(span));
                    handled.catch_unwind().await.unwrap_or_else(|_| {
                        server.gauges.panics.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(target: "tollgate::listener", "the handling of a request panicked");
                        Refusal::Panic.response()
                    })
                }
                Err(refusal) => {
                    server.gauges.malformed.fetch_add(1, Ordering::Relaxed);
                    let mut response = refusal.response();
                    if !http2 {
                        // Whoever sent this may think that its body, or the next request, begins somewhere else.
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    response
                }
            };
            let stalled =
                (http2 && !response.body().is_end_stream()).then(|| Stalls::watch(&activity.stalls));
            Ok(response.map(|inner| Counted { inner, rest: None, cut, stalled, _active: active }))
        })
    }
}

/// What no handler needs to see.
fn check<B>(request: &Request<B>, target_bytes: usize, headers: usize) -> Result<(), Refusal> {
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    if path + authority > target_bytes {
        return Err(Refusal::Target);
    }
    if request.headers().len() > headers {
        return Err(Refusal::Headers);
    }
    coding(request.headers())?;
    if request.version() == Version::HTTP_2 && request.headers().values().any(is_padded) {
        return Err(Refusal::Value);
    }
    host(uri, request.headers())
}

/// Whether there is space around a value. In HTTP/1 it was no part of the value, and is gone by now.
fn is_padded(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Chunks, once, or nothing. The app would get a body in another coding as it came, without the field that says so; and
/// where `chunked` stands twice, somebody before us may have read another body.
fn coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(()),
        (Some(field), None) if field.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Refusal::Coding),
    }
}

/// Exactly one host, in one spelling. Whoever stands behind this must not be able to see another host than we do.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut fields = headers.get_all(HOST).iter();
    let (field, more) = (fields.next(), fields.next());
    if more.is_some() {
        return Err(Refusal::Host);
    }
    let field = match field {
        None => None,
        Some(value) => {
            let authority: Option<Authority> = value.to_str().ok().and_then(|text| text.parse().ok());
            Some(authority.ok_or(Refusal::Host)?)
        }
    };
    let named = match (uri.authority(), &field) {
        (Some(target), None) => target,
        (None, Some(field)) => field,
        // The port may be left out in one and not in the other only if it is the same text otherwise; to be strict
        // costs honest clients nothing.
        (Some(target), Some(field)) if target.as_str().eq_ignore_ascii_case(field.as_str()) => target,
        (Some(_), Some(_)) | (None, None) => return Err(Refusal::Host),
    };
    let well = !named.as_str().contains('@') && !named.host().is_empty() && is_port(named);
    if well { Ok(()) } else { Err(Refusal::Host) }
}

/// Whether what follows the name is nothing, or a port.
fn is_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Whether a connection has requests under way, and takes their responses.
#[derive(Default)]
pub(super) struct Activity {
    requests: AtomicUsize,
    changed: Notify,
    pub(super) stalls: Arc<Stalls>,
}

/// Response streams of which a part was handed on and the next is not asked for: the client gives no room for it. Over
/// HTTP/2 that is no pause of the socket, and nothing else would notice.
#[derive(Default)]
pub(super) struct Stalls {
    since: Mutex<HashMap<u64, Instant>>,
    next: AtomicU64,
}

/// One response stream.
struct Stall {
    stalls: Arc<Stalls>,
    id: u64,
}

impl Stalls {
    fn watch(stalls: &Arc<Self>) -> Stall {
        let stall = Stall { stalls: Arc::clone(stalls), id: stalls.next.fetch_add(1, Ordering::Relaxed) };
        stall.begins();
        stall
    }

    /// Returns once some stream has stood still for this long.
    pub(super) async fn longer_than(&self, time: Duration) {
        loop {
            let oldest = self.since.lock().values().min().copied();
            let until = oldest.unwrap_or_else(Instant::now) + time;
            if oldest.is_some() && until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Stall {
    fn begins(&self) {
        self.stalls.since.lock().insert(self.id, Instant::now());
    }

    fn ends(&self) {
        self.stalls.since.lock().remove(&self.id);
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.ends();
    }
}

/// One request under way.
pub(super) struct Active(Arc<Activity>);

impl Activity {
    fn begin(activity: &Arc<Self>) -> Active {
        activity.requests.fetch_add(1, Ordering::AcqRel);
        activity.changed.notify_waiters();
        Active(Arc::clone(activity))
    }

    /// Returns once there was no request for this long.
    pub(super) async fn idle_for(&self, time: Duration) {
        loop {
            // Made before the count is read: so no change in between is missed.
            let changed = self.changed.notified();
            if self.requests.load(Ordering::Acquire) > 0 {
                changed.await;
            } else if tokio::time::timeout(time, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

/// The most that is handed on at once over HTTP/2, where it waits until the client gives room for it. A whole response
/// that waits there would take memory and no request's place; what is kept back holds its request's place, until its
/// deadline.
const PIECE: usize = 16 << 10;

/// A response's body: a request is under way until it ends, and a failure in it cuts the connection.
pub(super) struct Counted {
    inner: AnswerBody,
    /// Of a large frame, what was not handed on yet.
    rest: Option<Bytes>,
    cut: Option<Cut>,
    stalled: Option<Stall>,
    _active: Active,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(stalled) = &self.stalled {
            stalled.ends();
        }
        let frame = match self.rest.take() {
            Some(rest) => Some(Ok(Frame::data(rest))),
            None => ready!(Pin::new(&mut self.inner).poll_frame(context)),
        };
        if let (Some(Err(_)), Some(cut)) = (&frame, &self.cut) {
            cut.set();
        }
        let frame = frame.map(|frame| frame.map(|frame| self.piece(frame)));
        if let (Some(Ok(_)), Some(stalled)) = (&frame, &self.stalled) {
            stalled.begins();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) =
            (self.rest.as_ref().map_or(0, |rest| rest.len() as u64), self.inner.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

impl Counted {
    /// What of this frame is handed on now.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if self.cut.is_some() {
            // HTTP/1 asks for more only when the last was taken.
            return frame;
        }
        match frame.into_data() {
            Ok(mut data) => {
                self.rest = (data.len() > PIECE).then(|| data.split_off(PIECE));
                Frame::data(data)
            }
            Err(frame) => frame,
        }
    }
}

/// A request's body that may pause only so long.
struct Paced {
    inner: Incoming,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn new(inner: Incoming, pause: Duration) -> Self {
        Self { inner, pause, timer: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let pause = this.pause;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + pause)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, hosts: &[&str]) -> Option<Refusal> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        check(&request.body(()).unwrap(), 64, 8).err()
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        for (uri, hosts) in [
            ("/", &["a.example"][..]),
            ("/", &["a.example:80"]),
            ("/", &["[::1]:80"]),
            ("/", &["[::1]"]),
            ("/", &["a.example:"]),
            ("http://a.example/", &["A.example"]),
            ("http://a.example/", &[]),
        ] {
            assert_eq!(refused(uri, hosts), None, "{uri} {hosts:?}");
        }
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a.example", "a.example"]),
            ("/", &[""]),
            ("/", &["a b"]),
            ("/", &["u@a.example"]),
            ("/", &["a.example/x"]),
            ("/", &["a.example:80a"]),
            ("/", &["a.example:65536"]),
            ("/", &["[::1]80"]),
            ("http://a.example/", &["b.example"]),
            ("http://a.example/", &["a.example:81"]),
        ] {
            assert_eq!(refused(uri, hosts), Some(Refusal::Host), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn a_long_target_many_headers_and_tunnels_are_refused() {
        assert_eq!(refused(&format!("/{}", "x".repeat(64)), &["a"]), Some(Refusal::Target));
        let mut request = Request::builder().uri("/").header(HOST, "a");
        for number in 0..8 {
            request = request.header(format!("x-{number}"), "1");
        }
        assert_eq!(check(&request.body(()).unwrap(), 64, 8), Err(Refusal::Headers));
        let connect = Request::builder().method("CONNECT").uri("a.example:443").body(()).unwrap();
        assert_eq!(check(&connect, 64, 8), Err(Refusal::Connect));
    }

    #[test]
    fn chunks_are_the_only_transfer_coding_and_stand_once() {
        let refused = |codings: &[&str]| {
            let request = Request::post("/").header(HOST, "a");
            let request =
                codings.iter().fold(request, |request, one| request.header(TRANSFER_ENCODING, *one));
            check(&request.body(()).unwrap(), 64, 8).err()
        };
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&["Chunked"]), None);
        for bad in [&["gzip, chunked"][..], &["chunked, chunked"], &["chunked", "chunked"], &["gzip"], &[""]]
        {
            assert_eq!(refused(bad), Some(Refusal::Coding), "{bad:?}");
        }
    }

    #[test]
    fn a_value_in_http2_has_no_space_around_it() {
        for (value, version, refused) in [
            ("a b", Version::HTTP_2, None),
            ("", Version::HTTP_2, None),
            (" a", Version::HTTP_2, Some(Refusal::Value)),
            ("a\t", Version::HTTP_2, Some(Refusal::Value)),
            (" a", Version::HTTP_11, None),
        ] {
            let request = Request::get("/").version(version).header(HOST, "a").header("x", value);
            assert_eq!(check(&request.body(()).unwrap(), 64, 8).err(), refused, "{value:?} {version:?}");
        }
    }

    #[tokio::test]
    async fn a_large_frame_goes_out_in_pieces_over_http2_and_at_once_over_http1() {
        let activity = Arc::new(Activity::default());
        for (cut, pieces) in [(None, vec![PIECE, PIECE, 1]), (Some(Cut::default()), vec![2 * PIECE + 1])] {
            let whole = http_body_util::Full::new(Bytes::from(vec![7; 2 * PIECE + 1]));
            let inner = whole.map_err(|never| match never {}).boxed_unsync();
            let _active = Activity::begin(&activity);
            let mut body = Counted { inner, rest: None, cut, stalled: None, _active };
            let mut left = 2 * PIECE + 1;
            for piece in pieces {
                assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left as u64), false));
                let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert_eq!(data.len(), piece);
                left -= piece;
            }
            assert!(left == 0 && body.is_end_stream() && body.frame().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_when_no_request_was_there_for_the_whole_time() {
        let activity = Arc::new(Activity::default());
        let started = Instant::now();
        let second = Duration::from_secs(1);
        let requests = async {
            tokio::time::sleep(second).await;
            let active = Activity::begin(&activity);
            tokio::time::sleep(20 * second).await;
            drop(active);
        };
        tokio::join!(requests, activity.idle_for(10 * second));
        assert_eq!(started.elapsed(), 31 * second);
    }
}
