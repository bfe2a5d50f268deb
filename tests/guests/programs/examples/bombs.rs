//! Goes on with one thing for ever, by `?kind=`: asks for the time or for random numbers; makes handles, streams,
//! futures or timers and never gives one back; waits for no time at all. `random-bytes` asks once for `?n=` (2^30).

use std::hint::black_box;
use std::mem::forget;
use test_guests::prelude::*;
use wasip3::clocks::monotonic_clock::{now, wait_for};
use wasip3::http::types::{ErrorCode, Fields, Trailers};
use wasip3::random::random::{get_random_bytes, get_random_u64};
use wasip3::{wit_future, wit_stream};

async fn handle(request: Request) -> String {
    let count = query_number(&request, "n", 1 << 30);
    match query_value(&request, "kind").as_deref() {
        Some("clocks") => loop {
            black_box(now());
        },
        Some("random") => loop {
            black_box(get_random_u64());
        },
        Some("random-bytes") => format!("{} bytes\n", get_random_bytes(count).len()),
        Some("fields") => loop {
            forget(Fields::new());
        },
        Some("one-fields") => {
            let fields = Fields::new();
            loop {
                // A set of fields that is full says so.
                let _ = fields.append("x-more", b"and more");
            }
        }
        Some("streams") => loop {
            forget(wit_stream::new::<u8>());
        },
        Some("futures") => loop {
            forget(wit_future::new::<Result<Option<Trailers>, ErrorCode>>(|| Ok(None)));
        },
        Some("timers") => {
            let timers = (0..count.min(50_000)).map(|_| Box::pin(wait_for(u64::MAX / 2)));
            futures::future::join_all(timers).await;
            "all of them rang\n".to_owned()
        }
        Some("wait-zero") => loop {
            wait_for(0).await;
        },
        _ => "no such bomb\n".to_owned(),
    }
}

serve!(handle);
