//! Says its environment and its arguments, one a line.

use test_guests::prelude::*;

async fn handle(_: Request) -> String {
    let mut lines: Vec<String> =
        std::env::vars().map(|(name, value)| format!("env {name}={value}")).collect();
    lines.extend(std::env::args().map(|argument| format!("arg {argument}")));
    lines.sort();
    lines.into_iter().map(|line| line + "\n").collect()
}

serve!(handle);
