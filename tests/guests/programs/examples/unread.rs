//! Written for `wasi:http` 0.2: answers in two writes without a length and is done, whether or not anybody reads. Takes
//! a write that fails for a reason to give up.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Guest;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a stream");
        for _ in 0..2 {
            stream.blocking_write_and_flush(b"some bytes\n").expect("a write");
        }
        drop(stream);
        OutgoingBody::finish(body, None).expect("an end");
    }
}

wasip2::http::proxy::export!(Guest);
