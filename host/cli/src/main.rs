//! The `tollgate` binary.

use clap::Parser;
use std::process::ExitCode;
use tollgate::commands::{self, Cli, Environment};
use tollgate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new();
    let result = commands::run(cli, environment(), &mut output);
    output.finish(result)
}

/// The whole of the environment that the host looks at.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn environment() -> Environment {
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Environment { log: read("TOLLGATE_LOG"), otlp_endpoint: read("OTEL_EXPORTER_OTLP_ENDPOINT") }
}
