//! Floods of frames against a host in a process of its own: each ends the connection or costs no more than time, the
//! process stays as small as it was, and whoever else asks meanwhile is answered.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use testkit::http2::*;
use testkit::{App, Case, Http2, Process, Tenant};

/// How a flood must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The host ends the connection, and says that it is too much.
    Calmed,
    /// The host ends the connection.
    Ended,
    /// All of it is taken.
    Taken,
}

use Fate::{Calmed, Ended, Taken};

/// By how much the process may be larger at its largest than before. Most floods take a few megabytes; the rest is for
/// the allocator, which takes memory in huge pages for each thread, and for what the machine does beside.
const GROWTH: u64 = 160 << 20;

fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", "/", &[]))
}

fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/", &[]))
}

/// The numbers of a client's streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// A flood's name, how it must end, and its frames.
type Flood = (&'static str, Fate, Vec<u8>);

/// These frames on so many streams.
fn each(count: u32, frames: &dyn Fn(u32) -> Vec<u8>) -> Vec<u8> {
    streams(count).flat_map(frames).collect()
}

fn floods() -> Vec<Flood> {
    [resets(), heads_and_data(), frames_of_the_connection()].into_iter().flatten().collect()
}

/// Streams that are opened and taken back, by the client or by what it makes the host do.
fn resets() -> Vec<Flood> {
    vec![
        ("rapid reset", Calmed, each(10_000, &|id| [ask(id), reset(id, CANCEL)].concat())),
        (
            "resets provoked by a window beyond its greatest",
            Calmed,
            each(10_000, &|id| [ask(id), window(id, 0x7fff_ffff)].concat()),
        ),
        (
            "resets provoked by a window that grows by nothing",
            Ended,
            each(10_000, &|id| [ask(id), window(id, 0)].concat()),
        ),
        (
            "resets provoked by data after the end",
            Ended,
            each(10_000, &|id| [ask(id), frame(DATA, 0, id, b"x")].concat()),
        ),
        ("resets provoked by a second head", Ended, each(10_000, &|id| [ask(id), ask(id)].concat())),
        (
            "resets provoked by a short priority",
            Ended,
            each(10_000, &|id| [ask(id), frame(PRIORITY, 0, id, &[0; 4])].concat()),
        ),
        (
            "resets provoked by a wrong length",
            Calmed,
            each(10_000, &|id| {
                let head = request("POST", "/", &[("content-length", "1")]);
                [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, b"two")].concat()
            }),
        ),
    ]
}

fn heads_and_data() -> Vec<Flood> {
    vec![
        (
            "malformed requests",
            Calmed,
            each(10_000, &|id| frame(HEADERS, WHOLE, id, &block(&[(":method", "GET")]))),
        ),
        ("empty heads", Ended, each(10_000, &|id| frame(HEADERS, WHOLE, id, &[]))),
        ("empty data", Calmed, [open(1), frame(DATA, 0, 1, &[]).repeat(100_000)].concat()),
        (
            "data that is all padding",
            Ended,
            [open(1), frame(DATA, PADDED, 1, &[3, 0, 0, 0]).repeat(100_000)].concat(),
        ),
        (
            "continuations without end",
            Calmed,
            [
                frame(HEADERS, 0, 1, &request("GET", "/", &[])),
                frame(CONTINUATION, 0, 1, &literal(b"x", &[b'y'; 1_000])).repeat(5_000),
            ]
            .concat(),
        ),
        (
            "empty continuations",
            Calmed,
            [frame(HEADERS, 0, 1, &request("GET", "/", &[])), frame(CONTINUATION, 0, 1, &[]).repeat(100_000)]
                .concat(),
        ),
        ("header lists out of the table", Ended, bombs(500)),
        ("a cookie in many pieces", Taken, crumbs()),
    ]
}

fn frames_of_the_connection() -> Vec<Flood> {
    vec![
        ("settings", Taken, settings(&[(INITIAL_WINDOW_SIZE, 65_535)]).repeat(100_000)),
        (
            "settings that move the table",
            Taken,
            [settings(&[(HEADER_TABLE_SIZE, 0)]), settings(&[(HEADER_TABLE_SIZE, 4_096)])]
                .concat()
                .repeat(50_000),
        ),
        ("pings", Taken, frame(PING, 0, 0, &[1; 8]).repeat(100_000)),
        ("answers to no ping", Taken, frame(PING, ACK, 0, &[1; 8]).repeat(100_000)),
        ("priorities of idle streams", Taken, each(100_000, &|id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 9]))),
        (
            "windows that grow by one",
            Taken,
            [open(1), window(1, 1).repeat(100_000), window(0, 1).repeat(100_000)].concat(),
        ),
        ("frames of no type", Taken, frame(0x7f, 0, 0, &[b'x'; 100]).repeat(50_000)),
    ]
}

