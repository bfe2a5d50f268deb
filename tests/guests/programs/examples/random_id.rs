//! Says 32 random hexadecimal digits, and how often this instance was asked before: 0 from a fresh one.

use std::sync::atomic::{AtomicU32, Ordering};
use test_guests::prelude::*;

static BEFORE: AtomicU32 = AtomicU32::new(0);

async fn handle(_: Request) -> String {
    let bytes = wasip3::random::random::get_random_bytes(16);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits} {}\n", BEFORE.fetch_add(1, Ordering::Relaxed))
}

serve!(handle);
