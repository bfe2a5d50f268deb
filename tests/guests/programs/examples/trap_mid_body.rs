//! Announces 1,000 bytes, sends `?after=` of them (500), and traps.

use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let after = query_number(&request, "after", 500);
    let body = Body::stream(move |mut out| async move {
        out.write(vec![b'x'; after as usize]).await?;
        panic!("trapped on purpose")
    });
    let mut response = body.into_response();
    response.headers_mut().insert("content-length", HeaderValue::from_static("1000"));
    response
}

serve!(handle);
