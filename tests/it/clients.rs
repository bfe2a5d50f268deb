//! Clients that are slow, too many, too large, or gone: what they get, what is recorded, and that others are served.

use http::Request;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use testkit::http1::{End, exchange};
use testkit::http2::{CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, WHOLE, frame, request, reset};
use testkit::{App, Case, Host, Http1, Http2, Tenant};

/// How long a slow client waits between two bytes.
const SLOWLY: Duration = Duration::from_millis(10);

/// Another client of the same machine.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const GET: &str = "GET /a HTTP/1.1\r\nhost: acme.test\r\n\r\n";

/// A host whose listener has these bounds.
fn bounded(guest: &str, bounds: &str) -> Host {
    Case::guest(guest).host(&format!("[host.listener]\n{bounds}")).start()
}

/// Somebody else asks, and is answered.
#[track_caller]
fn others_are_served(address: SocketAddr) {
    let mut other = Http1::connect_from(OTHER, address);
    assert_eq!(other.send(GET).response().status, 200);
}

#[test]
fn a_head_that_comes_byte_by_byte_is_given_up_after_its_time() {
    let host = bounded("echo", "head = \"500ms\"");
    let head = format!("GET / HTTP/1.1\r\nhost: acme.test\r\nx: {}\r\n\r\n", "y".repeat(10_000));
    let mut slow: Vec<_> = (0..30).map(|_| Http1::connect(host.address())).collect();
    let mut sent = 0;
    for byte in head.bytes() {
        for client in &mut slow {
            client.send([byte]);
        }
        sent += 1;
        if sent == 1 {
            others_are_served(host.address());
        }
        if slow.last_mut().unwrap().hears_within(SLOWLY) {
            break;
        }
    }
    assert!((1..10_000).contains(&sent), "{sent} bytes");
    for client in slow {
        assert_eq!(client.end().statuses(), [408]);
    }
    others_are_served(host.address());
    let recorded = host.log().records();
    assert_eq!(recorded.len(), 2, "only the others are recorded");
    host.admin("/metrics").expect_in_body("head_timeouts 30\n");
}

#[test]
fn a_second_head_that_comes_byte_by_byte_is_given_up_too() {
    let host = bounded("echo", "head = \"300ms\"");
    let mut slow = Http1::connect(host.address());
    assert_eq!(slow.send(GET).response().status, 200);
    let sent = (0..10_000).take_while(|_| !slow.send("G").hears_within(SLOWLY)).count();
    assert!((1..10_000).contains(&sent), "{sent}");
    assert_eq!(slow.end().statuses(), [408]);
    others_are_served(host.address());
}

#[test]
fn a_body_that_stands_still_is_given_up_after_its_pause() {
    let host = bounded("bytes_in", "body-pause = \"300ms\"");
    let mut slow = Http1::connect(host.address());
    slow.send("POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 10\r\n\r\nhalf");
    others_are_served(host.address());
    let reply = slow.end();
    assert!(!reply.statuses().contains(&200), "{reply:?}");
    others_are_served(host.address());
    let outcomes: Vec<_> = host.log().records().iter().map(testkit::Record::outcome).collect();
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "answered:200").count(), 2, "{outcomes:?}");
}

#[test]
fn a_body_that_trickles_has_no_longer_than_the_deadline() {
    let host = Case::guest("bytes_in").limits("deadline-ms = 700").start();
    let mut slow = Http1::connect(host.address());
    slow.send("POST / HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 100000\r\n\r\n");
    let sent = (0..100_000).take_while(|_| !slow.send("x").hears_within(SLOWLY)).count();
    assert!((1..90_000).contains(&sent), "{sent}");
    assert_eq!(slow.end().statuses(), [504]);
    assert_eq!(host.first_record().outcome(), "failed:deadline");
    others_are_served(host.address());
}

#[test]
fn idle_connections_fill_their_clients_share_and_nobody_elses() {
    let host = bounded("echo", "connections = 20\nconnections-per-client = 8");
    let idle: Vec<_> = (0..8).map(|_| connected(&host)).collect();
    for _ in 0..20 {
        assert!(Http1::connect(host.address()).end().bytes.is_empty(), "beyond the share");
    }
    others_are_served(host.address());
    drop(idle);
    until(|| host.admin("/metrics").text().contains("connections 0\n"));
    host.ask(Request::get("/")).expect_status(200);
    host.admin("/metrics").expect_in_body("connections_over_client 20\n");
}

