//! The `tollgate` binary.

use clap::Parser;
use std::process::ExitCode;
use tollgate::commands::{self, Cli, Environment};
use tollgate::output::Output;

/// Many small values live for one request and are freed on another thread than made them, which the system's allocator
/// does slowly; and what a burst took has to go back to the system soon, also when the threads that took it sleep. How
/// soon is set in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    Environment {
        log: read("TOLLGATE_LOG"),
        otlp_endpoint: read("OTEL_EXPORTER_OTLP_ENDPOINT"),
        traces_sent: read("OTEL_TRACES_SAMPLER_ARG"),
        cloudflare_token: read("CLOUDFLARE_API_TOKEN").map(Into::into),
        fastly_token: read("FASTLY_API_TOKEN").map(Into::into),
    }
}
