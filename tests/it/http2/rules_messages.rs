//! Requests in HTTP/2: what they must and must not have (RFC 9113, section 8), and how they are compressed (RFC 7541).

use super::{Answer, Answer::*, BLUNT, MALFORMED, Rule, SERVED, rule};
use testkit::http2::*;

const COMPRESSION: &[Answer] = &[Connection(COMPRESSION_ERROR)];

pub(super) fn rules() -> Vec<Rule> {
    [framing(), lengths(), names_and_values(), connection_fields(), pseudo(), authority(), compression()]
        .into_iter()
        .flatten()
        .collect()
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/bad");
const AUTHORITY: (&str, &str) = (":authority", "acme.test");

/// A request of exactly these fields.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &block(fields))
}

/// A request with one more field, which makes it malformed.
fn with(name: &str, value: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &request("GET", "/bad", &[(name, value)]))
}

/// The same, where the field is no text.
fn with_bytes(name: &[u8], value: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[request("GET", "/bad", &[]), literal(name, value)].concat())
}

fn served_with(name: &str, value: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &request("GET", "/good", &[(name, value)]))
}

fn post(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &request("POST", path, more))
}

fn framing() -> Vec<Rule> {
    let trailers = |flags, fields: &[(&str, &str)]| frame(HEADERS, flags, 1, &block(fields));
    let body = frame(DATA, 0, 1, b"body");
    vec![
        rule(
            "8.1",
            "a head, a body and trailers",
            [post("/good", &[]), body.clone(), trailers(WHOLE, &[("x", "y")])].concat(),
            SERVED,
        ),
        rule(
            "8.1",
            "trailers that do not end the stream",
            [post("/wait", &[]), body.clone(), trailers(END_HEADERS, &[("x", "y")])].concat(),
            MALFORMED,
        ),
        rule("8.1", "a second head", [post("/wait", &[]), post("/wait", &[])].concat(), MALFORMED),
        rule(
            "8.1",
            "pseudo-fields in trailers",
            [post("/wait", &[]), body.clone(), trailers(WHOLE, &[(":path", "/bad")])].concat(),
            MALFORMED,
        )
        .but((GoesOn, "the h2 crate drops them: no app gets to see them")),
        rule(
            "8.1",
            "fields of the connection in trailers",
            [post("/wait", &[]), body, trailers(WHOLE, &[("connection", "close")])].concat(),
            MALFORMED,
        ),
    ]
}

fn lengths() -> Vec<Rule> {
    let body = |length: &str, pieces: &[&[u8]]| {
        let last = pieces.len() - 1;
        let frames = pieces.iter().enumerate().map(|(at, piece)| frame(DATA, u8::from(at == last), 1, piece));
        [vec![post("/wait", &[("content-length", length)])], frames.collect()].concat().concat()
    };
    let announced = frame(HEADERS, WHOLE, 1, &request("POST", "/bad", &[("content-length", "5")]));
    let good =
        [post("/good", &[("content-length", "4")]), frame(DATA, 0, 1, b"bo"), frame(DATA, 1, 1, b"dy")]
            .concat();
    vec![
        rule("8.1.1", "a length that is right", good, SERVED),
        rule("8.1.1", "a length less than the body", body("3", &[b"body"]), MALFORMED),
        rule("8.1.1", "a length more than the body", body("5", &[b"body"]), MALFORMED),
        rule("8.1.1", "a length more than all of the body", body("9", &[b"body", b"body"]), MALFORMED),
        rule("8.1.1", "a length less than all of the body", body("7", &[b"body", b"body"]), MALFORMED),
        rule("8.1.1", "a length and no body", announced, MALFORMED),
        rule("8.1.1", "a length that is no number", body("four", &[b"body"]), MALFORMED),
        rule(
            "8.1.1",
            "two lengths",
            [post("/wait", &[("content-length", "4"), ("content-length", "5")]), frame(DATA, 1, 1, b"body")]
                .concat(),
            MALFORMED,
        ),
    ]
}