#[test]
fn a_full_host_takes_nobody_more_and_is_free_again_after_the_idle_time() {
    let host = bounded("echo", "connections = 10\nconnections-per-client = 5\nhead = \"1s\"");
    let client = |last: u8| Ipv4Addr::new(127, 0, 0, last);
    let idle: Vec<_> = (1..=2)
        .flat_map(|last| (0..5).map(move |_| client(last)))
        .map(|source| {
            let mut one = Http1::connect_from(source, host.address());
            assert_eq!(one.send(GET).response().status, 200);
            one
        })
        .collect();
    let refused = Http1::connect_from(client(3), host.address()).end();
    assert!(refused.bytes.is_empty());
    host.admin("/metrics").expect_in_body("connections_over_total 1\n").expect_in_body("connections 10\n");
    for one in idle {
        assert!(one.end().bytes.is_empty(), "an idle connection is closed without a word");
    }
    others_are_served(host.address());
}

/// A connection that the host has taken.
fn connected(host: &Host) -> Http1 {
    let mut client = Http1::connect(host.address());
    assert_eq!(client.send(GET).response().status, 200);
    client
}

/// Looks again until it is so, for some seconds.
#[track_caller]
fn until(so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(std::time::Instant::now() < end, "it did not become so");
    }
}

#[test]
fn heads_beyond_their_bounds_are_refused_and_leave_no_record() {
    let host = bounded("echo", "head-bytes = \"4KiB\"\ntarget-bytes = \"1KiB\"\nheaders = 20\nhead = \"5s\"");
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nhost: acme.test\r\n{fields}\r\n");
    let close = "connection: close\r\n";
    let long = "x".repeat(1_100);
    let huge = "x".repeat(200_000);
    for (what, request, statuses) in [
        ("a long target", head(&format!("GET /{long}"), close), &[414][..]),
        ("a long query", head(&format!("GET /?{long}"), close), &[414]),
        ("a huge target", head(&format!("GET /{huge}"), close), &[414, 431]),
        ("a target without end", format!("GET /{huge}"), &[414, 431]),
        ("a huge method", head(&format!("{huge} /"), close), &[400, 431]),
        ("a large field", head("GET /", &format!("x: {}\r\n", "y".repeat(5_000))), &[431]),
        ("a huge field", head("GET /", &format!("x: {huge}\r\n")), &[431]),
        ("a field without end", format!("GET / HTTP/1.1\r\nx: {huge}"), &[431]),
        ("a huge name", head("GET /", &format!("{huge}: x\r\n")), &[400, 431]),
        ("many fields", head("GET /", &"x: y\r\n".repeat(20)), &[431]),
        ("fields without end", format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(30_000)), &[431]),
        ("much in all", head("GET /", &format!("x: {}\r\n", "y".repeat(300)).repeat(15)), &[431]),
    ] {
        let reply = exchange(host.address(), request);
        let [status] = reply.statuses()[..] else { panic!("{what}: {reply:?}") };
        assert!(statuses.contains(&status), "{what}: {status}");
    }
    assert_eq!(host.log().records().len(), 0);
    host.ask(Request::get(format!("/{}", &long[..900]))).expect_status(200);
}

#[test]
fn bodies_beyond_their_bound_are_refused_or_cut_and_the_guest_reads_no_more() {
    let host = Case::guest("bytes_in").limits("request-body-bytes = 1000").start();
    let post = |head: &str, body: &str| {
        exchange(
            host.address(),
            format!("POST / HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n{head}\r\n\r\n{body}"),
        )
    };
    let thousand = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    assert_eq!(post("content-length: 1001", "").statuses(), [413]);
    let whole = post("transfer-encoding: chunked", &format!("{thousand}0\r\n\r\n"));
    assert_eq!(whole.responses()[0].text(), "1000 bytes\n");
    let beyond = post("transfer-encoding: chunked", &format!("{thousand}1\r\nx\r\n0\r\n\r\n"));
    assert!(!beyond.statuses().contains(&200), "{beyond:?}");
    let endless = post("transfer-encoding: chunked", &thousand.repeat(100));
    assert!(!endless.statuses().contains(&200), "{endless:?}");
    assert_eq!(host.log().records().len(), 4);
    others_are_served(host.address());
}

