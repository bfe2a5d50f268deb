//! HTTP/2 as RFC 9113 and RFC 7541 have it: a table of what a client may not do with the answers that the RFCs allow,
//! in the manner of h2spec; and floods.

mod floods;
mod rules_frames;
mod rules_messages;
mod rules_streams;

use http::Request;
use std::collections::BTreeSet;
use testkit::http2::{ACK, Frame, PING, PREFACE, PROTOCOL_ERROR, STREAM_CLOSED, frame};
use testkit::{App, Case, Host, Http2, Tenant};

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An error of the connection, by this code.
    Connection(u32),
    /// The connection ended without a reason.
    Closed,
    /// An error of the stream, by this code.
    Stream(u32),
    /// A response with this status.
    Status(u16),
    /// Nothing: the connection goes on.
    GoesOn,
    /// An answer in HTTP/1.
    Http1(u16),
}

use Answer::{Closed, Connection, GoesOn, Http1, Status, Stream};

/// One case of the table.
pub(crate) struct Rule {
    /// Of RFC 9113, unless it says another.
    section: &'static str,
    what: &'static str,
    /// Requests that are answered first.
    first: Vec<u8>,
    sent: Vec<u8>,
    allowed: Vec<Answer>,
    /// What comes instead, and why we live with it.
    deviation: Option<(Answer, &'static str)>,
    /// Sent on a connection without preface and settings.
    raw: bool,
}

/// A case.
pub(crate) fn rule(section: &'static str, what: &'static str, sent: Vec<u8>, allowed: &[Answer]) -> Rule {
    let allowed = allowed.to_vec();
    Rule { section, what, first: Vec::new(), sent, allowed, deviation: None, raw: false }
}

impl Rule {
    fn after(mut self, request: Vec<u8>) -> Self {
        self.first = request;
        self
    }
    fn but(mut self, deviation: (Answer, &'static str)) -> Self {
        self.deviation = Some(deviation);
        self
    }
    fn raw(mut self) -> Self {
        self.raw = true;
        self
    }
}

/// A malformed message (section 8.1.1): an error of the stream, or of the connection instead (5.4), or a status that
/// says so.
pub(crate) const MALFORMED: &[Answer] = &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), Status(400)];
pub(crate) const PROTOCOL: &[Answer] = &[Connection(PROTOCOL_ERROR)];
/// A frame on a stream that is over (5.1).
pub(crate) const OVER: &[Answer] = &[Stream(STREAM_CLOSED), Connection(STREAM_CLOSED)];
/// Why the code is the general one where the RFCs name another: it tells a client's author less, and ends the connection
/// all the same.
pub(crate) const BLUNT: (Answer, &str) = (
    Connection(PROTOCOL_ERROR),
    "the h2 crate has one code for every frame and header block that it can't read",
);
pub(crate) const SERVED: &[Answer] = &[Status(200)];

/// What comes, at worst, until two pings in a row are answered; and unless it may go on, until a response or an error.
fn observe(client: &mut Http2, may_go_on: bool) -> Answer {
    let (mut pings, mut worst) = (0, GoesOn);
    let mark = |number: u8| frame(PING, 0, 0, &[number; 8]);
    client.send(mark(1));
    loop {
        let Some(frame) = client.receive() else {
            return if client.goaway.is_some() { worst } else { Closed };
        };
        match frame {
            // Said to a client that is only asked to leave.
            Frame::GoAway { code: 0, .. } => {}
            Frame::GoAway { code, .. } => worst = Connection(code),
            Frame::Reset { code, .. } if code != 0 && !matches!(worst, Connection(_)) => worst = Stream(code),
            Frame::Headers { status: Some(status), .. } if worst == GoesOn => worst = Status(status),
            Frame::Http1 { status } => return Http1(status),
            Frame::Ping { ack: true, text } if text == [1; 8] => {
                pings += 1;
                client.send(mark(2));
            }
            Frame::Ping { ack: true, text } if text == [2; 8] => pings += 1,
            _ => {}
        }
        if pings >= 2 && (may_go_on || worst != GoesOn) {
            return worst;
        }
    }
}

fn host() -> Host {
    let tenant = Tenant::new("acme")
        .app(App::guest("echo"))
        .app(App::guest("wait_forever").named("wait").route("path = \"/wait\""));
    Case::new().tenant(tenant).start()
}

