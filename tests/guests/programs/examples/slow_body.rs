//! Sends `?n=` bytes (10), each after `?ms=` milliseconds (100).

use test_guests::prelude::*;

async fn handle(request: Request) -> Body {
    let (count, pause) = (query_number(&request, "n", 10), query_number(&request, "ms", 100));
    Body::stream(move |mut out| async move {
        for _ in 0..count {
            wasip3::clocks::monotonic_clock::wait_for(pause.saturating_mul(1_000_000)).await;
            out.write("x").await?;
        }
        Ok(())
    })
}

serve!(handle);
