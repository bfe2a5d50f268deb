//! Works and never stops. `?in=body` starts to do so only after the head and a first piece.

use test_guests::prelude::*;
use test_guests::spin;

async fn handle(request: Request) -> Response {
    if query_value(&request, "in").as_deref() == Some("body") {
        return Body::stream(|mut out| async move {
            out.write("begun\n").await?;
            // Let it go first.
            wasip3::clocks::monotonic_clock::wait_for(20_000_000).await;
            spin()
        })
        .into_response();
    }
    spin()
}

serve!(handle);
