//! Written for `wasi:http` 0.2; does one thing, by its path: `/ask` asks what stands behind `to=` and says the status or
//! the error; `/trap` traps before it answers, `/cut` in the middle; `/slow` waits between two pieces; `/given` says
//! its environment; `/print` writes two lines to its standard output; `/count` says how many requests its instance had;
//! `/long` answers more than it announces, `/short` less, `/large` announces a megabyte; `/error` answers with an
//! error code.

use std::cell::Cell;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
}

struct Ways;

impl wasip2::exports::http::incoming_handler::Guest for Ways {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        REQUESTS.set(REQUESTS.get() + 1);
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/ask" => answer(out, &[&ask(query.trim_start_matches("to="))], None),
            "/trap" => panic!("as told"),
            "/cut" => {
                let (body, stream) = begin(out, None);
                stream.blocking_write_and_flush(b"half\n").expect("a write");
                subscribe_duration(20_000_000).block();
                drop((body, stream));
                panic!("as told");
            }
            "/slow" => {
                let (body, stream) = begin(out, None);
                stream.blocking_write_and_flush(b"one\n").expect("a write");
                subscribe_duration(300_000_000).block();
                stream.blocking_write_and_flush(b"two\n").expect("a write");
                drop(stream);
                let _ = OutgoingBody::finish(body, None);
            }
            "/given" => {
                let all: Vec<String> =
                    std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
                answer(out, &[&all.concat()], None);
            }
            "/print" => {
                println!("a line\nand \u{1b}[31manother");
                answer(out, &["printed\n"], None);
            }
            "/count" => answer(out, &[&format!("{}\n", REQUESTS.get())], None),
            "/long" => answer(out, &["longer than four"], Some(4)),
            "/short" => answer(out, &["shorter"], Some(400)),
            "/large" => answer(out, &["and so on"], Some(1_000_000)),
            "/error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(None))),
            _ => answer(out, &["ways\n"], None),
        }
    }
}

type Begun = (OutgoingBody, wasip2::io::streams::OutputStream);

fn begin(out: ResponseOutparam, length: Option<usize>) -> Begun {
    let headers = Fields::new();
    if let Some(length) = length {
        headers.set("content-length", &[length.to_string().into_bytes()]).expect("a header");
    }
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a stream");
    (body, stream)
}

fn answer(out: ResponseOutparam, pieces: &[&str], length: Option<usize>) {
    let (body, stream) = begin(out, length);
    for piece in pieces {
        if stream.blocking_write_and_flush(piece.as_bytes()).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The status that an URL is answered with, and how many bytes came; or why it was not.
fn ask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "no url\n".to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    match outgoing_handler::handle(request, None).and_then(|pending| {
        pending.subscribe().block();
        pending.get().expect("it is there").expect("it is taken once")
    }) {
        Ok(response) => {
            let body = response.consume().expect("a body");
            let stream = body.stream().expect("a stream");
            let mut bytes = 0;
            while let Ok(piece) = stream.blocking_read(64 << 10) {
                bytes += piece.len();
            }
            format!("{} with {bytes} bytes\n", response.status())
        }
        Err(code) => format!("{code:?}\n"),
    }
}

wasip2::http::proxy::export!(Ways);