fn names_and_values() -> Vec<Rule> {
    vec![
        rule("8.2.1", "a name in upper case", with("X-Name", "y"), MALFORMED),
        rule("8.2.1", "an empty name", with("", "y"), MALFORMED),
        rule("8.2.1", "a space in a name", with("x y", "z"), MALFORMED),
        rule("8.2.1", "a colon in a name", with("x:y", "z"), MALFORMED),
        rule("8.2.1", "a line end in a name", with("x\r\ny", "z"), MALFORMED),
        rule("8.2.1", "a byte beyond ASCII in a name", with_bytes(b"x\xff", b"z"), MALFORMED),
        rule("8.2.1", "a NUL in a value", with("x", "y\0z"), MALFORMED),
        rule("8.2.1", "a CR in a value", with("x", "y\rz"), MALFORMED),
        rule("8.2.1", "a line end in a value", with("x", "y\r\nhost: evil.test"), MALFORMED),
        rule("8.2.1", "a space before a value", with("x", " y"), MALFORMED),
        rule("8.2.1", "a space after a value", with("x", "y "), MALFORMED),
        rule(
            "8.2.1",
            "bytes beyond ASCII in a value",
            frame(HEADERS, WHOLE, 1, &[request("GET", "/good", &[]), literal(b"x", b"\xc3\xa4")].concat()),
            SERVED,
        ),
    ]
}

fn connection_fields() -> Vec<Rule> {
    vec![
        rule("8.2.2", "connection", with("connection", "close"), MALFORMED),
        rule("8.2.2", "keep-alive", with("keep-alive", "timeout=5"), MALFORMED),
        rule("8.2.2", "proxy-connection", with("proxy-connection", "close"), MALFORMED),
        rule("8.2.2", "transfer-encoding", with("transfer-encoding", "chunked"), MALFORMED),
        rule("8.2.2", "upgrade", with("upgrade", "h2c"), MALFORMED),
        rule("8.2.2", "te, other than trailers", with("te", "trailers, deflate;q=0.5"), MALFORMED),
        rule("8.2.2", "te: trailers", served_with("te", "trailers"), SERVED),
        rule(
            "8.2.3",
            "a cookie in pieces",
            frame(HEADERS, WHOLE, 1, &request("GET", "/good", &[("cookie", "a=b"), ("cookie", "c=d")])),
            SERVED,
        ),
    ]
}

fn pseudo() -> Vec<Rule> {
    vec![
        rule("8.3", "a pseudo-field that nobody knows", with(":unknown", "x"), MALFORMED),
        rule("8.3", "a pseudo-field of responses", with(":status", "200"), MALFORMED),
        rule(
            "8.3",
            "a pseudo-field after others",
            fields(&[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH]),
            MALFORMED,
        ),
        rule("8.3.1", "two methods", fields(&[METHOD, METHOD, SCHEME, PATH, AUTHORITY]), MALFORMED),
        rule("8.3.1", "two schemes", fields(&[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]), MALFORMED),
        rule("8.3.1", "two paths", fields(&[METHOD, SCHEME, PATH, PATH, AUTHORITY]), MALFORMED),
        rule("8.3.1", "two authorities", fields(&[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY]), MALFORMED),
        rule("8.3.1", "no method", fields(&[SCHEME, PATH, AUTHORITY]), MALFORMED),
        rule("8.3.1", "no scheme", fields(&[METHOD, PATH, AUTHORITY]), MALFORMED),
        rule("8.3.1", "no path", fields(&[METHOD, SCHEME, AUTHORITY]), MALFORMED),
        rule("8.3.1", "an empty path", fields(&[METHOD, SCHEME, (":path", ""), AUTHORITY]), MALFORMED),
        rule(
            "8.3.1",
            "a path without a slash",
            fields(&[METHOD, SCHEME, (":path", "bad"), AUTHORITY]),
            MALFORMED,
        ),
        rule(
            "8.3.1",
            "a path that is a whole target",
            fields(&[METHOD, SCHEME, (":path", "http://evil.test/bad"), AUTHORITY]),
            MALFORMED,
        ),
        rule(
            "8.3.1",
            "a path with a space",
            fields(&[METHOD, SCHEME, (":path", "/bad bad"), AUTHORITY]),
            MALFORMED,
        ),
        rule(
            "8.3.1",
            "a method that is no token",
            fields(&[(":method", "GE T"), SCHEME, PATH, AUTHORITY]),
            MALFORMED,
        ),
        rule(
            "8.3.1",
            "a scheme that is none",
            fields(&[METHOD, (":scheme", "ht tp"), PATH, AUTHORITY]),
            MALFORMED,
        ),
        rule(
            "8.5",
            "a tunnel with a path",
            fields(&[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY]),
            &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), Status(400), Status(501)],
        ),
        rule(
            "8.5",
            "a tunnel",
            fields(&[(":method", "CONNECT"), AUTHORITY]),
            &[Status(501), Stream(REFUSED_STREAM)],
        ),
    ]
}

