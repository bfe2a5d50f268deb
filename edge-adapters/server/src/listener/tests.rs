use super::*;
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

mod flood_tests;
mod tls_tests;

/// A handler made of a function.
struct Answering<F>(F);

impl<F, R> Handler for Answering<F>
where
    F: Fn(Request<RequestBody>, Peer) -> R + Send + Sync + 'static,
    R: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        Box::pin((self.0)(request, peer))
    }
}

fn start<F, R>(options: ListenerOptions, handler: F) -> Listener
where
    F: Fn(Request<RequestBody>, Peer) -> R + Send + Sync + 'static,
    R: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    Listener::start(options, Arc::new(Answering(handler))).unwrap()
}

/// Says hello.
fn hello(options: ListenerOptions) -> Listener {
    start(options, |_, peer| async move { plain_text(StatusCode::OK, format!("hello {}\n", peer.address)) })
}

/// Bounds that a test can wait for.
fn quick() -> ListenerOptions {
    let short = Duration::from_millis(50);
    ListenerOptions {
        head: short,
        handshake: short,
        body_pause: short,
        write_pause: short,
        ..Default::default()
    }
}

async fn connect(listener: &Listener) -> TcpStream {
    TcpStream::connect(listener.address()).await.unwrap()
}

/// Sends this text and reads until the server closes.
async fn exchange(listener: &Listener, text: impl AsRef<[u8]>) -> String {
    let mut stream = connect(listener).await;
    stream.write_all(text.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A body that a test feeds by hand.
fn fed() -> (mpsc::UnboundedSender<Result<&'static str, BoxError>>, AnswerBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Result<&'static str, BoxError>>();
    let frames = futures::stream::poll_fn(move |context| {
        let frame = receiver.poll_recv(context);
        frame.map(|frame| frame.map(|frame| frame.map(|text| http_body::Frame::data(Bytes::from(text)))))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

#[tokio::test]
async fn a_request_is_answered_with_the_clients_address_known() {
    let listener = hello(ListenerOptions::default());
    let answer = exchange(&listener, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("hello 127.0.0.1\n"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_answered_with_408() {
    let listener = hello(quick());
    let answer = exchange(&listener, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(listener.status().head_timeouts, 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_preface_is_closed() {
    let listener = hello(quick());
    assert_eq!(exchange(&listener, "").await, "");
    assert_eq!(exchange(&listener, "PRI * HT").await, "");
    assert_eq!(listener.status().head_timeouts, 2);
}

#[tokio::test]
async fn a_connection_that_is_idle_between_requests_is_closed_without_a_word() {
    let listener = hello(quick());
    let answer = exchange(&listener, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello 127.0.0.1\n"), "{answer}");
}

#[tokio::test]
async fn large_heads_many_fields_and_long_targets_are_refused() {
    let listener =
        hello(ListenerOptions { head_bytes: 8 << 10, target_bytes: 1 << 10, headers: 20, ..quick() });
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(9 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(20));
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "x".repeat(1 << 10));
    for (request, status) in [(large, "431"), (many, "431"), (long, "414")] {
        let answer = exchange(&listener, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
}

#[tokio::test]
async fn two_hosts_none_or_another_than_the_target_are_refused_with_400() {
    let listener = hello(quick());
    for head in [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\nhost: u@a\r\n",
    ] {
        let answer = exchange(&listener, format!("{head}connection: close\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
            "{head}: {answer}"
        );
    }
    assert_eq!(listener.status().malformed, 5);
}

#[tokio::test]
async fn connections_beyond_the_caps_are_closed_and_their_places_come_back() {
    let listener = hello(ListenerOptions { connections: 2, connections_per_client: 1, ..Default::default() });
    let mut first = connect(&listener).await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 512]).await.unwrap() > 0);
    let mut second = connect(&listener).await;
    let closed = second.read(&mut [0; 16]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert_eq!(listener.status().over_client, 1);
    first.shutdown().await.unwrap();
    while listener.status().connections > 0 {
        tokio::task::yield_now().await;
    }
    let answer = exchange(&listener, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_panic_ends_one_request_and_nothing_else() {
    let listener = start(quick(), |request, _| async move {
        assert!(request.uri().path() != "/panic", "as the test wants it");
        plain_text(StatusCode::OK, "well\n")
    });
    for (path, status) in [("/panic", "500"), ("/", "200")] {
        let answer =
            exchange(&listener, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    assert_eq!(listener.status().panics, 1);
}

#[tokio::test]
async fn a_cut_body_is_never_whole_not_even_where_the_connections_end_is_the_bodys() {
    for version in ["1.0", "1.1"] {
        let listener = start(ListenerOptions::default(), |_, _| async {
            let (feed, body) = fed();
            feed.send(Ok("half")).unwrap();
            feed.send(Err("cut".into())).unwrap();
            Response::new(body)
        });
        let mut stream = connect(&listener).await;
        stream.write_all(format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "HTTP/{version}");
        assert!(!answer.ends_with(b"0\r\n\r\n"), "HTTP/{version}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_body_that_stalls_fails_for_the_handler() {
    let (told, failure) = oneshot::channel();
    let told = parking_lot::Mutex::new(Some(told));
    let listener = start(
        ListenerOptions { body_pause: Duration::from_millis(50), ..Default::default() },
        move |request, _| {
            let told = told.lock().take().unwrap();
            async move {
                let read = request.into_body().collect().await;
                told.send(read.map(drop).unwrap_err()).unwrap();
                plain_text(StatusCode::REQUEST_TIMEOUT, "too slow\n")
            }
        },
    );
    let answer = exchange(&listener, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(failure.await.unwrap().to_string(), "connection read timeout");
}

/// Tells when it is dropped.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            // Nobody may be waiting.
            let _ = told.send(());
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let (told, left) = oneshot::channel();
    let told = parking_lot::Mutex::new(Some(told));
    let listener = start(quick(), move |_, _| {
        let told = Told(told.lock().take());
        let endless = futures::stream::repeat_with(move || {
            let _held = &told;
            Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 65_536])))
        });
        async move { Response::new(StreamBody::new(endless).boxed_unsync()) }
    });
    let mut stream = connect(&listener).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    left.await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_handlers_future() {
    let (told, left) = oneshot::channel();
    let (began, begun) = oneshot::channel();
    let parts = parking_lot::Mutex::new(Some((Told(Some(told)), began)));
    let listener = start(ListenerOptions::default(), move |_, _| {
        let (told, began) = parts.lock().take().unwrap();
        async move {
            began.send(()).unwrap();
            let _held = told;
            std::future::pending().await
        }
    });
    let mut stream = connect(&listener).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    begun.await.unwrap();
    drop(stream);
    left.await.unwrap();
}

type H2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

/// An HTTP/2 client, and a task that ends when its connection does.
async fn http2(listener: &Listener) -> (H2, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(connect(listener).await);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn get(sender: &mut H2, path: &str) -> Result<Response<Incoming>, hyper::Error> {
    sender.ready().await?;
    sender.send_request(Request::get(format!("http://a{path}")).body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn http2_is_spoken_from_the_preface_on_and_a_cut_body_ends_only_its_stream() {
    let listener = start(ListenerOptions::default(), |request, _| async move {
        let (feed, body) = fed();
        feed.send(Ok("part")).unwrap();
        if request.uri().path() == "/cut" {
            feed.send(Err("cut".into())).unwrap();
        }
        Response::new(body)
    });
    let (mut sender, _task) = http2(&listener).await;
    let cut = get(&mut sender, "/cut").await;
    let body = match cut {
        Ok(response) => response.into_body().collect().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(body.is_err());
    let whole = get(&mut sender, "/").await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole, "part");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_in_order() {
    let listener = hello(quick());
    let (mut sender, task) = http2(&listener).await;
    let response = get(&mut sender, "/").await.unwrap();
    drop(response.into_body().collect().await.unwrap());
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn header_lists_beyond_the_bound_are_refused_over_http2_too() {
    let listener = hello(ListenerOptions { headers: 20, head_bytes: 4 << 10, ..Default::default() });
    let (mut sender, _task) = http2(&listener).await;
    let mut many = Request::get("http://a/");
    for number in 0..25 {
        many = many.header(format!("x-{number}"), "y");
    }
    let answer = sender.send_request(many.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let large = Request::get("http://a/").header("x", "y".repeat(8 << 10)).body(Full::default()).unwrap();
    let answer = sender.send_request(large).await;
    assert!(answer.map_or(true, |answer| answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
}

#[tokio::test]
async fn draining_ends_the_loop_first_then_each_connection_after_its_request() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let listener = Arc::new(start(ListenerOptions::default(), move |_, _| {
        let (feed, body) = fed();
        began.send(feed).unwrap();
        async move { Response::new(body) }
    }));
    let request = async {
        let mut stream = connect(&listener).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let mut idle = connect(&listener).await;
    let stop = async {
        let feed = begun.recv().await.unwrap();
        let mut drain = Box::pin(listener.drain(Duration::from_secs(60)));
        assert!(futures::poll!(&mut drain).is_pending());
        // The idle one is closed at once, and the loop is over: both while the request goes on.
        assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
        while TcpStream::connect(listener.address()).await.is_ok() {
            assert!(futures::poll!(&mut drain).is_pending());
        }
        feed.send(Ok("late")).unwrap();
        drop(feed);
        drain.await
    };
    let (answer, whole) = tokio::join!(request, stop);
    assert!(whole);
    assert!(answer.contains("late") && answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_does_not_end_within_the_drain_time_is_cut() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let listener = start(ListenerOptions::default(), move |_, _| {
        began.send(()).unwrap();
        std::future::pending()
    });
    let mut stream = connect(&listener).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    begun.recv().await.unwrap();
    assert!(!listener.drain(Duration::from_millis(50)).await);
    let end = stream.read(&mut [0; 16]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn bounds_that_make_no_sense_are_refused_by_name() {
    let zero = ListenerOptions { connections: 0, ..Default::default() };
    let refused = Listener::start(zero, Arc::new(Answering(|_, _| std::future::pending()))).err().unwrap();
    assert_eq!(refused.to_string(), "`connections = 0` is out of range: use 1 to 1000000");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = hello(ListenerOptions::default());
    let taken = ListenerOptions { address: first.address(), ..Default::default() };
    let refused = Listener::start(taken, Arc::new(Answering(|_, _| std::future::pending()))).err().unwrap();
    let text = refused.to_string();
    assert!(text.starts_with(&format!("can't listen on `{}`: ", first.address())), "{text}");
}
