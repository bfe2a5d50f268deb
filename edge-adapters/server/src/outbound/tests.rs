use super::*;
use crate::listener::{AnswerBody, Handler, Listener, ListenerOptions, TlsFiles, plain_text};
use bytes::Bytes;
use http_body_util::{Empty, Full};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tollgate_runtime::{Egress, Name, Peer};

/// Answers with what it was asked.
struct Echo;

impl Handler for Echo {
    fn handle(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'static, Response<AnswerBody>> {
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
            match path.as_str() {
                "/never" => std::future::pending().await,
                "/moved" => {
                    let mut moved = plain_text(StatusCode::FOUND, "");
                    moved.headers_mut().insert("location", "/elsewhere".parse().unwrap());
                    moved
                }
                "/echo" => {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    plain_text(StatusCode::OK, body)
                }
                _ => plain_text(
                    StatusCode::OK,
                    format!("{path} {} {}", host.unwrap_or_default(), peer.address),
                ),
            }
        })
    }
}

fn echo() -> Listener {
    Listener::start(ListenerOptions::default(), Arc::new(Echo)).unwrap()
}

/// Resolves from a table that a test may change; names that are not in it never get an answer.
#[derive(Default)]
struct Table(Mutex<HashMap<String, Vec<&'static str>>>);

impl Table {
    fn set(&self, host: &str, addresses: &[&'static str]) {
        self.0.lock().insert(host.to_owned(), addresses.to_vec());
    }
}

impl Resolve for Table {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let found = self.0.lock().get(host).cloned();
        Box::pin(async move {
            match found {
                Some(found) => {
                    Ok(found.iter().map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect())
                }
                None => std::future::pending().await,
            }
        })
    }
}

fn outbound(options: &OutboundOptions) -> (Outbound, Arc<Table>) {
    let table = Arc::new(Table::default());
    (Outbound::with_resolver(options, Arc::<Table>::clone(&table)).unwrap(), table)
}

/// Somebody who may connect to these networks besides the public ones.
fn upstream(tenant: &str, networks: &[&str]) -> Upstream {
    let long = Duration::from_secs(30);
    Upstream {
        tenant: Name::new(tenant).unwrap(),
        egress: Arc::new(Egress {
            allow: Vec::new(),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        }),
        connections: 4,
        connect: long,
        first_byte: long,
        between_bytes: long,
        deadline: std::time::Instant::now() + long,
    }
}

fn get(uri: &str) -> Request<WasiBody> {
    Request::get(uri).body(empty()).unwrap()
}

fn empty() -> WasiBody {
    Empty::new().map_err(|never| -> HttpError { match never {} }).boxed_unsync()
}

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

async fn text(response: Response<WasiBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The whole of one exchange.
async fn ask(outbound: &Outbound, upstream: Upstream, uri: &str) -> Result<String, String> {
    match outbound.send(upstream, get(uri)).await {
        Ok(response) => Ok(text(response).await),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn only_permitted_addresses_are_connected_to() {
    let server = echo();
    let (outbound, table) = outbound(&OutboundOptions::default());
    let uri = format!("http://a.example:{}/x", server.address().port());
    table.set("a.example", &["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"]);
    let refused = ask(&outbound, upstream("acme", &[]), &uri).await;
    assert_eq!(refused.unwrap_err(), "`a.example` has no address that may be connected to");
    table.set("a.example", &["10.0.0.1", "169.254.169.254", "127.0.0.1"]);
    let answer = ask(&outbound, upstream("acme", LOOPBACK), &uri).await.unwrap();
    assert_eq!(answer, format!("/x a.example:{} 127.0.0.1", server.address().port()));
    assert_eq!(server.status().accepted, 1);
}

#[tokio::test]
async fn an_address_as_a_host_is_checked_as_well() {
    let server = echo();
    let (outbound, _) = outbound(&OutboundOptions::default());
    let uri = format!("http://{}/", server.address());
    assert!(ask(&outbound, upstream("acme", &[]), &uri).await.is_err());
    assert!(ask(&outbound, upstream("acme", LOOPBACK), &uri).await.is_ok());
    assert_eq!(server.status().accepted, 1);
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_own_tenant_and_no_other() {
    let server = echo();
    let (outbound, table) = outbound(&OutboundOptions::default());
    table.set("a.example", &["127.0.0.1"]);
    let uri = format!("http://a.example:{}/", server.address().port());
    for _ in 0..3 {
        ask(&outbound, upstream("acme", LOOPBACK), &uri).await.unwrap();
    }
    assert_eq!(server.status().accepted, 1);
    ask(&outbound, upstream("globex", LOOPBACK), &uri).await.unwrap();
    assert_eq!(server.status().accepted, 2);
    assert_eq!(outbound.open_connections(), 2);
}

#[tokio::test]
async fn a_pooled_connection_helps_nobody_past_the_address_check() {
    let server = echo();
    let (outbound, table) = outbound(&OutboundOptions::default());
    table.set("a.example", &["127.0.0.1"]);
    let uri = format!("http://a.example:{}/", server.address().port());
    ask(&outbound, upstream("acme", LOOPBACK), &uri).await.unwrap();
    // Another app of the same tenant, without the grant.
    let refused = ask(&outbound, upstream("acme", &[]), &uri).await;
    assert_eq!(refused.unwrap_err(), "`a.example` has no address that may be connected to");
}

#[tokio::test]
async fn a_tenant_has_no_more_connections_than_it_may_have() {
    let server = echo();
    let (outbound, table) = outbound(&OutboundOptions::default());
    table.set("a.example", &["127.0.0.1"]);
    table.set("b.example", &["127.0.0.1"]);
    let uri = |host: &str, path: &str| format!("http://{host}:{}{path}", server.address().port());
    let one = || Upstream { connections: 1, ..upstream("acme", LOOPBACK) };
    let mut held = outbound.send(one(), get(&uri("a.example", "/never")));
    while server.status().connections == 0 {
        assert!(futures::poll!(&mut held).is_pending());
        tokio::task::yield_now().await;
    }
    let refused = ask(&outbound, one(), &uri("b.example", "/")).await;
    assert_eq!(refused.unwrap_err(), "the limit of 1 outgoing connections of the tenant is reached");
    drop(held);
    // One that only waits makes room for another origin.
    ask(&outbound, one(), &uri("a.example", "/")).await.unwrap();
    ask(&outbound, one(), &uri("b.example", "/")).await.unwrap();
    assert_eq!(outbound.open_connections(), 1);
}

#[tokio::test]
async fn all_tenants_together_have_no_more_than_the_host_has() {
    let server = echo();
    let (outbound, _) = outbound(&OutboundOptions { connections: 1, ..OutboundOptions::default() });
    let uri = format!("http://{}/", server.address());
    let held = outbound.send(upstream("acme", LOOPBACK), get(&uri)).await.unwrap();
    let pending = outbound.send(upstream("acme", LOOPBACK), get(&format!("{uri}never")));
    let refused = ask(&outbound, upstream("globex", LOOPBACK), &uri).await;
    drop(pending);
    // The first response's body has its whole length already, so its connection may wait in acme's pool: that pool is
    // acme's, and globex gets nothing from it.
    assert_eq!(refused.unwrap_err(), "the limit of 1 outgoing connections of the host is reached");
    drop(held);
}

#[tokio::test]
async fn every_wait_has_its_end() {
    let server = echo();
    let (outbound, _) = outbound(&OutboundOptions::default());
    let short = Duration::from_millis(50);
    let never = format!("http://{}/never", server.address());
    let slow_head = Upstream { first_byte: short, ..upstream("acme", LOOPBACK) };
    assert_eq!(ask(&outbound, slow_head, &never).await.unwrap_err(), "timed out: first byte");
    let run_over = Upstream { deadline: std::time::Instant::now() + short, ..upstream("acme", LOOPBACK) };
    assert_eq!(ask(&outbound, run_over, &never).await.unwrap_err(), "timed out: first byte");
    let no_name = Upstream { connect: short, ..upstream("acme", LOOPBACK) };
    assert_eq!(ask(&outbound, no_name, "http://unknown.example/").await.unwrap_err(), "timed out: connect");
    assert_eq!(outbound.open_connections(), 0, "nothing that was given up is kept");
}

/// A server that answers each connection with the same bytes, and then does nothing or closes.
async fn raw(answer: &'static [u8], close: bool) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = socket.accept().await {
            assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
            if !close {
                open.push(stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn a_body_that_pauses_too_long_or_breaks_off_is_an_error() {
    let (outbound, _) = outbound(&OutboundOptions::default());
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for (close, deadline, error) in [
        (false, false, "connection read timeout"),
        (false, true, "HTTP response timeout"),
        (true, false, "incomplete HTTP response"),
    ] {
        let address = raw(half, close).await;
        let mut upstream = upstream("acme", LOOPBACK);
        if deadline {
            upstream.deadline = std::time::Instant::now() + Duration::from_millis(200);
        } else {
            upstream.between_bytes = Duration::from_millis(50);
        }
        let response = outbound.send(upstream, get(&format!("http://{address}/"))).await.unwrap();
        let failed = response.into_body().collect().await.unwrap_err();
        assert!(failed.to_string().contains(error), "{failed} is not `{error}`");
        assert_eq!(outbound.open_connections(), 0);
    }
}

#[tokio::test]
async fn what_is_no_response_is_an_error() {
    let (outbound, _) = outbound(&OutboundOptions { head_bytes: 8 << 10, ..OutboundOptions::default() });
    let large: &'static [u8] =
        Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(20_000)).into_boxed_str())
            .as_bytes();
    for answer in [
        b"nonsense\r\n\r\n".as_slice(),
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"",
        large,
    ] {
        let address = raw(answer, true).await;
        let refused = ask(&outbound, upstream("acme", LOOPBACK), &format!("http://{address}/")).await;
        assert!(refused.is_err(), "{:?}", String::from_utf8_lossy(answer.get(..40).unwrap_or(answer)));
    }
    assert_eq!(outbound.open_connections(), 0);
}

#[tokio::test]
async fn a_connection_that_its_peer_closed_is_not_used_again() {
    let address = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    let (outbound, _) = outbound(&OutboundOptions::default());
    for _ in 0..5 {
        let answer = ask(&outbound, upstream("acme", LOOPBACK), &format!("http://{address}/")).await;
        assert_eq!(answer.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_response_that_is_dropped_closes_its_connection() {
    let (outbound, _) = outbound(&OutboundOptions::default());
    let address = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", false).await;
    let response =
        outbound.send(upstream("acme", LOOPBACK), get(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(outbound.open_connections(), 1);
    drop(response);
    assert_eq!(outbound.open_connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_the_guests_affair_and_bodies_go_both_ways() {
    let server = echo();
    let (outbound, _) = outbound(&OutboundOptions::default());
    let moved =
        outbound.send(upstream("acme", LOOPBACK), get(&format!("http://{}/moved", server.address()))).await;
    assert_eq!(moved.unwrap().status(), StatusCode::FOUND);
    let body = Full::new(Bytes::from(vec![b'x'; 1 << 20])).map_err(|never| -> HttpError { match never {} });
    let request =
        Request::post(format!("http://{}/echo", server.address())).body(body.boxed_unsync()).unwrap();
    let echoed = outbound.send(upstream("acme", LOOPBACK), request).await.unwrap();
    assert_eq!(text(echoed).await.len(), 1 << 20);
    let tunnel = Request::connect("http://a.example:80/").body(empty()).unwrap();
    assert!(outbound.send(upstream("acme", LOOPBACK), tunnel).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_too_long_is_closed() {
    let server = echo();
    let (outbound, _) =
        outbound(&OutboundOptions { idle: Duration::from_secs(3_600), ..OutboundOptions::default() });
    let mut upstream = upstream("acme", LOOPBACK);
    upstream.deadline = std::time::Instant::now() + Duration::from_secs(36_000);
    (upstream.connect, upstream.first_byte) = (Duration::from_secs(3_600), Duration::from_secs(3_600));
    ask(&outbound, upstream, &format!("http://{}/", server.address())).await.unwrap();
    assert_eq!(outbound.open_connections(), 1);
    tokio::time::sleep(Duration::from_secs(3_601)).await;
    assert_eq!(outbound.open_connections(), 0);
}

#[tokio::test]
async fn a_tenant_whose_names_hang_does_not_stop_anothers() {
    let server = echo();
    let (outbound, table) =
        outbound(&OutboundOptions { lookups: 4, lookups_per_tenant: 2, ..OutboundOptions::default() });
    let hanging: Vec<_> = (0..3)
        .map(|number| {
            outbound.send(upstream("acme", LOOPBACK), get(&format!("http://hang-{number}.example/")))
        })
        .collect();
    let mut hanging = futures::future::join_all(hanging);
    assert!(futures::poll!(&mut hanging).is_pending());
    table.set("a.example", &["127.0.0.1"]);
    let uri = format!("http://a.example:{}/", server.address().port());
    ask(&outbound, upstream("globex", LOOPBACK), &uri).await.unwrap();
}

#[tokio::test]
async fn tls_is_verified_against_the_roots() {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = TlsFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&tls.chain, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let server =
        Listener::start(ListenerOptions { tls: Some(tls), ..Default::default() }, Arc::new(Echo)).unwrap();
    let port = server.address().port();

    let roots = Roots::WebAnd(vec![made.cert.der().clone()]);
    let (trusting, table) = outbound(&OutboundOptions { roots, ..OutboundOptions::default() });
    table.set("a.example", &["127.0.0.1"]);
    table.set("b.example", &["127.0.0.1"]);
    let answer =
        ask(&trusting, upstream("acme", LOOPBACK), &format!("https://a.example:{port}/x")).await.unwrap();
    assert_eq!(answer, format!("/x a.example:{port} 127.0.0.1"));
    let other_name = ask(&trusting, upstream("acme", LOOPBACK), &format!("https://b.example:{port}/")).await;
    assert!(other_name.unwrap_err().contains("certificate"));

    let (strict, table) = outbound(&OutboundOptions::default());
    table.set("a.example", &["127.0.0.1"]);
    let unknown = ask(&strict, upstream("acme", LOOPBACK), &format!("https://a.example:{port}/")).await;
    assert!(unknown.unwrap_err().contains("certificate"));
    assert_eq!(strict.open_connections(), 0);
}
