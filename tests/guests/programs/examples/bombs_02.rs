//! Written for `wasi:http` 0.2; goes on with one thing for ever, by `?kind=`: polls what is ready, one or 500 at a
//! time; makes timers or handles and never gives one back. Or does once what it must not: `overrun` writes more than
//! the host said it takes, `unfinished` gives up a body, `twice` answers twice, `silent` not at all.

use std::hint::black_box;
use std::mem::forget;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::poll::poll;
use wasip2::random::random::get_random_bytes;

struct Guest;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        match target.rsplit_once("kind=").map(|(_, kind)| kind) {
            Some("poll") => {
                let ready = subscribe_duration(0);
                loop {
                    black_box(poll(&[&ready]));
                }
            }
            Some("poll-many") => {
                let ready: Vec<_> = (0..500).map(|_| subscribe_duration(0)).collect();
                let ready: Vec<_> = ready.iter().collect();
                loop {
                    black_box(poll(&ready));
                }
            }
            Some("pollables") => loop {
                forget(subscribe_duration(u64::MAX / 2));
            },
            Some("fields") => loop {
                forget(Fields::new());
            },
            Some("random-bytes") => forget(get_random_bytes(1 << 30)),
            Some("endless") => {
                let body = answer(out);
                let stream = body.write().expect("a stream");
                while stream.blocking_write_and_flush(b"and more\n").is_ok() {}
            }
            Some("overrun") => {
                let body = answer(out);
                let stream = body.write().expect("a stream");
                for _ in 0..1_000 {
                    stream.write(&[b'x'; 65_536]).expect("a write");
                }
            }
            Some("unfinished") => {
                let body = answer(out);
                body.write().expect("a stream").blocking_write_and_flush(b"half\n").expect("a write");
            }
            Some("twice") => {
                let body = answer(out);
                subscribe_duration(20_000_000).block();
                // SAFETY: the number of a handle that is used up: what the host makes of it is the question.
                let gone = unsafe { ResponseOutparam::from_handle(1) };
                drop(answer(gone));
                drop(body);
            }
            _ => {}
        }
    }
}

fn answer(out: ResponseOutparam) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    body
}

wasip2::http::proxy::export!(Guest);
