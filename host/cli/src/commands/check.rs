//! `tollgate check`.

use super::{ConfigArg, target};
use crate::config::{Config, Problem};
use crate::house::{self, Trouble};
use crate::output::{Failure, Output, config_failure};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use tollgate_derive::Target;

const EXAMPLES: &str = "\
Examples:
  tollgate check
  tollgate check --config /etc/tollgate/tollgate.toml --json
  tollgate check --keep-code     # before a host of this version takes the place of an older one
  tollgate check --target cloudflare web.wasm
  tollgate check --target fastly --config tollgate.toml --json

With --target nothing is verified or compiled. What the component imports, its sizes and memory, what makes it start \
slowly, and what the configuration asks of counts and gates is held against what that platform has; what does not fit \
says what to change, and is exit code 1.

Otherwise everything but listening is done: the file is parsed, every component's signature and imports are checked and its \
code compiled, and every gate is configured with its policies. A running host can be told to take a checked file by \
saving it, or with SIGHUP.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// With --target: the component that is meant [default: every app of the configuration]
    #[arg(requires = "target", conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
    /// Say what that platform can run and keep: cloudflare, fastly or server
    #[arg(long, value_name = "PLATFORM", conflicts_with = "keep_code")]
    target: Option<Target>,
    /// Keep the compiled code in `host.state`, so that a host of this version starts without compiling; the host that
    /// runs now is not disturbed
    #[arg(long)]
    keep_code: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    tenants: usize,
    apps: usize,
    routes: usize,
    problems: Vec<Problem>,
    refused: Vec<Trouble>,
}

pub(super) fn run(args: &CheckArgs, output: &mut Output) -> Result<(), Failure> {
    if let Some(target) = args.target {
        return target::run(target, args.file.as_deref(), &args.config.config, args.json, output);
    }
    let config = match Config::read(&args.config.config) {
        Ok(config) => config,
        Err(error) if args.json => {
            let report = Report {
                ok: false,
                tenants: 0,
                apps: 0,
                routes: 0,
                problems: error.problems,
                refused: Vec::new(),
            };
            output.json(&report)?;
            return Err(Failure::said());
        }
        Err(error) => return Err(config_failure(error)),
    };
    let refused = house::check(&config, super::compiler()?, args.keep_code)?;
    let count = |count: fn(&crate::config::Tenant) -> usize| config.tenants.iter().map(count).sum();
    let report = Report {
        ok: refused.is_empty(),
        tenants: config.tenants.len(),
        apps: count(|tenant| tenant.apps.len()),
        routes: count(|tenant| tenant.routes.len()),
        problems: config.warnings,
        refused,
    };
    if args.json {
        output.json(&report)?;
    } else {
        output.warnings(&report.problems);
        for trouble in &report.refused {
            output.error(trouble);
        }
    }
    if !report.ok {
        return Err(Failure::said());
    }
    if args.json {
        return Ok(());
    }
    let found = format!("{} tenants, {} apps, {} routes", report.tenants, report.apps, report.routes);
    output.good("ok", format_args!("{}: {found}", args.config.config.display()))
}
