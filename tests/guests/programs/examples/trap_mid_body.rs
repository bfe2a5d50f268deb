//! Announces 1,000 bytes, sends `?after=` of them (500), waits `?ms=` milliseconds (20) so that they are on their way,
//! and traps.

use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let (after, pause) = (query_number(&request, "after", 500), query_number(&request, "ms", 20));
    let body = Body::stream(move |mut out| async move {
        out.write(vec![b'x'; after as usize]).await?;
        wasip3::clocks::monotonic_clock::wait_for(pause.saturating_mul(1_000_000)).await;
        panic!("trapped on purpose")
    });
    let mut response = body.into_response();
    response.headers_mut().insert("content-length", HeaderValue::from_static("1000"));
    response
}

serve!(handle);
