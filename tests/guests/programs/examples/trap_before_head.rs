//! Traps before there is a response.

use test_guests::prelude::*;

async fn handle(_: Request) -> &'static str {
    panic!("trapped on purpose")
}

serve!(handle);