/// One tenant with one place, and three apps in which a client can leave at different stages.
fn one_place() -> Host {
    let tenant = Tenant::new("acme")
        .totals("concurrent-requests = 1\nqueued-requests = 1\nqueue-wait = \"30s\"")
        .app(App::guest("echo"))
        .app(App::guest("bytes_in").named("bytes").route("path = \"/bytes\""))
        .app(App::guest("wait_forever").named("wait").route("path = \"/wait\""))
        .app(App::guest("slow_body").named("slow").route("path = \"/slow\""));
    Case::new().tenant(tenant).start()
}

/// After a client has left: the one place is free, and what was recorded says so.
#[track_caller]
fn the_place_is_free(host: &Host, what: &str, expected: &[&str]) {
    let next = host.ask(Request::get("/next")).expect_status(200);
    let after = host.log().records();
    let gone: Vec<_> = after
        .iter()
        .filter(|record| record.text("request_id") != next.record().text("request_id"))
        .map(|record| record.outcome())
        .collect();
    let one = gone.len() == 1 && expected.contains(&gone[0].as_str());
    assert!(one || gone.is_empty() && expected.is_empty(), "{what}: {gone:?}, not one of {expected:?}");
    let ids: std::collections::BTreeSet<_> = after.iter().map(|record| record.text("request_id")).collect();
    assert_eq!(ids.len(), after.len(), "{what}: one record each");
}

const NOBODY: &[&str] = &[];
const ABANDONED: &[&str] = &["abandoned"];
const BROKEN: &[&str] = &["abandoned", "answered:502"];

#[test]
fn a_client_that_leaves_before_its_request_is_whole_leaves_nothing_behind() {
    for sent in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: acme.test\r\nx: "] {
        for resets in [false, true] {
            let host = one_place();
            let mut client = Http1::connect(host.address());
            client.send(sent);
            if resets {
                client.reset();
            } else {
                drop(client);
            }
            the_place_is_free(&host, sent, NOBODY);
        }
    }
}

#[test]
fn a_client_that_leaves_at_any_later_stage_gives_its_place_back_and_is_recorded_once() {
    let head = |line: &str| format!("{line} HTTP/1.1\r\nhost: acme.test\r\n");
    for (what, sent, answered, recorded) in [
        // An app that is told of a broken body may answer, and it can't be known that nobody listens any more.
        ("in its body", head("POST /bytes") + "content-length: 100\r\n\r\nhalf", false, BROKEN),
        (
            "between two chunks",
            head("POST /bytes") + "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            false,
            BROKEN,
        ),
        ("before the response", head("GET /wait") + "\r\n", false, ABANDONED),
        ("in the response", head("GET /slow?n=1000") + "\r\n", true, ABANDONED),
    ] {
        for resets in [false, true] {
            let host = one_place();
            let mut client = Http1::connect(host.address());
            client.send(&sent);
            if answered {
                assert!(client.has_head());
            } else {
                under_way(&host);
            }
            if resets {
                client.reset();
            } else {
                drop(client);
            }
            the_place_is_free(&host, what, recorded);
        }
    }
}

#[test]
fn a_stream_that_is_reset_at_any_stage_gives_its_place_back_and_is_recorded_once() {
    for (what, flags, method, path, answered, outcomes) in [
        // The guest may answer that its body broke before anybody sees that the client is gone.
        ("in its body", END_HEADERS, "POST", "/bytes", false, BROKEN),
        ("before the response", 5, "GET", "/wait", false, ABANDONED),
        ("in the response", 5, "GET", "/slow?n=1000", true, ABANDONED),
    ] {
        for closes in [false, true] {
            let host = one_place();
            let mut client = Http2::connect(host.address(), 65_535);
            client.send(frame(HEADERS, flags, 1, &request(method, path, &[])));
            if answered {
                while client.streams.get(&1).is_none_or(|seen| seen.status.is_none()) {
                    client.receive().expect("a head");
                }
            } else {
                under_way(&host);
            }
            if !closes {
                client.send(reset(1, CANCEL));
            }
            // Either the connection stays, or it goes with the stream.
            let connection = (!closes).then_some(client);
            the_place_is_free(&host, what, outcomes);
            drop(connection);
        }
    }
}