fn authority() -> Vec<Rule> {
    let good = [METHOD, SCHEME, (":path", "/good")];
    let host = |more: &[(&str, &str)]| fields(&[&good[..], more].concat());
    vec![
        rule("8.3.1", "a host instead of an authority", host(&[("host", "acme.test")]), SERVED),
        rule("8.3.1", "a host that is the authority", host(&[AUTHORITY, ("host", "acme.test")]), SERVED),
        rule(
            "8.3.1",
            "a host that is not the authority",
            fields(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", "evil.test")]),
            MALFORMED,
        ),
        rule(
            "8.3.1",
            "two hosts",
            fields(&[METHOD, SCHEME, PATH, ("host", "acme.test"), ("host", "acme.test")]),
            MALFORMED,
        ),
        rule("8.3.1", "neither host nor authority", fields(&[METHOD, SCHEME, PATH]), MALFORMED),
        rule("8.3.1", "an empty authority", fields(&[METHOD, SCHEME, PATH, (":authority", "")]), MALFORMED),
        rule(
            "8.3.1",
            "an authority with a user",
            fields(&[METHOD, SCHEME, PATH, (":authority", "u:p@acme.test")]),
            MALFORMED,
        ),
    ]
}

fn compression() -> Vec<Rule> {
    let after = |more: &[u8]| frame(HEADERS, WHOLE, 1, &[&request("GET", "/bad", &[]), more].concat());
    let before = |more: &[u8]| frame(HEADERS, WHOLE, 1, &[more, &request("GET", "/bad", &[])].concat());
    // A literal whose name is `x`, and whose value is Huffman's code of these bytes.
    let huffman =
        |value: &[u8]| [&[0x00, 0x01, b'x', 0x80 | u8::try_from(value.len()).unwrap()][..], value].concat();
    vec![
        rule("RFC 7541, 2.3.3", "an index beyond both tables", after(&[0xbe]), COMPRESSION).but(BLUNT),
        rule(
            "RFC 7541, 2.3.3",
            "a name by an index beyond both tables",
            after(&[0x7e, 0x01, b'y']),
            COMPRESSION,
        )
        .but(BLUNT),
        rule("RFC 7541, 4.2", "a table beyond the setting", before(&[0x3f, 0xe2, 0x1f]), COMPRESSION)
            .but(BLUNT),
        rule("RFC 7541, 4.2", "a table's size in the middle", after(&[0x20]), COMPRESSION).but(BLUNT),
        rule(
            "RFC 7541, 5.1",
            "an integer without end",
            after(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            COMPRESSION,
        )
        .but(BLUNT),
        rule("RFC 7541, 5.1", "an integer that is cut", after(&[0xff, 0x80]), COMPRESSION).but(BLUNT),
        rule(
            "RFC 7541, 5.2",
            "a string longer than the block",
            after(&[0x00, 0x01, b'x', 0x20, b'y']),
            COMPRESSION,
        )
        .but(BLUNT),
        rule(
            "RFC 7541, 5.2",
            "Huffman's code with eight bits of padding",
            after(&huffman(&[0x1f, 0xff])),
            COMPRESSION,
        )
        .but(BLUNT),
        rule("RFC 7541, 5.2", "Huffman's code with padding of zeros", after(&huffman(&[0x18])), COMPRESSION)
            .but(BLUNT),
        rule(
            "RFC 7541, 5.2",
            "Huffman's code with its end in it",
            after(&huffman(&[0xff, 0xff, 0xff, 0xff])),
            COMPRESSION,
        )
        .but(BLUNT),
        rule("RFC 7541, 6.1", "the index 0", after(&[0x80]), COMPRESSION).but(BLUNT),
        rule(
            "RFC 7541, 6.3",
            "a table made empty, and a request",
            frame(HEADERS, WHOLE, 1, &[&[0x20][..], &request("GET", "/good", &[])].concat()),
            SERVED,
        ),
        rule("9113, 4.3", "a block that is cut in a field", after(&[0x40]), COMPRESSION).but(BLUNT),
    ]
}
