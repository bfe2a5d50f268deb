//! Calls itself until the stack is full.

use test_guests::prelude::*;

async fn handle(request: Request) -> String {
    let depth = query_number(&request, "depth", u64::MAX);
    format!("{}\n", fall(depth))
}

/// Neither a loop nor a tail call: what the call returns is still needed, in a way that cannot be reordered.
#[inline(never)]
fn fall(depth: u64) -> u64 {
    if depth == 0 { 1 } else { std::hint::black_box(fall(depth - 1)).rotate_left(7) ^ depth.wrapping_mul(31) }
}

serve!(handle);
