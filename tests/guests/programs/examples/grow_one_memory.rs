//! Takes memory until there is none, then says how much it got. `?then=trap` ends in a trap instead.

use test_guests::prelude::*;

const PAGE_BYTES: usize = 65_536;

async fn handle(request: Request) -> String {
    let mut pages = 0;
    while grow() {
        pages += 1;
    }
    assert_ne!(query_value(&request, "then").as_deref(), Some("trap"), "out of memory");
    format!("{} bytes\n", pages * PAGE_BYTES)
}

#[cfg(target_arch = "wasm32")]
fn grow() -> bool {
    core::arch::wasm32::memory_grow(0, 1) != usize::MAX
}

#[cfg(not(target_arch = "wasm32"))]
fn grow() -> bool {
    false
}

serve!(handle);
