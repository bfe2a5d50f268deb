//! Waits on a clock and never answers. `?ms=100` waits that long and then does.

use std::time::Duration;
use test_guests::prelude::*;

async fn handle(request: Request) -> &'static str {
    std::thread::sleep(Duration::from_millis(query_number(&request, "ms", u64::MAX / 2_000_000)));
    "awake\n"
}

serve!(handle);
