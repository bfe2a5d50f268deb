//! Answers with `?n=` headers (10,000) of `?bytes=` bytes (100) each.

use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let mut response = "many headers\n".into_response();
    let value = "x".repeat(query_number(&request, "bytes", 100) as usize);
    for number in 0..query_number(&request, "n", 10_000) {
        let name = HeaderName::from_bytes(format!("x-{number}").as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

serve!(handle);
