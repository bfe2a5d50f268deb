//! Sends `?n=` bytes (1,000,000) in pieces of `?piece=` (65,536).

use test_guests::prelude::*;

async fn handle(request: Request) -> Body {
    let mut left = query_number(&request, "n", 1_000_000);
    let piece = query_number(&request, "piece", 65_536).max(1);
    Body::stream(move |mut out| async move {
        while left > 0 {
            let now = left.min(piece);
            out.write(vec![b'x'; now as usize]).await?;
            left -= now;
        }
        Ok(())
    })
}

serve!(handle);
