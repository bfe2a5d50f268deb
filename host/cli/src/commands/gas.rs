//! `tollgate gas`.

use crate::config::Config;
use crate::house::read_schedule;
use crate::output::{Failure, Output, config_failure};
use clap::Subcommand;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tollgate_runtime::{Interface, Schedule};

/// What work costs.
#[derive(Debug, Subcommand)]
pub(super) enum GasCommand {
    /// Show the schedule in force: its id, its digest and every price
    #[command(after_help = "\
Examples:
  tollgate gas show
  tollgate gas show --config tollgate.toml --json

Without `--config` the built-in schedule is shown.")]
    Show {
        /// The configuration whose schedule is meant
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Report {
    id: String,
    engine: &'static str,
    digest_blake3: String,
    fuel: u64,
    instance: u64,
    memory_page: u64,
    calls: BTreeMap<&'static str, Price>,
}

#[derive(Serialize)]
struct Price {
    base: u64,
    per_byte: u64,
}

pub(super) fn run(command: &GasCommand, output: &mut Output) -> Result<(), Failure> {
    let GasCommand::Show { config, json } = command;
    let schedule = match config {
        Some(file) => {
            let config = Config::read(file).map_err(config_failure)?;
            read_schedule(&config)?
        }
        None => Schedule::default(),
    };
    let report = report(&schedule);
    if *json { output.json(&report) } else { show(&report, output) }
}

fn report(schedule: &Schedule) -> Report {
    let price = |interface| {
        let base = schedule.call(interface);
        Price { base, per_byte: schedule.bytes(interface, 1) }
    };
    Report {
        id: schedule.id().to_owned(),
        engine: Schedule::ENGINE,
        digest_blake3: schedule.digest().to_string(),
        fuel: schedule.fuel(1),
        instance: schedule.instance(),
        memory_page: schedule.memory(1),
        calls: Interface::ALL.into_iter().map(|interface| (interface.name(), price(interface))).collect(),
    }
}

fn show(report: &Report, output: &mut Output) -> Result<(), Failure> {
    output.line(format_args!("schedule {} for {}", report.id, report.engine))?;
    output.line(format_args!("blake3   {}\n", report.digest_blake3))?;
    for (what, gas) in [
        ("one unit of fuel", report.fuel),
        ("a fresh instance", report.instance),
        ("64 KiB of memory, at the most held", report.memory_page),
    ] {
        output.line(format_args!("{what:36}{gas:>8} gas"))?;
    }
    output.line("\ncalls into the host                  each call   each byte")?;
    for (interface, price) in &report.calls {
        output.line(format_args!("  {interface:34}{:>10}{:>12}", price.base, price.per_byte))?;
    }
    Ok(())
}
