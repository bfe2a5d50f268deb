//! Frames written by hand, because no client library floods.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET / http a`, in HPACK's static table, as a whole request.
fn headers(stream: u32, flags: u8) -> Vec<u8> {
    frame(1, flags, stream, &[0x82, 0x84, 0x86, 0x41, 0x01, b'a'])
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Writes this after preface and settings, and reads until the server closes. Returns the reason that it gave for it.
async fn flood(listener: &Listener, frames: Vec<u8>) -> Option<u32> {
    let stream = connect(listener).await;
    let (mut read, mut write) = stream.into_split();
    let writer = tokio::spawn(async move {
        // The server may close before all of it is written; that is what is wanted.
        let _ = write.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await;
        let _ = write.write_all(&frames).await;
        write
    });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    drop(writer.await.unwrap());
    goaway(&answer)
}

/// The error code of the last GOAWAY frame.
fn goaway(mut answer: &[u8]) -> Option<u32> {
    let mut reason = None;
    while let Some((head, rest)) = answer.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, next)) = rest.split_at_checked(length) else { break };
        if head[3] == 7 {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        answer = next;
    }
    reason
}

/// What a server says to a client that asks for too much (RFC 9113, section 7).
const ENHANCE_YOUR_CALM: Option<u32> = Some(11);

/// Never answers, so that nothing but the bounds can end a stream.
fn silent() -> Listener {
    start(ListenerOptions::default(), |_, _| std::future::pending())
}

#[tokio::test]
async fn a_client_that_resets_what_it_opens_is_cut_off() {
    let listener = silent();
    let reset = |stream| {
        [headers(stream, END_STREAM | END_HEADERS), frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let reason = flood(&listener, (0..5_000).flat_map(|number| reset(2 * number + 1)).collect()).await;
    assert_eq!(reason, ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn a_client_that_provokes_resets_is_cut_off() {
    let listener = silent();
    // A window beyond its greatest size is an error of the stream, which the server has to reset.
    let provoked = |stream| {
        [headers(stream, END_STREAM | END_HEADERS), frame(8, 0, stream, &0x7fff_ffff_u32.to_be_bytes())]
            .concat()
    };
    let reason = flood(&listener, (0..5_000).flat_map(|number| provoked(2 * number + 1)).collect()).await;
    assert_eq!(reason, ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_is_cut_off() {
    let listener = silent();
    // Each continuation brings one field that is in no table: the list grows without end.
    let field = [[0x00, 0x01, b'x', 0x7f, 0x80, 0x07].as_slice(), &[b'y'; 1_023]].concat();
    let more = (0..2_000).flat_map(|_| frame(9, 0, 1, &field));
    let reason = flood(&listener, headers(1, 0).into_iter().chain(more).collect()).await;
    assert_eq!(reason, ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn a_head_that_stalls_in_http2_is_cut_off() {
    let listener = start(quick(), |_, _| std::future::pending());
    let reason = flood(&listener, headers(1, 0)).await;
    assert_eq!(reason, Some(0), "an idle connection ends in order");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut_off() {
    let mut options = ListenerOptions::default();
    options.http2.ping = Duration::from_millis(20);
    options.http2.ping_answer = Duration::from_millis(20);
    let listener = start(options, |_, _| std::future::pending());
    flood(&listener, headers(1, END_STREAM | END_HEADERS)).await;
}