/// Waits until a request runs.
fn under_way(host: &Host) {
    until(|| {
        let status: serde_json::Value = serde_json::from_str(&host.admin("/status").text()).unwrap();
        status["tenants"]["acme"]["running"]["used"] == 1
    });
}

#[test]
fn a_client_that_resets_a_connection_with_a_response_in_it_harms_nobody() {
    let host = Case::guest("big_body").start();
    for _ in 0..20 {
        let mut client = Http1::connect(host.address());
        client.send("GET /?n=10000000 HTTP/1.1\r\nhost: acme.test\r\n\r\n");
        assert!(client.has_head());
        client.reset();
    }
    let reply =
        exchange(host.address(), "GET /?n=9 HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n");
    assert_eq!((reply.statuses(), reply.end), (vec![200], End::Closed));
    let log = host.log();
    let _site = host.stop();
    let outcomes: Vec<_> = log.records().iter().map(testkit::Record::outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "abandoned").count(), 20, "{outcomes:?}");
    assert_eq!(outcomes.len(), 21);
}

#[test]
fn heads_and_bodies_beyond_their_bounds_are_refused_over_http2_too() {
    let host = Case::guest("bytes_in")
        .host("[host.listener]\nhead-bytes = \"4KiB\"\ntarget-bytes = \"1KiB\"\nheaders = 20")
        .limits("request-body-bytes = 1000")
        .start();
    let get = |path: &str, fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &request("GET", path, fields));
    let post = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &request("POST", "/", fields));
    let long = "x".repeat(1_100);
    let pieces = [post(&[]), frame(DATA, 0, 1, &[0; 999]), frame(DATA, END_STREAM, 1, &[0; 2])].concat();
    for (what, frames, statuses, records) in [
        ("a long target", get(&format!("/{long}"), &[]), &[414][..], 0),
        ("many fields", get("/", &[("x", "y"); 21]), &[431], 0),
        ("much in all", get("/", &[("x", &long[..300]); 15]), &[431], 0),
        ("a long length", post(&[("content-length", "1001")]), &[413], 1),
        // The app has begun to read it by then, and says so itself.
        ("a long body", pieces, &[413, 500, 502], 1),
    ] {
        let before = host.log().records().len();
        let mut client = Http2::connect(host.address(), 65_535);
        client.send(frames);
        let seen = client.response(1);
        assert!(seen.status.is_some_and(|status| statuses.contains(&status)), "{what}: {seen:?}");
        assert_eq!(host.log().records().len() - before, records, "{what}");
    }
    others_are_served(host.address());
}

#[test]
fn a_body_that_stands_still_on_a_stream_is_given_up_and_the_connection_goes_on() {
    let host = bounded("bytes_in", "body-pause = \"300ms\"");
    let mut slow = Http2::connect(host.address(), 65_535);
    slow.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[("content-length", "9")])));
    slow.send(frame(DATA, 0, 1, b"half"));
    slow.get(3, "/");
    assert_eq!(slow.response(3).status, Some(200));
    let seen = slow.response(1);
    assert!(seen.status != Some(200), "{seen:?}");
    slow.get(5, "/");
    assert_eq!(slow.response(5).status, Some(200));
}

#[test]
fn requests_that_come_all_at_once_are_answered_one_by_one_and_each_is_recorded() {
    let host = Case::guest("echo").start();
    let request = |number| format!("GET /{number} HTTP/1.1\r\nhost: acme.test\r\n\r\n");
    let last = "GET /last HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n";
    let all: String = (0..100).map(request).collect();
    let responses = exchange(host.address(), all + last).responses();
    let seen = responses.iter().map(|response| response.text().lines().next().unwrap_or_default().to_owned());
    let paths: Vec<_> = (0..100).map(|number| number.to_string()).chain(["last".to_owned()]).collect();
    assert!(seen.eq(paths.iter().map(|path| format!("GET http://acme.test/{path}"))), "{responses:?}");
    let records = host.log().records();
    let resources: std::collections::BTreeSet<_> = records.iter().map(|one| one.text("resource")).collect();
    assert_eq!((records.len(), resources.len()), (101, 101));
}
