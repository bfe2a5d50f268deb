//! Answers at once and goes on: `?then=` spin, trap, wait (on a clock, for ever), or else a task that nothing wakes.

use test_guests::prelude::*;
use test_guests::spin;

async fn handle(request: Request) -> &'static str {
    let then = query_value(&request, "then");
    wasip3::spawn(async move {
        // Let the response go first.
        wasip3::clocks::monotonic_clock::wait_for(20_000_000).await;
        match then.as_deref() {
            Some("spin") => spin(),
            Some("trap") => panic!("trapped on purpose"),
            Some("wait") => wasip3::clocks::monotonic_clock::wait_for(u64::MAX / 2).await,
            _ => std::future::pending().await,
        }
    });
    "answered\n"
}

serve!(handle);
