use super::*;
use futures::FutureExt;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;

/// A guest's body of these pieces; `None` is an error.
fn guest(
    pieces: Vec<Option<&'static str>>,
    limit: u64,
    announced: Option<u64>,
) -> (ResponseBody, Arc<Tail>, oneshot::Receiver<BodyEnd>, oneshot::Sender<bool>) {
    let frames = pieces.into_iter().map(|piece| match piece {
        Some(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
        None => Err(Error::HttpProtocolError),
    });
    made_of(frames.collect(), limit, announced)
}

fn made_of(
    frames: Vec<Result<Frame<Bytes>, Error>>,
    limit: u64,
    announced: Option<u64>,
) -> (ResponseBody, Arc<Tail>, oneshot::Receiver<BodyEnd>, oneshot::Sender<bool>) {
    let inner = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    let tail = Arc::new(Tail::default());
    let bounds = BodyBounds { bytes: limit, deadline: Instant::now() + Duration::from_secs(60) };
    let (ended, end) = oneshot::channel();
    let (settle, settled) = oneshot::channel();
    (ResponseBody::guest(inner, tail.clone(), bounds, announced, Ties { ended, settled }), tail, end, settle)
}

fn next(body: &mut ResponseBody) -> Option<Option<Result<Bytes, ()>>> {
    body.frame().now_or_never().map(|f| f.map(|f| f.map(|f| f.into_data().unwrap()).map_err(|_| ())))
}

#[tokio::test]
async fn the_end_waits_for_the_record() {
    let (mut body, _, mut end, settle) = guest(vec![Some("a")], 10, None);
    assert_eq!(next(&mut body), Some(Some(Ok("a".into()))));
    assert_eq!(next(&mut body), None, "the end is held back");
    assert_eq!(end.try_recv(), Ok(BodyEnd::Whole));
    settle.send(true).unwrap();
    assert_eq!(next(&mut body), Some(None));
}

#[tokio::test]
async fn with_an_announced_length_the_last_bytes_wait() {
    let (mut body, _, _end, settle) = guest(vec![Some("ab"), Some("cd")], 10, Some(4));
    assert_eq!(next(&mut body), Some(Some(Ok("ab".into()))));
    assert_eq!(next(&mut body), None, "the last bytes are held back");
    settle.send(true).unwrap();
    assert_eq!(next(&mut body), Some(Some(Ok("cd".into()))));
    assert_eq!(next(&mut body), Some(None));
}

#[tokio::test]
async fn trailers_are_the_end_and_wait_for_the_record() {
    let frames = || vec![Ok(Frame::data("a".into())), Ok(Frame::trailers(http::HeaderMap::new()))];
    let (mut body, _, mut end, settle) = made_of(frames(), 10, None);
    assert_eq!(next(&mut body), Some(Some(Ok("a".into()))));
    assert_eq!(next(&mut body), None, "they are held back");
    assert_eq!(end.try_recv(), Ok(BodyEnd::Whole));
    settle.send(true).unwrap();
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(next(&mut body), Some(None));

    let (mut short, _, mut end, _settle) = made_of(frames(), 10, Some(2));
    next(&mut short);
    assert_eq!(next(&mut short), Some(Some(Err(()))));
    assert_eq!(end.try_recv(), Ok(BodyEnd::Cut(Fault::BadResponse)));
}

#[tokio::test]
async fn without_a_record_the_response_is_cut() {
    let (mut body, _, _end, settle) = guest(vec![Some("a")], 10, None);
    next(&mut body);
    drop(settle);
    assert_eq!(next(&mut body), Some(Some(Err(()))));
}

#[tokio::test]
async fn a_body_that_ends_after_a_fault_is_cut_and_not_ended() {
    let (mut body, tail, mut end, _settle) = guest(vec![Some("a")], 10, None);
    next(&mut body);
    tail.fail(Fault::OutOfFuel);
    assert_eq!(next(&mut body), Some(Some(Err(()))));
    assert_eq!(end.try_recv(), Ok(BodyEnd::Cut(Fault::OutOfFuel)));
}

#[tokio::test]
async fn more_or_fewer_bytes_than_announced_are_a_cut() {
    let (mut short, _, mut end, _s) = guest(vec![Some("a")], 10, Some(2));
    next(&mut short);
    assert_eq!(next(&mut short), Some(Some(Err(()))));
    assert_eq!(end.try_recv(), Ok(BodyEnd::Cut(Fault::BadResponse)));
    let (mut long, _, _e, _s) = guest(vec![Some("abc")], 10, Some(2));
    assert_eq!(next(&mut long), Some(Some(Err(()))));
}

#[tokio::test]
async fn a_body_over_its_limit_is_cut() {
    let (mut body, _, mut end, _s) = guest(vec![Some("aaaa"), Some("bbbb")], 6, None);
    assert_eq!(next(&mut body), Some(Some(Ok("aaaa".into()))));
    assert_eq!(next(&mut body), Some(Some(Err(()))));
    assert_eq!(end.try_recv(), Ok(BodyEnd::Cut(Fault::ResponseTooLarge)));
}

#[tokio::test]
async fn a_dropped_body_says_that_the_client_went() {
    let (body, _, mut end, _s) = guest(vec![Some("a")], 10, None);
    drop(body);
    assert_eq!(end.try_recv(), Ok(BodyEnd::Abandoned));
}

#[tokio::test]
async fn a_request_body_over_its_limit_is_an_error_for_the_guest() {
    let inner =
        http_body_util::Full::new(Bytes::from_static(b"12345")).map_err(|e| match e {}).boxed_unsync();
    let count = Arc::new(AtomicU64::new(0));
    let mut body = counted(inner, 4, count.clone());
    assert!(matches!(body.frame().await, Some(Err(Error::HttpRequestBodySize(Some(4))))));
    assert_eq!(count.load(Relaxed), 5);
}

#[tokio::test]
async fn trailers_that_pretend_to_come_from_the_host_or_come_too_late_are_dropped() {
    let fields =
        [("tollgate-tenant", "b"), ("x-forwarded-for", "6.6.6.6"), ("content-length", "9"), ("sum", "1")];
    let trailers =
        fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).into_iter().collect();
    let frames = futures::stream::iter([Ok(Frame::trailers(trailers))]);
    let inner = StreamBody::new(frames).boxed_unsync();
    let mut body = counted(inner, 4, Arc::default());
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["sum"]);
}