#[track_caller]
fn check(rules: Vec<Rule>) {
    let host = host();
    let mut wrong = Vec::new();
    let mut neighbour = Http2::connect(host.address(), 65_535);
    for (number, rule) in (0..).zip(&rules) {
        let came = answer_to(&host, rule);
        let as_expected = match rule.deviation {
            Some((deviation, why)) => {
                assert!(
                    !why.is_empty() && !rule.allowed.contains(&deviation),
                    "{} is no deviation",
                    rule.what
                );
                came == deviation
            }
            None => rule.allowed.contains(&came),
        };
        if !as_expected {
            wrong.push(format!("{}: {}: {came:?}, not {:?}", rule.section, rule.what, rule.allowed));
        }
        neighbour.get(2 * number + 1, "/neighbour");
        assert_eq!(neighbour.response(2 * number + 1).status, Some(200), "{}", rule.what);
    }
    assert!(wrong.is_empty(), "{} of {} rules:\n{}", wrong.len(), rules.len(), wrong.join("\n"));
    host.ask(Request::get("/next")).expect_status(200);
    let seen: BTreeSet<_> =
        host.log().records().iter().map(|record| record.text("resource").to_owned()).collect();
    assert!(!seen.iter().any(|resource| resource.contains("/bad")), "the app was asked: {seen:?}");
}

fn answer_to(host: &Host, rule: &Rule) -> Answer {
    let mut client =
        if rule.raw { Http2::raw(host.address()) } else { Http2::connect(host.address(), 65_535) };
    if !rule.first.is_empty() {
        client.send(&rule.first);
        assert!(client.response(1).whole, "{}", rule.what);
    }
    client.send(&rule.sent);
    let may_go_on = |answer: &Answer| *answer == GoesOn;
    let deviates = rule.deviation.iter().any(|(answer, _)| may_go_on(answer));
    observe(&mut client, deviates || rule.allowed.iter().any(may_go_on))
}

#[test]
fn frames_are_as_rfc_9113_has_them() {
    check(rules_frames::rules());
}

#[test]
fn streams_live_as_rfc_9113_has_it() {
    check(rules_streams::rules());
}

#[test]
fn messages_and_header_blocks_are_as_rfc_9113_and_rfc_7541_have_them() {
    check(rules_messages::rules());
}

#[test]
fn settings_and_pings_are_answered_in_order_and_pings_with_their_text() {
    let host = host();
    let mut client = Http2::connect(host.address(), 65_535);
    client.send(frame(PING, 0, 0, b"tollgate"));
    client.send(frame(4, 0, 0, &[]));
    client.send(frame(PING, 0xfe, 0, b"unknown!"));
    let mut came = Vec::new();
    while came.len() < 4 {
        match client.receive().expect("a frame") {
            Frame::Settings { ack: true } => came.push("settings".to_owned()),
            Frame::Ping { ack: true, text } => came.push(String::from_utf8(text).unwrap()),
            _ => {}
        }
    }
    came.sort();
    assert_eq!(came, ["settings", "settings", "tollgate", "unknown!"]);
}

#[test]
fn a_response_keeps_to_the_windows_that_the_client_gives() {
    let host = Case::guest("big_body").start();
    let mut client = Http2::connect(host.address(), 1);
    client.get(1, "/?n=100");
    for (more, sum) in [(0, 1), (9, 10), (40, 50)] {
        if more > 0 {
            client.send(testkit::http2::window(1, more));
        }
        client.send(frame(PING, 0, 0, &[7; 8]));
        let (mut ponged, mut bytes) = (false, 0);
        while !ponged || bytes < sum {
            ponged |= matches!(client.receive(), Some(Frame::Ping { ack: true, .. }));
            bytes = client.streams.get(&1).map_or(0, |seen| seen.body.len());
        }
        assert_eq!(bytes, sum, "never more than there is room for");
    }
    client.send(testkit::http2::window(1, 1_000));
    let seen = client.response(1);
    assert!(seen.whole && seen.body.len() == 100, "{seen:?}");
}

#[test]
fn a_preface_that_comes_byte_by_byte_is_a_preface() {
    let host = host();
    let mut client = Http2::raw(host.address());
    for byte in PREFACE {
        client.send([*byte]);
    }
    client.send(testkit::http2::settings(&[]));
    while !matches!(client.receive().expect("settings"), Frame::Settings { ack: false }) {}
    client.send(frame(4, ACK, 0, &[]));
    client.get(1, "/");
    assert_eq!(client.response(1).status, Some(200));
}
