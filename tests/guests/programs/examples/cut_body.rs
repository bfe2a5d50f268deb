//! Sends a piece of its body, then gives it up without a trap: what arrived must not look whole.

use test_guests::prelude::*;

async fn handle(_: Request) -> Body {
    Body::stream(|mut out| async move {
        out.write("the first half").await?;
        Err(Closed)
    })
}

serve!(handle);
