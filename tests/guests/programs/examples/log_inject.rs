//! Writes to the log what would break a log that takes bytes as they are: line ends, NUL, escape sequences of
//! terminals, quotes and braces, bytes that are no UTF-8, and marks that turn the direction of text. Then answers.

use std::io::Write;
use test_guests::prelude::*;

async fn handle(_: Request) -> &'static str {
    let mut out = std::io::stderr().lock();
    // What is lost here shows in the test.
    let _ = out.write_all(
        b"begin\rforged\x0b\x0c\0 \x1b[2J\x1b]0;title\x07\x1b[31m\",\"level\":\"ERROR\"}{ \xff\xfe end\n",
    );
    let _ = out.write_all("begin \u{85}\u{2028}\u{2029}\u{202e}\u{200b}\u{feff}\u{9b}31m end\n".as_bytes());
    "written\n"
}

serve!(handle);