/// Heads of 16 KiB that would be 48 MiB each: one large field is put into the table, and then named again and again.
fn bombs(count: u32) -> Vec<u8> {
    let plant = [&[0x40][..], &string(b"x"), &string(&[b'y'; 4_000])].concat();
    let first = [request("GET", "/", &[]), plant, vec![0xbe; 12_000]].concat();
    let more = [request("GET", "/", &[]), vec![0xbe; 16_000]].concat();
    let heads = streams(count).map(|id| frame(HEADERS, WHOLE, id, if id == 1 { &first } else { &more }));
    heads.collect::<Vec<_>>().concat()
}

/// One head of 300 cookies, on 100 streams.
fn crumbs() -> Vec<u8> {
    let head = request("GET", "/", &vec![("cookie", "a=b"); 300]);
    streams(100).flat_map(|id| frame(HEADERS, WHOLE, id, &head)).collect()
}

/// The head of a request of the neighbour.
fn of_the_neighbour() -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "quiet.test")])
}

/// One request of an honest client, who makes room for as much as it has read.
#[track_caller]
fn asks(client: &mut Http2, stream: u32) {
    client.send(frame(HEADERS, WHOLE, stream, &of_the_neighbour()));
    let seen = client.response(stream);
    assert!(seen.status == Some(200) && seen.whole, "stream {stream}: {seen:?}");
    client.send(window(0, seen.body.len() as u32));
}

