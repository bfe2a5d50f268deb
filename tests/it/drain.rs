//! SIGTERM with a hundred responses under way: those that the time allows come whole, the others are visibly cut, and
//! each has one record.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use testkit::http1::{End, Reply};
use testkit::{Case, Http1, Http2, Process};

const HTTP1: usize = 50;
const CONNECTIONS: usize = 5;
const STREAMS: u32 = 10;

/// A hundred responses that have begun: fifty over HTTP/1, and fifty over five connections of HTTP/2.
struct UnderWay {
    http1: Vec<Http1>,
    http2: Vec<Http2>,
}

fn process(drain: &str) -> Process {
    Case::guest("slow_body")
        .totals("concurrent-requests = 200")
        .capacity("instances = 200\ngate-instances = 4")
        .host(&format!("drain = \"{drain}\""))
        .spawn()
}

impl UnderWay {
    /// Asks, and waits until each response has begun.
    fn begin(address: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: acme.test\r\n\r\n");
        let mut http1: Vec<_> = (0..HTTP1).map(|_| Http1::connect(address)).collect();
        for client in &mut http1 {
            client.send(&request);
        }
        let mut http2: Vec<_> = (0..CONNECTIONS).map(|_| Http2::connect(address, 65_535)).collect();
        for client in &mut http2 {
            (0..STREAMS).for_each(|number| client.get(2 * number + 1, path));
        }
        assert!(http1.iter_mut().all(Http1::has_head));
        for client in &mut http2 {
            while client.streams.values().filter(|seen| seen.status == Some(200)).count() < STREAMS as usize {
                client.receive().expect("a head");
            }
        }
        Self { http1, http2 }
    }

    /// How many came whole with so many bytes, and how many were visibly cut. Nothing is neither.
    fn end(self, bytes: usize) -> (usize, usize) {
        let replies = self.http1.into_iter().map(Http1::end).map(|reply| whole(&reply));
        let mut bodies: Vec<Option<usize>> = replies.collect();
        for mut client in self.http2 {
            client.wait_for_close();
            bodies.extend(client.streams.values().map(|seen| seen.whole.then_some(seen.body.len())));
        }
        let whole = bodies.iter().filter(|body| **body == Some(bytes)).count();
        (whole, bodies.iter().filter(|body| body.is_none()).count())
    }
}

/// The length of a body that came whole.
fn whole(reply: &Reply) -> Option<usize> {
    let [response] = &reply.responses()[..] else { panic!("{reply:?}") };
    assert_eq!(response.status, 200);
    (response.whole && reply.end == End::Closed).then_some(response.body.len())
}

/// How many records there are of each outcome, once each request has one.
fn outcomes(process: &Process) -> BTreeMap<String, usize> {
    let records = process.log().records();
    let ids: std::collections::BTreeSet<_> = records.iter().map(|record| record.text("request_id")).collect();
    assert_eq!(ids.len(), records.len(), "no request has two records");
    let mut outcomes = BTreeMap::new();
    for record in &records {
        *outcomes.entry(record.outcome()).or_default() += 1;
    }
    outcomes
}

#[test]
fn a_host_that_is_told_to_stop_ends_a_hundred_responses_whole_and_takes_no_more() {
    let mut process = process("60s");
    let under_way = UnderWay::begin(process.address(), "/?n=20&ms=100");
    let idle = Http1::connect(process.address());
    let told = Instant::now();
    process.terminate();
    while TcpStream::connect(process.address()).is_ok() {
        assert!(told.elapsed() < Duration::from_secs(20), "it takes new connections");
    }
    assert!(idle.end().bytes.is_empty());
    assert_eq!(under_way.end(20), (100, 0));
    assert_eq!(process.exit_code(), Some(0), "{}", process.stderr());
    assert!(process.stderr().contains("told to stop") && process.stderr().contains("stopped"));
    assert!(told.elapsed() < Duration::from_secs(60), "within the time that it had");
    assert_eq!(outcomes(&process), BTreeMap::from([("answered:200".to_owned(), 100)]));
}

#[test]
fn what_the_drain_time_does_not_allow_is_visibly_cut_and_recorded() {
    let mut process = process("500ms");
    let under_way = UnderWay::begin(process.address(), "/?n=1000&ms=100");
    process.terminate();
    assert_eq!(under_way.end(1_000), (0, 100));
    assert_eq!(process.exit_code(), Some(1));
    assert!(process.stderr().contains("cut short"), "{}", process.stderr());
    assert_eq!(outcomes(&process), BTreeMap::from([("abandoned".to_owned(), 100)]));
}

#[test]
fn a_request_on_an_open_connection_is_not_lost_when_the_host_stops() {
    let mut process = process("60s");
    let mut client = Http2::connect(process.address(), 65_535);
    client.get(1, "/?n=10&ms=100");
    let mut other = Http1::connect(process.address());
    other.send("GET /?n=10&ms=100 HTTP/1.1\r\nhost: acme.test\r\n\r\n");
    assert!(other.has_head());
    process.terminate();
    while client.goaway.is_none() {
        client.receive().expect("a farewell");
    }
    // Sent before the host can have known: it is answered, or refused in a way that says to ask again elsewhere.
    client.get(3, "/?n=1&ms=1");
    other.send("GET /?n=1&ms=1 HTTP/1.1\r\nhost: acme.test\r\n\r\n");
    let (first, second) = (client.response(1), client.response(3));
    assert!(first.whole && first.body.len() == 10, "{first:?}");
    let refused =
        second == testkit::http2::Seen::default() || second.reset == Some(testkit::http2::REFUSED_STREAM);
    assert!((second.whole && second.body.len() == 1) || refused, "{second:?}");
    let responses = other.end().responses();
    assert!(responses.iter().all(|response| response.whole), "{responses:?}");
    assert_eq!(responses[0].body.len(), 10);
    assert_eq!(process.exit_code(), Some(0));
}
