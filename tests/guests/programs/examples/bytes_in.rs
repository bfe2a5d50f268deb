//! Takes the whole request body and says its length. `?read=no` answers without reading it.

use test_guests::prelude::*;
use tollgate_sdk::http::Error;

async fn handle(request: Request) -> Result<String, Error> {
    let mut length = 0;
    if query_value(&request, "read").as_deref() != Some("no") {
        let mut body = request.into_body();
        while let Some(piece) = body.chunk().await? {
            length += piece.len();
        }
    }
    Ok(format!("{length} bytes\n"))
}

serve!(handle);
