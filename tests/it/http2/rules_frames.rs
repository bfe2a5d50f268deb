//! The frames themselves: preface, sizes, and each type by its own section (RFC 9113, sections 3 to 6).

use super::{Answer, Answer::*, BLUNT, PROTOCOL, Rule, SERVED, rule};
use testkit::http2::*;

const FRAME_SIZE: &[Answer] = &[Connection(FRAME_SIZE_ERROR)];
/// A frame of a wrong size that changes only its stream (4.2).
const FRAME_SIZE_OF_STREAM: &[Answer] = &[Stream(FRAME_SIZE_ERROR), Connection(FRAME_SIZE_ERROR)];
const IGNORED: &[Answer] = &[GoesOn];

pub(super) fn rules() -> Vec<Rule> {
    [
        preface(),
        sizes(),
        data(),
        headers(),
        priority_and_reset(),
        of_settings(),
        ping_and_goaway(),
        windows(),
        continuation(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A request that goes well.
fn good(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/good", &[]))
}

/// A request that waits for its answer.
fn waiting(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/wait", &[]))
}

/// A request whose body is to come.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", "/wait", &[]))
}

fn preface() -> Vec<Rule> {
    let wrong = b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec();
    let ping = [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat();
    let late = [PREFACE, &settings(&[]), &good(1)].concat();
    vec![
        rule("3.4", "a wrong preface", wrong, &[Closed, Http1(400), Connection(PROTOCOL_ERROR)]).raw(),
        rule("3.4", "a preface without settings behind it", ping, PROTOCOL)
            .but((
                GoesOn,
                "the h2 crate takes other frames before SETTINGS; until they come, their defaults hold",
            ))
            .raw(),
        rule("3.4", "a preface in time", late, SERVED).raw(),
        rule(
            "3.4",
            "a second preface",
            PREFACE.to_vec(),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
    ]
}

fn sizes() -> Vec<Rule> {
    let whole = vec![b'x'; 16_384];
    let more = vec![b'x'; 16_385];
    let padded = [open(1), frame(DATA, END_STREAM, 1, &whole)].concat();
    vec![
        rule(
            "4.1",
            "a frame of a type that nobody knows",
            [frame(0x7f, 0xff, 0, b"?"), good(1)].concat(),
            SERVED,
        ),
        rule(
            "4.1",
            "flags that nobody knows",
            frame(HEADERS, WHOLE | 0xc0, 1, &request("GET", "/good", &[])),
            SERVED,
        ),
        rule("4.1", "the reserved bit", frame(PING, 0, 0x8000_0000, &[0; 8]), IGNORED),
        rule("4.2", "data of the greatest size", padded, IGNORED),
        rule(
            "4.2",
            "data beyond the greatest size",
            [open(1), frame(DATA, 0, 1, &more)].concat(),
            FRAME_SIZE_OF_STREAM,
        ),
        rule("4.2", "headers beyond the greatest size", frame(HEADERS, WHOLE, 1, &more), FRAME_SIZE),
        rule("4.2", "settings beyond the greatest size", frame(SETTINGS, 0, 0, &[0; 16_386]), FRAME_SIZE),
        rule("4.2", "a frame of no type beyond the greatest size", frame(0x7f, 0, 0, &more), FRAME_SIZE),
    ]
}

fn data() -> Vec<Rule> {
    let padded = [&[3][..], b"body", &[0; 3]].concat();
    let post = |frame: Vec<u8>| {
        [self::frame(HEADERS, END_HEADERS, 1, &request("POST", "/good", &[])), frame].concat()
    };
    vec![
        rule("6.1", "data of no stream", frame(DATA, 0, 0, b"x"), PROTOCOL),
        rule("6.1", "data with padding", post(frame(DATA, END_STREAM | PADDED, 1, &padded)), SERVED),
        rule(
            "6.1",
            "data that is all padding",
            post(frame(DATA, END_STREAM | PADDED, 1, &[3, 0, 0, 0])),
            SERVED,
        ),
        rule(
            "6.1",
            "padding as long as the frame",
            [open(1), frame(DATA, PADDED, 1, &[4, 0, 0, 0])].concat(),
            PROTOCOL,
        ),
        rule(
            "6.1",
            "padding longer than the frame",
            [open(1), frame(DATA, PADDED, 1, &[255, 0])].concat(),
            PROTOCOL,
        ),
        rule(
            "6.1",
            "padding without a length",
            [open(1), frame(DATA, PADDED, 1, &[])].concat(),
            &[Connection(PROTOCOL_ERROR), Connection(FRAME_SIZE_ERROR)],
        ),
    ]
}

fn headers() -> Vec<Rule> {
    let block = request("GET", "/bad", &[]);
    let padding = [&[255][..], &block].concat();
    let padded = [&[2][..], &request("GET", "/good", &[]), &[0, 0]].concat();
    let weighted = [&[0, 0, 0, 0, 15][..], &request("GET", "/good", &[])].concat();
    let itself = [&[0, 0, 0, 1, 15][..], &request("GET", "/bad", &[])].concat();
    vec![
        rule("6.2", "headers of no stream", frame(HEADERS, WHOLE, 0, &block), PROTOCOL),
        rule("6.2", "headers with padding", frame(HEADERS, WHOLE | PADDED, 1, &padded), SERVED),
        rule(
            "6.2",
            "headers with padding longer than the frame",
            frame(HEADERS, WHOLE | PADDED, 1, &padding),
            PROTOCOL,
        ),
        rule("6.2", "headers with a priority", frame(HEADERS, WHOLE | PRIORITISED, 1, &weighted), SERVED),
        rule(
            "6.2",
            "headers too short for their priority",
            frame(HEADERS, WHOLE | PRIORITISED, 1, &[0, 0]),
            &[Connection(FRAME_SIZE_ERROR), Connection(PROTOCOL_ERROR)],
        ),
        rule(
            "RFC 7540, 5.3.1",
            "headers that depend on themselves",
            frame(HEADERS, WHOLE | PRIORITISED, 1, &itself),
            &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)],
        ),
    ]
}

fn priority_and_reset() -> Vec<Rule> {
    vec![
        rule("6.3", "a priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL),
        rule("6.3", "a priority of an idle stream", frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 9]), IGNORED),
        rule(
            "6.3",
            "a priority of four bytes",
            [waiting(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            FRAME_SIZE_OF_STREAM,
        )
        .but(BLUNT),
        rule(
            "RFC 7540, 5.3.1",
            "a priority that depends on itself",
            [waiting(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])].concat(),
            &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), GoesOn],
        ),
        rule("6.4", "a reset of no stream", reset(0, CANCEL), PROTOCOL),
        rule("6.4", "a reset of an idle stream", reset(1, CANCEL), PROTOCOL),
        rule(
            "6.4",
            "a reset of three bytes",
            [waiting(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            FRAME_SIZE,
        )
        .but(BLUNT),
        rule(
            "6.4",
            "a reset with a code that nobody knows",
            [waiting(1), reset(1, 0xffff)].concat(),
            IGNORED,
        ),
    ]
}

fn of_settings() -> Vec<Rule> {
    vec![
        rule(
            "6.5",
            "an acknowledgement with settings in it",
            frame(SETTINGS, ACK, 0, &[0, 4, 0, 0, 0, 9]),
            FRAME_SIZE,
        )
        .but(BLUNT),
        rule("6.5", "settings of a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL),
        rule("6.5", "settings of seven bytes", frame(SETTINGS, 0, 0, &[0; 7]), FRAME_SIZE).but(BLUNT),
        rule("6.5.2", "push that is neither on nor off", settings(&[(ENABLE_PUSH, 2)]), PROTOCOL),
        rule(
            "6.5.2",
            "a window beyond 2^31-1",
            settings(&[(INITIAL_WINDOW_SIZE, 0x8000_0000)]),
            &[Connection(FLOW_CONTROL_ERROR)],
        )
        .but(BLUNT),
        rule("6.5.2", "frames smaller than 16,384", settings(&[(MAX_FRAME_SIZE, 16_383)]), PROTOCOL),
        rule("6.5.2", "frames greater than 2^24-1", settings(&[(MAX_FRAME_SIZE, 1 << 24)]), PROTOCOL),
        rule("6.5.2", "a setting that nobody knows", [settings(&[(0xfefe, 7)]), good(1)].concat(), SERVED),
        rule(
            "6.5.3",
            "one setting twice",
            [settings(&[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 65_535)]), good(1)].concat(),
            SERVED,
        ),
        rule(
            "6.5.3",
            "an acknowledgement of nothing",
            frame(SETTINGS, ACK, 0, &[]),
            &[GoesOn, Connection(PROTOCOL_ERROR)],
        ),
        rule(
            "6.6",
            "a promise by a client",
            [waiting(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
            PROTOCOL,
        ),
    ]
}

fn ping_and_goaway() -> Vec<Rule> {
    vec![
        rule("6.7", "a ping of a stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL),
        rule("6.7", "a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE).but(BLUNT),
        rule("6.7", "a ping of nine bytes", frame(PING, 0, 0, &[0; 9]), FRAME_SIZE).but(BLUNT),
        rule("6.7", "an answer to no ping", frame(PING, ACK, 0, &[0; 8]), IGNORED),
        rule("6.8", "a farewell of a stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL),
        rule("6.8", "a farewell of seven bytes", frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE).but(BLUNT),
    ]
}

fn windows() -> Vec<Rule> {
    let most = 0x7fff_ffff;
    let flow: &[Answer] = &[Stream(FLOW_CONTROL_ERROR), Connection(FLOW_CONTROL_ERROR)];
    let piece = frame(DATA, 0, 1, &[b'x'; 16_384]);
    vec![
        rule("6.9", "a window of a connection that grows by nothing", window(0, 0), PROTOCOL),
        rule(
            "6.9",
            "a window of a stream that grows by nothing",
            [waiting(1), window(1, 0)].concat(),
            &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)],
        ),
        rule("6.9", "a window update of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), FRAME_SIZE)
            .but(BLUNT),
        rule("6.9", "the reserved bit of a window", window(0, 0x8000_0001), IGNORED),
        rule(
            "6.9.1",
            "a connection's window beyond 2^31-1",
            [window(0, most), window(0, most)].concat(),
            &[Connection(FLOW_CONTROL_ERROR)],
        ),
        rule("6.9.1", "a stream's window beyond 2^31-1", [waiting(1), window(1, most)].concat(), flow),
        rule("6.9.1", "more data than the window has room for", [open(1), piece.repeat(20)].concat(), flow),
        rule(
            "6.9.2",
            "a setting that takes a stream's window beyond 2^31-1",
            [waiting(1), window(1, most - 65_535), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])].concat(),
            &[Connection(FLOW_CONTROL_ERROR)],
        ),
        rule(
            "6.9.2",
            "a window that a setting makes negative",
            [waiting(1), settings(&[(INITIAL_WINDOW_SIZE, 0)]), window(1, 5)].concat(),
            IGNORED,
        ),
    ]
}

fn continuation() -> Vec<Rule> {
    let block = request("GET", "/bad", &[]);
    let (begin, rest) = block.split_at(10);
    let head = frame(HEADERS, END_STREAM, 1, begin);
    let whole = request("GET", "/good", &[]);
    let pieces: Vec<u8> = whole.chunks(20).flat_map(|piece| frame(CONTINUATION, 0, 1, piece)).collect();
    let slowly =
        [frame(HEADERS, END_STREAM, 1, &[]), pieces, frame(CONTINUATION, END_HEADERS, 1, &[])].concat();
    let then =
        |kind, flags, stream, payload: &[u8]| [head.clone(), frame(kind, flags, stream, payload)].concat();
    vec![
        rule("6.10", "a head in many pieces", slowly, SERVED),
        rule("6.10", "a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, rest), PROTOCOL),
        rule(
            "6.10",
            "a continuation of a whole head",
            [waiting(1), frame(CONTINUATION, END_HEADERS, 1, rest)].concat(),
            PROTOCOL,
        ),
        rule("6.10", "a continuation of no stream", then(CONTINUATION, END_HEADERS, 0, rest), PROTOCOL),
        rule("6.10", "a continuation of another stream", then(CONTINUATION, END_HEADERS, 3, rest), PROTOCOL),
        rule("6.10", "data within a head", then(DATA, 0, 1, b"x"), PROTOCOL),
        rule("6.10", "a ping within a head", then(PING, 0, 0, &[0; 8]), PROTOCOL),
        rule("6.10", "another head within a head", then(HEADERS, WHOLE, 3, &block), PROTOCOL),
        rule("5.5", "a frame of no type within a head", then(0x7f, 0, 0, b"?"), PROTOCOL),
    ]
}
