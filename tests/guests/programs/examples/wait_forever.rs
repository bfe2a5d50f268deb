//! Waits on a clock without blocking: the host holds the task, and no guest code is on the stack.

use test_guests::prelude::*;

async fn handle(request: Request) -> &'static str {
    let nanoseconds = query_number(&request, "ms", u64::MAX / 2_000_000).saturating_mul(1_000_000);
    wasip3::clocks::monotonic_clock::wait_for(nanoseconds).await;
    "awake\n"
}

serve!(handle);
