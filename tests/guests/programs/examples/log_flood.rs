//! Writes `?lines=` lines (100,000) of `?bytes=` bytes (100) to the standard error, without a break with
//! `?break=none`; then answers.

use std::io::Write;
use test_guests::prelude::*;

async fn handle(request: Request) -> String {
    let lines = query_number(&request, "lines", 100_000);
    let mut line = vec![b'x'; query_number(&request, "bytes", 100) as usize];
    if query_value(&request, "break").as_deref() != Some("none") {
        line.push(b'\n');
    }
    let mut written = 0;
    let mut out = std::io::stderr().lock();
    for _ in 0..lines {
        if out.write_all(&line).is_err() {
            break;
        }
        written += 1;
    }
    format!("{written} lines\n")
}

serve!(handle);
