//! Says back which trailers stood at the end of the request's body.

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Guest;

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let text = trailers(&request).unwrap_or_else(|| "a broken body\n".to_owned());
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("a body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a stream");
        for piece in text.as_bytes().chunks(4_096) {
            stream.blocking_write_and_flush(piece).expect("a write");
        }
        drop(stream);
        OutgoingBody::finish(body, None).expect("an end");
    }
}

fn trailers(request: &IncomingRequest) -> Option<String> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    while stream.blocking_read(65_536).is_ok() {}
    drop(stream);
    let ending = IncomingBody::finish(body);
    ending.subscribe().block();
    let trailers = ending.get()?.ok()?.ok()?;
    let fields = trailers.map(|trailers| trailers.entries()).unwrap_or_default();
    let lines = fields.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
    Some(format!("{} trailers\n{}", fields.len(), lines.collect::<String>()))
}

wasip2::http::proxy::export!(Guest);
