//! Asks the host for bytes and never returns from `cabi_realloc`, by which the host asks for room for them: it spins in
//! the midst of a host call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};
use test_guests::prelude::*;
use test_guests::spin;

struct Spinning;

static ARMED: AtomicBool = AtomicBool::new(false);

// SAFETY: it gives out what the system's allocator gives out, or never returns.
unsafe impl GlobalAlloc for Spinning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ARMED.load(Ordering::Relaxed) {
            spin()
        }
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Spinning = Spinning;

async fn handle(_: Request) -> Vec<u8> {
    ARMED.store(true, Ordering::Relaxed);
    wasip3::random::random::get_random_bytes(64)
}

serve!(handle);
