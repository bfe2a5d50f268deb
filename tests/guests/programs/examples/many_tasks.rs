//! Starts `?n=` tasks (100,000) that each wait for ever, and says how many.

use test_guests::prelude::*;

async fn handle(request: Request) -> String {
    let count = query_number(&request, "n", 100_000);
    for _ in 0..count {
        wasip3::spawn(async {
            wasip3::clocks::monotonic_clock::wait_for(u64::MAX / 2).await;
        });
    }
    // The tasks begin only when this one waits.
    wasip3::clocks::monotonic_clock::wait_for(1).await;
    format!("{count} tasks\n")
}

serve!(handle);
