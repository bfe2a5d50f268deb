//! What may come on a stream in which state, and which numbers streams have (RFC 9113, sections 5.1 to 5.4).

use super::{Answer, Answer::*, BLUNT, OVER, PROTOCOL, Rule, SERVED, rule};
use testkit::http2::*;

/// A frame on a stream that was never opened.
const IDLE: &[Answer] = PROTOCOL;
/// A head on a stream that is over, which is also a number below the last (5.1.1).
const OVER_OR_OLD: &[Answer] =
    &[Connection(STREAM_CLOSED), Connection(PROTOCOL_ERROR), Stream(STREAM_CLOSED)];
const IGNORED: &[Answer] = &[GoesOn];

pub(super) fn rules() -> Vec<Rule> {
    [idle(), half_closed(), reset_by_the_client(), over(), numbers()].into_iter().flatten().collect()
}

fn good(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/good", &[]))
}

fn waiting(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/wait", &[]))
}

fn bad(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", "/bad", &[]))
}

fn data(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, b"x")
}

fn priority(stream: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 9])
}

fn idle() -> Vec<Rule> {
    vec![
        rule("5.1", "idle: data", data(1), IDLE),
        rule("5.1", "idle: a reset", reset(1, CANCEL), IDLE),
        rule("5.1", "idle: a window", window(1, 9), IDLE),
        rule("5.1", "idle: a continuation", frame(CONTINUATION, END_HEADERS, 1, &[]), IDLE),
        rule("5.1", "idle: a priority", priority(1), IGNORED),
    ]
}

fn half_closed() -> Vec<Rule> {
    let then = |more: Vec<u8>| [waiting(1), more].concat();
    vec![
        rule("5.1", "half-closed: data", then(data(1)), OVER).but(BLUNT),
        rule("5.1", "half-closed: a head", then(bad(1)), OVER).but(BLUNT),
        rule(
            "5.1",
            "half-closed: a continuation",
            then(frame(CONTINUATION, END_HEADERS, 1, &[])),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        ),
        rule("5.1", "half-closed: a window", then(window(1, 9)), IGNORED),
        rule("5.1", "half-closed: a priority", then(priority(1)), IGNORED),
        rule("5.1", "half-closed: a reset", then(reset(1, CANCEL)), IGNORED),
    ]
}

fn reset_by_the_client() -> Vec<Rule> {
    let then = |more: Vec<u8>| [waiting(1), reset(1, CANCEL), more].concat();
    vec![
        rule("5.1", "reset: data", then(data(1)), OVER),
        rule("5.1", "reset: a head", then(bad(1)), OVER_OR_OLD),
        rule("5.1", "reset: another reset", then(reset(1, CANCEL)), IGNORED),
        rule("5.1", "reset: a window", then(window(1, 9)), &[GoesOn, Stream(STREAM_CLOSED)]),
        rule("5.1", "reset: a priority", then(priority(1)), IGNORED),
        rule("5.1", "reset: the next stream", then(good(3)), SERVED),
    ]
}

fn over() -> Vec<Rule> {
    vec![
        rule("5.1", "closed: data", data(1), OVER).after(good(1)),
        rule("5.1", "closed: a head", bad(1), OVER_OR_OLD).after(good(1)),
        rule(
            "5.1",
            "closed: a continuation",
            frame(CONTINUATION, END_HEADERS, 1, &[]),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        )
        .after(good(1)),
        rule("5.1", "closed: a window", window(1, 9), IGNORED).after(good(1)),
        rule("5.1", "closed: a priority", priority(1), IGNORED).after(good(1)),
        rule("5.1", "closed: a reset", reset(1, CANCEL), IGNORED).after(good(1)),
    ]
}

fn numbers() -> Vec<Rule> {
    // No room for any answer: so each stays open, and the host has nothing to do for them.
    let unknown =
        block(&[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "none.test")]);
    let many: Vec<u8> =
        (0..101).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &unknown)).collect();
    let crowd = [settings(&[(INITIAL_WINDOW_SIZE, 0)]), many].concat();
    vec![
        rule("5.1.1", "a stream of an even number", bad(2), PROTOCOL),
        rule("5.1.1", "a stream of a number below the last", [waiting(5), bad(3)].concat(), PROTOCOL),
        rule("5.1.1", "a stream of the greatest number", good(0x7fff_ffff), SERVED),
        rule("5.1.1", "numbers left out", good(1_001), SERVED),
        rule(
            "5.1.2",
            "more streams than there may be",
            crowd,
            &[Stream(REFUSED_STREAM), Stream(PROTOCOL_ERROR)],
        ),
    ]
}
