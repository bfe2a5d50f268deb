//! Requests in HTTP/1 that two readers could take for different ones, and headers that pretend. Each row is sent with
//! another request right behind it: what is refused must take that one along, because nobody knows where it begins.

use std::net::SocketAddr;
use testkit::http1::{End, Reply, exchange};
use testkit::http2::{END_HEADERS, HEADERS, WHOLE, block, frame, request};
use testkit::{Case, Host, Http2};

/// What must become of a row.
enum Fate {
    /// One answer of these statuses, then the end; the app sees nothing. 0 is an end without a word.
    Refused(&'static [u16]),
    /// The app sees these requests, and each is answered with 200.
    Seen(&'static [&'static str]),
    /// The app sees one request, whose body turns out to be none: no whole answer with 200.
    Broken,
}

use Fate::{Broken, Refused, Seen};

struct Row(&'static str, &'static [u8], Fate);

/// The request behind each row.
const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n";

const LENGTHS: &[Row] = &[
    Row(
        "a length and chunks: chunks count, and the connection ends (RFC 9112, 6.1)",
        b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Seen(&["POST /a"]),
    ),
    Row(
        "chunks and a length",
        b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\ncontent-length: 40\r\n\r\n0\r\n\r\n",
        Seen(&["POST /a"]),
    ),
    Row("two lengths", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n", Refused(&[400])),
    Row("one length twice", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab", Seen(&["POST /a", "GET /behind"])),
    Row("a list of lengths", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 2, 2\r\n\r\nab", Refused(&[400])),
    Row("a length with a plus", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: +2\r\n\r\nab", Refused(&[400])),
    Row("a length with a minus", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: -2\r\n\r\nab", Refused(&[400])),
    Row("a length with a space in it", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 2 2\r\n\r\nab", Refused(&[400])),
    Row("a length in hexadecimal", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 0x2\r\n\r\nab", Refused(&[400])),
    Row("a length of nothing", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length:\r\n\r\n", Refused(&[400])),
    Row("a length that is no number", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: two\r\n\r\n", Refused(&[400])),
    Row("a length with zeros before it", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 0002\r\n\r\nab", Seen(&["POST /a", "GET /behind"])),
    Row("a length beyond 64 bits", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 18446744073709551618\r\n\r\nab", Refused(&[400])),
    Row("the longest length of 64 bits", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 18446744073709551615\r\n\r\nab", Refused(&[400, 413, 431])),
    Row("a length beyond the limit", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 99999999999\r\n\r\nab", Refused(&[413])),
];

const CODINGS: &[Row] = &[
    Row("chunks, as they should be", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", Seen(&["POST /a", "GET /behind"])),
    Row("chunks by another case and more space", b"POST /a HTTP/1.1\r\nhost: acme.test\r\nTransfer-Encoding: \t ChUnKeD \t\r\n\r\n2\r\nab\r\n0\r\n\r\n", Seen(&["POST /a", "GET /behind"])),
    Row("chunks, then as it is", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("as it is, then chunks", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("a coding that nobody decodes", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(&[501])),
    Row("a coding alone", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("chunks twice in a list", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("chunks twice in two fields", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("chunks and something else in two fields", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: cow\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("something else after chunks", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\ntransfer-encoding: cow\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("a coding with a letter before it", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("a coding in quotes", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("a coding after a vertical tab", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(&[400])),
    Row("a coding with a parameter", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("an empty coding", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding:\r\n\r\n0\r\n\r\n", Refused(&[400, 501])),
    Row("a space before the colon of a coding", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n", Refused(&[400])),
    Row("chunks in HTTP/1.0", b"POST /a HTTP/1.0\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(&[400])),
];

const CHUNKS: &[Row] = &[
    Row("a chunk with an extension", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2;a=\"b\"\r\nab\r\n0\r\n\r\n", Seen(&["POST /a", "GET /behind"])),
    Row("a chunk's size that overflows", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n", Broken),
    Row("a chunk's size with 0x", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", Broken),
    Row("a chunk's size with a sign", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n", Broken),
    Row("no size of a chunk", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n;a=b\r\nab\r\n0\r\n\r\n", Broken),
    Row("a chunk's line that ends without CR", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", Broken),
    Row("an extension with a line end in it", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n", Broken),
    Row("a chunk longer than its size", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", Broken),
    Row("a chunk that ends without CR", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\n0\r\n\r\n", Broken),
    Row("trailers that pretend", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\nhost: evil.test\r\nx-forwarded-for: 6.6.6.6\r\ntollgate-tenant: globex\r\ncontent-length: 9\r\n\r\n", Seen(&["POST /a", "GET /behind"])),
    Row("trailers that are no fields", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n bad\r\n\r\n", Broken),
];

const LINES: &[Row] = &[
    Row("lines that end without CR, which a server may take (RFC 9112, 2.2)", b"GET /a HTTP/1.1\nhost: acme.test\n\n", Seen(&["GET /a", "GET /behind"])),
    Row("an empty line before the request", b"\r\nGET /a HTTP/1.1\r\nhost: acme.test\r\n\r\n", Seen(&["GET /a", "GET /behind"])),
    Row("a CR in a value", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nx: a\rb\r\n\r\n", Refused(&[400])),
    Row("a CR for a line's end", b"GET /a HTTP/1.1\r\nhost: acme.test\rx: y\r\n\r\n", Refused(&[400])),
    Row("a NUL in a value", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nx: a\0b\r\n\r\n", Refused(&[400])),
    Row("a NUL in a name", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nx\0y: a\r\n\r\n", Refused(&[400])),
    Row("a folded line", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nx: a\r\n b\r\n\r\n", Refused(&[400])),
    Row("a folded first field", b"GET /a HTTP/1.1\r\n host: acme.test\r\n\r\n", Refused(&[400])),
    Row("a space before a colon", b"GET /a HTTP/1.1\r\nhost : acme.test\r\n\r\n", Refused(&[400])),
    Row("a field without a colon", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nnothing\r\n\r\n", Refused(&[400])),
    Row("a field without a name", b"GET /a HTTP/1.1\r\nhost: acme.test\r\n: a\r\n\r\n", Refused(&[400])),
    Row("a space before the method", b" GET /a HTTP/1.1\r\nhost: acme.test\r\n\r\n", Refused(&[400])),
    Row("a method that is no token", b"GE(T /a HTTP/1.1\r\nhost: acme.test\r\n\r\n", Refused(&[400])),
    Row("a space in the target", b"GET /a b HTTP/1.1\r\nhost: acme.test\r\n\r\n", Refused(&[400])),
    Row("a body that no length announces", b"GET /a HTTP/1.1\r\nhost: acme.test\r\n\r\na=b&c=d\r\n\r\n", Seen(&["GET /a", "!400"])),
    Row("a request in a body", b"POST /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 49\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: acme.test\r\nx: y\r\n\r\n", Seen(&["POST /a", "GET /behind"])),
    Row("a body after GET", b"GET /a HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 2\r\n\r\nab", Seen(&["GET /a", "GET /behind"])),
];

const VERSIONS: &[Row] = &[
    Row("HTTP/0.9", b"GET /a\r\n\r\n", Refused(&[400])),
    Row("HTTP/1.0 that would stay", b"GET /a HTTP/1.0\r\nhost: acme.test\r\nconnection: keep-alive\r\n\r\n", Seen(&["GET /a"])),
    Row("HTTP/1.0 without a host", b"GET /a HTTP/1.0\r\n\r\n", Refused(&[400])),
    Row("HTTP/1.2", b"GET /a HTTP/1.2\r\nhost: acme.test\r\n\r\n", Refused(&[400, 505])),
    Row("HTTP/2.0 in HTTP/1", b"GET /a HTTP/2.0\r\nhost: acme.test\r\n\r\n", Refused(&[400, 505])),
    Row("http in lower case", b"GET /a http/1.1\r\nhost: acme.test\r\n\r\n", Refused(&[400])),
    Row("the preface of HTTP/2 as a second request", b"GET /a HTTP/1.1\r\nhost: acme.test\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Seen(&["GET /a"])),
    Row("an upgrade to h2c is not taken", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", Seen(&["GET /a", "GET /behind"])),
    Row("an upgrade to websocket is not taken", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", Seen(&["GET /a", "GET /behind"])),
    Row("a tunnel", b"CONNECT acme.test:443 HTTP/1.1\r\nhost: acme.test:443\r\n\r\n", Refused(&[501])),
    Row("a tunnel to a path", b"CONNECT /a HTTP/1.1\r\nhost: acme.test\r\n\r\n", Refused(&[400, 501])),
    Row("the options of the whole server", b"OPTIONS * HTTP/1.1\r\nhost: acme.test\r\n\r\n", Seen(&["!400", "GET /behind"])),
    Row("an expectation that is met", b"POST /a HTTP/1.1\r\nhost: acme.test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab", Seen(&["POST /a", "GET /behind"])),
    Row("an expectation that nobody knows", b"POST /a HTTP/1.1\r\nhost: acme.test\r\nexpect: tea\r\ncontent-length: 2\r\n\r\nab", Seen(&["POST /a", "GET /behind"])),
];

const HOSTS: &[Row] = &[
    Row("no host", b"GET /a HTTP/1.1\r\n\r\n", Refused(&[400])),
    Row("two hosts", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nhost: globex.test\r\n\r\n", Refused(&[400])),
    Row("one host twice", b"GET /a HTTP/1.1\r\nhost: acme.test\r\nhost: acme.test\r\n\r\n", Refused(&[400])),
    Row("a list of hosts", b"GET /a HTTP/1.1\r\nhost: acme.test, globex.test\r\n\r\n", Refused(&[400])),
    Row("an empty host", b"GET /a HTTP/1.1\r\nhost:\r\n\r\n", Refused(&[400])),
    Row("a host with a user", b"GET /a HTTP/1.1\r\nhost: acme.test@globex.test\r\n\r\n", Refused(&[400])),
    Row("a host with a path", b"GET /a HTTP/1.1\r\nhost: acme.test/b\r\n\r\n", Refused(&[400])),
    Row("a host with a space", b"GET /a HTTP/1.1\r\nhost: acme.test globex.test\r\n\r\n", Refused(&[400])),
    Row(
        "a host with a port that is no number",
        b"GET /a HTTP/1.1\r\nhost: acme.test:80a\r\n\r\n",
        Refused(&[400]),
    ),
    Row("a host that is not ASCII", b"GET /a HTTP/1.1\r\nhost: \xc3\xa4cme.test\r\n\r\n", Refused(&[400])),
    Row(
        "a target with the host in it",
        b"GET http://acme.test/a HTTP/1.1\r\nhost: acme.test\r\n\r\n",
        Seen(&["GET /a", "GET /behind"]),
    ),
    Row(
        "a target with another host in it",
        b"GET http://globex.test/a HTTP/1.1\r\nhost: acme.test\r\n\r\n",
        Refused(&[400]),
    ),
    Row(
        "a target with a user in it",
        b"GET http://u:p@acme.test/a HTTP/1.1\r\nhost: acme.test\r\n\r\n",
        Refused(&[400]),
    ),
    Row(
        "a target that is only a host",
        b"GET acme.test HTTP/1.1\r\nhost: acme.test\r\n\r\n",
        Seen(&["!400", "GET /behind"]),
    ),
];

/// A host for all rows of a table, with bounds that a test can wait for.
fn host() -> Host {
    let listener = "[host.listener]\nhead = \"5s\"\nbody-pause = \"300ms\"";
    Case::guest("echo").host(listener).start()
}

#[track_caller]
fn check(rows: &[Row]) {
    let host = host();
    let mut wrong = Vec::new();
    for row in rows {
        if let Err(what) = meets(&host, row) {
            wrong.push(format!("{}: {what}", row.0));
        }
        let next = host.ask(http::Request::get("/next"));
        assert!(next.status() == 200 && next.text().starts_with("GET http://acme.test/next\n"), "{}", row.0);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn meets(host: &Host, Row(_, bytes, fate): &Row) -> Result<(), String> {
    let before = host.log().records().len();
    let new = || host.log().records().split_off(before);
    let reply = exchange(host.address(), [bytes, BEHIND].concat());
    let text = String::from_utf8_lossy(&reply.bytes).into_owned();
    let statuses: Vec<u16> = reply.statuses().into_iter().filter(|status| *status != 100).collect();
    // A request that breaks off may be recorded after its connection is gone.
    while matches!(fate, Broken) && new().is_empty() {}
    let records = new();
    let outcomes: Vec<_> = records.iter().map(testkit::Record::outcome).collect();
    let all = format!("{statuses:?}, {:?}, records {outcomes:?}, saw {:?}: {text}", reply.end, seen(&reply));
    let well = match fate {
        Refused(allowed) => {
            let answered = match statuses[..] {
                [] => allowed.contains(&0),
                [one] => allowed.contains(&one),
                _ => false,
            };
            let recorded = records.iter().all(|record| record.outcome().starts_with("refused:"));
            answered && recorded && seen(&reply).is_empty()
        }
        Seen(expected) => {
            let (refused, expected): (Vec<&str>, Vec<&str>) =
                expected.iter().copied().partition(|one| one.starts_with('!'));
            let rest = statuses.iter().filter(|status| **status != 200).map(|status| format!("!{status}"));
            seen(&reply) == expected
                && rest.eq(refused.iter().map(ToString::to_string))
                && outcomes == vec!["answered:200"; expected.len()]
        }
        Broken => {
            let whole = reply.responses().iter().any(|response| response.status == 200 && response.whole);
            !whole
                && records.len() == 1
                && !outcomes[0].starts_with("answered:200")
                && !text.contains("/behind\n")
        }
    };
    if well { Ok(()) } else { Err(all) }
}

/// The requests that the app says it saw.
fn seen(reply: &Reply) -> Vec<String> {
    let answered = reply.responses().into_iter().filter(|response| response.status == 200);
    answered
        .map(|response| {
            let text = response.text();
            let first = text.lines().next().unwrap_or_default();
            first.replace("http://acme.test", "")
        })
        .collect()
}

#[test]
fn a_length_is_one_number_or_the_request_is_refused() {
    check(LENGTHS);
}

#[test]
fn a_body_is_in_chunks_or_it_is_not_and_no_other_coding_is_guessed() {
    check(CODINGS);
}

#[test]
fn chunks_that_are_none_end_the_request_and_the_connection() {
    check(CHUNKS);
}

#[test]
fn lines_end_where_everybody_thinks_they_do() {
    check(LINES);
}

#[test]
fn other_versions_upgrades_tunnels_and_expectations_do_no_harm() {
    check(VERSIONS);
}

#[test]
fn a_request_has_one_host() {
    check(HOSTS);
}

/// The text of the app's answer to these lines of a head.
fn echoed(address: SocketAddr, lines: &str) -> String {
    let reply =
        exchange(address, format!("GET /a HTTP/1.1\r\nhost: acme.test\r\n{lines}connection: close\r\n\r\n"));
    assert_eq!((reply.statuses(), reply.end), (vec![200], End::Closed), "{lines}");
    reply.responses()[0].text()
}

#[test]
fn headers_that_say_who_asks_or_belong_to_the_host_are_the_hosts_alone() {
    let host = host();
    for lines in [
        "forwarded: for=6.6.6.6;host=evil.test\r\nforwarded: for=6.6.6.6\r\n",
        "x-forwarded-for: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n",
        "x-forwarded-host: evil.test\r\nx-forwarded-port: evil.test\r\nx-forwarded-proto: gopher\r\n",
        "x-real-ip: 6.6.6.6\r\ntrue-client-ip: 6.6.6.6\r\ncf-connecting-ip: 6.6.6.6\r\n",
        "tollgate-request-id: evil.test\r\nTOLLGATE-TENANT: evil.test\r\ntollgate-: evil.test\r\n",
        "connection: keep-alive, x-one\r\nconnection: x-two\r\nx-one: 6.6.6.6\r\nx-two: 6.6.6.6\r\n",
        "proxy-connection: evil.test\r\nkeep-alive: evil.test\r\nte: evil.test\r\ntrailer: evil.test\r\n",
        "proxy-authorization: evil.test\r\nupgrade: evil.test\r\n",
        // To have the host's own headers taken for those of the connection takes nothing away.
        "connection: x-forwarded-for, tollgate-request-id, x-forwarded-proto\r\nx-forwarded-for: 6.6.6.6\r\n",
    ] {
        let text = echoed(host.address(), lines);
        // None of them is hexadecimal, as the ids that the host made are in the text too.
        for forged in ["6.6.6.6", "evil.test", "gopher"] {
            assert!(!text.contains(forged), "{lines}: {text}");
        }
        let count = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(count("x-forwarded-for: 127.0.0.1"), 1, "{lines}: {text}");
        assert_eq!(count("x-forwarded-proto: http"), 1, "{lines}: {text}");
        assert_eq!(count("tollgate-request-id: "), 1, "{lines}: {text}");
    }
}

#[test]
fn two_tokens_are_nobodys() {
    // The SHA-256 of `secret`.
    let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let host = Case::guest("echo")
        .tables(&format!("[clients.ci]\ntoken-sha256 = \"{digest}\""))
        .policy("permit(principal == Client::\"acme/ci\", action, resource);")
        .start();
    let ask = |lines: &str| {
        exchange(
            host.address(),
            format!("GET /a HTTP/1.1\r\nhost: acme.test\r\n{lines}connection: close\r\n\r\n"),
        )
        .statuses()
    };
    assert_eq!(ask("authorization: Bearer secret\r\n"), [200]);
    for lines in [
        "authorization: Bearer secret\r\nauthorization: Bearer secret\r\n",
        "authorization: Bearer other\r\nauthorization: Bearer secret\r\n",
        "authorization: Bearer secret, Bearer secret\r\n",
        "connection: authorization\r\nauthorization: Bearer secret\r\n",
        "x-authorization: Bearer secret\r\n",
        "",
    ] {
        assert_eq!(ask(lines), [403], "{lines}");
    }
}

#[test]
fn trailers_are_held_to_the_rule_for_headers() {
    let host = Case::guest("trailers").start();
    let trailers = "x-sum: 1\r\nhost: evil.test\r\nx-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\n\
                    tollgate-tenant: globex\r\nconnection: close\r\ncontent-length: 9\r\ntransfer-encoding: gzip\r\n\
                    authorization: Bearer secret\r\ncookie: a=b\r\n";
    let reply = exchange(
        host.address(),
        format!(
            "POST /a HTTP/1.1\r\nhost: acme.test\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             2\r\nab\r\n0\r\n{trailers}\r\n"
        ),
    );
    assert_eq!(reply.responses()[0].text(), "1 trailers\nx-sum: 1\n");
    // What HTTP/2 forbids in them is refused before; the rest is dropped in the same way.
    let mut client = Http2::connect(host.address(), 65_535);
    client.send(frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[])));
    let trailers = block(&[("x-sum", "1"), ("x-real-ip", "6.6.6.6"), ("tollgate-tenant", "globex")]);
    client.send(frame(HEADERS, WHOLE, 1, &trailers));
    assert_eq!(client.response(1).body, b"1 trailers\nx-sum: 1\n");
}
