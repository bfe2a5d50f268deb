//! Leaves a mark all over its memory, or looks for one: `?op=fill` writes a word of `?seed=` into `?bytes=` new bytes
//! (1 MiB); `?op=search` takes as many, and says how many words of its whole memory are the mark, and how many bytes of
//! what it took were not zero.

use test_guests::prelude::*;

const PAGE_BYTES: usize = 65_536;

async fn handle(request: Request) -> String {
    let seed = query_number(&request, "seed", 1);
    let bytes = query_number(&request, "bytes", 1 << 20) as usize;
    let mark = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let taken = take(bytes.div_ceil(PAGE_BYTES));
    if query_value(&request, "op").as_deref() == Some("fill") {
        words(taken.0, taken.1).for_each(|word| unsafe { word.write_volatile(mark) });
        return "marked\n".to_owned();
    }
    let dirty = words(taken.0, taken.1).filter(|word| unsafe { word.read_volatile() } != 0).count();
    let marks = words(8, taken.1).filter(|word| unsafe { word.read_volatile() } == mark).count();
    format!("{marks} marks, {dirty} dirty\n")
}

fn words(from: usize, to: usize) -> impl Iterator<Item = *mut u64> {
    (from..to).step_by(8).map(|address| address as *mut u64)
}

/// Takes pages, and returns where they begin and end.
#[cfg(target_arch = "wasm32")]
fn take(pages: usize) -> (usize, usize) {
    let begin = core::arch::wasm32::memory_grow(0, pages);
    assert_ne!(begin, usize::MAX, "no memory");
    (begin * PAGE_BYTES, (begin + pages) * PAGE_BYTES)
}

#[cfg(not(target_arch = "wasm32"))]
fn take(_: usize) -> (usize, usize) {
    (0, 0)
}

serve!(handle);
