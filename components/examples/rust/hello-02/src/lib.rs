//! The smallest app without the SDK: `wasi:http` 0.2 through the crate `wasip2`, as many existing components are.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let text = format!("hello from {path} (wasi:http 0.2, Rust)\n");
        let headers = Fields::new();
        // A header that the host refuses is left out: the text is readable all the same.
        let _ = headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]);
        let _ = headers.set("content-length", &[text.len().to_string().into_bytes()]);
        let response = OutgoingResponse::new(headers);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            send(body, text.as_bytes());
        }
    }
}

/// Writes everything and ends the body. A client that has left takes less, which is no concern of ours.
fn send(body: OutgoingBody, text: &[u8]) {
    if let Ok(stream) = body.write() {
        // One call takes at most 4,096 bytes.
        for piece in text.chunks(4096) {
            if stream.blocking_write_and_flush(piece).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Hello);
