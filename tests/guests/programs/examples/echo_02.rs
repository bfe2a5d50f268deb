//! As `echo`, written for `wasi:http` 0.2: says back method, target and headers, sorted, then the body as it arrives.

use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Echo;

impl wasip2::exports::http::incoming_handler::Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a stream");
        if send(&stream, head(&request).as_bytes()).is_ok() && copy(&request, &stream).is_ok() {
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn head(request: &IncomingRequest) -> String {
    let method = match request.method() {
        Method::Other(other) => other,
        known => format!("{known:?}").trim_start_matches("Method::").to_ascii_uppercase(),
    };
    let scheme = if matches!(request.scheme(), Some(Scheme::Https)) { "https" } else { "http" };
    let (authority, path) = (request.authority(), request.path_with_query());
    let target = format!("{scheme}://{}{}", authority.unwrap_or_default(), path.unwrap_or_default());
    let fields = request.headers().entries();
    let mut lines: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(&value)))
        .collect();
    lines.sort();
    format!("{method} {target}\n{}\n", lines.concat())
}

fn copy(request: &IncomingRequest, to: &OutputStream) -> Result<(), StreamError> {
    let body = request.consume().expect("the request's body");
    let from = body.stream().expect("a stream");
    loop {
        match from.blocking_read(64 << 10) {
            Ok(bytes) => send(to, &bytes)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(failed) => return Err(failed),
        }
    }
}

/// One call takes at most 4,096 bytes.
fn send(to: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes.chunks(4096).try_for_each(|piece| to.blocking_write_and_flush(piece))
}

wasip2::http::proxy::export!(Echo);