/// Somebody who asks a neighbour all the time.
struct Honest {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Honest {
    fn client(process: &Process) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (address, stopped, count) = (process.address(), stop.clone(), answered.clone());
        let thread = std::thread::spawn(move || {
            let mut client = Http2::connect(address, 65_535);
            for stream in (1..).step_by(2) {
                asks(&mut client, stream);
                count.fetch_add(1, Ordering::Relaxed);
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { stop, answered, thread: Some(thread) }
    }

    fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    /// False once an answer was wrong.
    fn asks(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("every answer came");
    }
}

#[test]
fn a_client_may_ask_for_long_on_one_connection() {
    let process = Case::new().tenant(Tenant::new("quiet").app(App::guest("echo"))).spawn();
    let mut client = Http2::connect(process.address(), 65_535);
    for stream in (1..).step_by(2).take(3_000) {
        asks(&mut client, stream);
    }
}

#[test]
fn no_flood_of_frames_hurts_others_or_makes_the_host_large() {
    let few = "concurrent-requests = 8\nqueued-requests = 100";
    let process = Case::new()
        .tenant(Tenant::new("acme").totals(few).app(App::guest("echo")))
        .tenant(Tenant::new("quiet").app(App::guest("echo")))
        // An instance of the gate takes megabytes, and how many are made depends on who comes at the same moment.
        .capacity("instances = 16\ngate-instances = 1")
        .spawn();
    let honest = Honest::client(&process);
    // As many requests at one time as there are places for: what they take is no flood's doing.
    let mut busy = Http2::connect(process.address(), 65_535);
    streams(100).for_each(|id| busy.get(id, "/"));
    assert!(streams(100).all(|id| busy.response(id).whole));
    let before = process.peak_bytes();
    let (mut wrong, mut grown) = (Vec::new(), 0);
    for (name, fate, bytes) in floods() {
        let already = honest.answered();
        let mut client = Http2::connect(process.address(), 65_535);
        let taken = client.flood(bytes);
        let came = match (taken, client.goaway) {
            (true, _) => Taken,
            (false, Some(ENHANCE_YOUR_CALM)) => Calmed,
            (false, _) => Ended,
        };
        if came != fate && (fate, came) != (Ended, Calmed) {
            wrong.push(format!("{name}: {came:?}, by {:?}", client.goaway));
        }
        while honest.answered() == already && honest.asks() {
            std::thread::yield_now();
        }
        let more = process.peak_bytes().saturating_sub(before);
        if more >= GROWTH && grown < GROWTH {
            wrong.push(format!("{name}: the process grew by {} KiB", more >> 10));
        }
        grown = more;
    }
    honest.stop();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(process.get("/").status(), 200);
    let records = process.log().records();
    let ids: BTreeSet<_> = records.iter().map(|record| record.text("request_id")).collect();
    assert_eq!(ids.len(), records.len(), "no request has two records");
}

#[test]
fn a_client_that_makes_the_host_answer_and_never_reads_is_left() {
    let process = Case::guest("echo").host("[host.listener]\nwrite-pause = \"500ms\"").spawn();
    assert_eq!(process.get("/").status(), 200);
    let before = process.peak_bytes();
    for (name, bytes) in [
        ("pings", frame(PING, 0, 0, &[1; 8])),
        ("settings", settings(&[(INITIAL_WINDOW_SIZE, 65_535)])),
        ("a table that is moved", settings(&[(HEADER_TABLE_SIZE, 0)])),
    ] {
        let mut client = Http2::connect(process.address(), 65_535);
        let many = bytes.repeat(1_000);
        assert!(client.push_until_ended(&many, 10_000), "{name}: all was taken");
        assert_eq!(process.get("/").status(), 200, "{name}");
    }
    let grown = process.peak_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
}

#[test]
fn frames_that_make_no_sense_do_not_fill_the_log() {
    // Each would be a warning of the HTTP/2 library's.
    let pongs = frame(PING, ACK, 0, &[1; 8]).repeat(5_000);
    let logged = |filter: Option<&str>| {
        let environment: Vec<_> =
            filter.map(|filter| ("TOLLGATE_LOG", Path::new(filter))).into_iter().collect();
        let process = Case::guest("echo").spawn_in(&environment);
        assert_eq!(process.get("/").status(), 200);
        process.stderr_with(1, "settled");
        let before = process.stderr_length();
        assert!(Http2::connect(process.address(), 65_535).flood(pongs.clone()), "all is taken");
        // Lines are written in their order: with this one all before it are there.
        assert_eq!(process.get("/").status(), 200);
        process.stderr_with(2, "settled");
        let lines = process.stderr_since(before);
        lines.lines().filter(|line| line.contains("\"h2::")).count()
    };
    assert_eq!(logged(None), 0);
    // An operator who asks for the library's warnings gets them: it is the filter that keeps the log small.
    assert!(logged(Some("info,h2=warn")) > 1_000);
}

#[test]
fn a_response_that_is_taken_byte_by_byte_has_no_longer_than_the_deadline() {
    let host = Case::guest("big_body")
        .limits("deadline-ms = 500")
        .host("[host.listener]\nwrite-pause = \"2s\"")
        .totals("concurrent-requests = 1\nqueued-requests = 1\nqueue-wait = \"20s\"")
        .start();
    let mut client = Http2::connect(host.address(), 1);
    client.get(1, "/?n=10000000");
    while let Some(frame) = client.receive() {
        match frame {
            Frame::Data { .. } => client.send(window(1, 1)),
            Frame::Reset { stream: 1, .. } => break,
            _ => {}
        }
    }
    assert!(!client.streams[&1].whole && client.streams[&1].body.len() < 10_000_000);
    assert_eq!(host.first_record().outcome(), "failed:deadline");
    host.ask(http::Request::get("/?n=10")).expect_status(200);
}

#[test]
fn responses_that_nobody_takes_are_kept_for_no_more_requests_than_there_are_places() {
    let few = "concurrent-requests = 32\nqueued-requests = 0";
    let process = Case::guest("big_body").totals(few).spawn();
    let mut busy = Http2::connect(process.address(), 1 << 20);
    busy.send(window(0, 1 << 30));
    streams(100).for_each(|id| busy.get(id, "/?n=65536"));
    assert!(streams(100).all(|id| busy.response(id).whole));
    let before = process.peak_bytes();
    let idlers: Vec<_> = (0..40)
        .map(|_| {
            let mut idler = Http2::connect(process.address(), 1);
            for ten in streams(100).collect::<Vec<_>>().chunks(10) {
                ten.iter().for_each(|id| idler.get(*id, "/?n=65536"));
                while ten.iter().any(|id| idler.streams.get(id).is_none_or(|seen| seen.status.is_none())) {
                    idler.receive().expect("a head");
                }
            }
            idler
        })
        .collect();
    let grown = process.peak_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{} KiB for {} clients", grown >> 10, idlers.len());
}

#[test]
fn a_response_that_is_taken_slowly_and_steadily_comes_whole() {
    let tenant = Tenant::new("acme")
        .app(App::guest("big_body"))
        .app(App::guest("wait_forever").named("wait").route("path = \"/wait\""));
    let bounds = "[host.listener]\nhead = \"300ms\"\nwrite-pause = \"10s\"";
    let host = Case::new().tenant(tenant).host(bounds).start();
    let mut client = Http2::connect(host.address(), 1);
    client.get(1, "/?n=60000");
    while !client.streams.get(&1).is_some_and(|seen| seen.whole) {
        let frame = client.receive();
        assert!(frame.is_some(), "cut after {} bytes", client.streams[&1].body.len());
        if matches!(frame, Some(Frame::Data { .. })) {
            // Somebody else's request is how long the client takes over each piece.
            host.ask(http::Request::get("/wait?ms=60")).expect_status(200);
            client.send(window(1, 2_000));
        }
    }
    assert_eq!(client.streams[&1].body.len(), 60_000);
}
