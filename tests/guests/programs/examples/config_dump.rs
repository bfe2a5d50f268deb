//! Says its settings, one a line, sorted.

use test_guests::prelude::*;
use tollgate_sdk::config;

async fn handle(_: Request) -> Result<String, config::Error> {
    let mut lines: Vec<String> =
        config::all()?.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.sort();
    Ok(lines.concat())
}

serve!(handle);
