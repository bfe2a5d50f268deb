//! `tollgate doctor`.

use super::ConfigArg;
use crate::config::{Config, Problem};
use crate::memory;
use crate::output::{Failure, Output, config_failure};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::thread::available_parallelism;
use tollgate_runtime::Schedule;
use tollgate_server::ask_admin;

const EXAMPLES: &str = "\
Examples:
  tollgate doctor
  tollgate doctor --config /etc/tollgate/tollgate.toml --json > report.json

Reads the configuration, and asks the host that runs with it, at its admin address, how it stands: each tenant's \
requests, memory, instances, outgoing bytes, gas and stored bytes against their limits, what its gas went into, its \
gate, and what was refused. Names of tenants, apps and files are in the report; keys, tokens, policies, and the values of grants are not.

The exit code is 1 if the configuration is wrong, the host does not answer or is not ready, or a tenant or the host \
has nine tenths of a limit.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The host's admin address, if it is not the one in the configuration
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
}

/// What the table says of a tenant: the name in the status, the title, the width, and what makes a thousand.
const COLUMNS: [(&str, &str, usize, u64); 7] = [
    ("running", "running", 9, 1_000),
    ("waiting", "waiting", 9, 1_000),
    ("memory_bytes", "memory", 15, 1_024),
    ("instances", "instances", 11, 1_000),
    ("egress_bytes_this_hour", "egress/hour", 15, 1_024),
    ("gas_this_hour", "gas/hour", 15, 1_000),
    ("storage_bytes", "storage", 15, 1_024),
];

/// Everything that somebody who is to help would ask.
#[derive(Serialize)]
struct Report {
    tollgate: &'static str,
    engine: &'static str,
    doctor_runs_on: Machine,
    admin: SocketAddr,
    warnings: Vec<Problem>,
    ready: Value,
    status: Value,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct Machine {
    system: &'static str,
    architecture: &'static str,
    cores: Option<usize>,
    memory_bytes: Option<u64>,
    descriptors: Option<u64>,
}

pub(super) fn run(args: &DoctorArgs, output: &mut Output) -> Result<(), Failure> {
    // Who says where the host is wants to know how it stands, all the more when the configuration is wrong.
    let (admin, warnings, wrong) = match (Config::read(&args.config.config), args.admin) {
        (Ok(config), admin) => (admin.unwrap_or(config.host.admin), config.warnings, None),
        (Err(error), Some(admin)) => (admin, Vec::new(), Some(error.to_string())),
        (Err(error), None) => return Err(config_failure(error)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, status) = runtime.block_on(async {
        let ready = ask_admin(admin, "/ready", "checks").await?;
        let status = ask_admin(admin, "/status", "tenants").await?;
        Ok::<_, tollgate_server::AskError>((ready, status))
    })?;
    let report = Report {
        tollgate: env!("CARGO_PKG_VERSION"),
        engine: Schedule::ENGINE,
        doctor_runs_on: machine(),
        admin,
        warnings,
        findings: wrong.into_iter().chain(findings(&ready, &status)).collect(),
        ready,
        status,
    };
    if args.json {
        output.json(&report)?
    } else {
        show(&report, output)?
    }
    if report.findings.is_empty() { Ok(()) } else { Err(Failure::said()) }
}

fn machine() -> Machine {
    Machine {
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        cores: available_parallelism().ok().map(usize::from),
        memory_bytes: memory::available(),
        descriptors: getrlimit(Resource::Nofile).maximum,
    }
}

/// What is not as it should be, a line each.
fn findings(ready: &Value, status: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (check, outcome) in entries(ready.get("checks")) {
        if outcome != "ok" {
            found.push(format!("not ready: {check}: {}", text(outcome)));
        }
    }
    if let Some(reason) = status.pointer("/configuration/reload_failure").and_then(Value::as_str) {
        found.push(format!("the newest configuration was not taken: {reason}"));
    }
    for refused in status.get("refused").and_then(Value::as_array).into_iter().flatten() {
        let field = |name| refused.get(name).map(text).unwrap_or_default();
        found.push(format!("refused: {} {}: {}", field("kind"), field("name"), field("reason")));
    }
    if let Some(full) = full(status.get("memory_bytes")) {
        found.push(format!("the host's memory is {full}"));
    }
    for (tenant, figures) in entries(status.get("tenants")) {
        if figures.get("gate").is_some_and(|gate| gate != "up") {
            found.push(format!("tenant {tenant}: its gate is down"));
        }
        for (what, figure) in entries(Some(figures)) {
            if let Some(full) = full(Some(figure)) {
                found.push(format!("tenant {tenant}: {what} is {full}"));
            }
        }
    }
    found
}

/// Says it of a figure that has nine tenths of its limit or more.
fn full(figure: Option<&Value>) -> Option<String> {
    let figure = figure?;
    let (used, limit) = (figure.get("used")?.as_u64()?, figure.get("limit")?.as_u64()?);
    let full = limit > 0 && u128::from(used) * 10 >= u128::from(limit) * 9;
    full.then(|| format!("{} full: {used} of {limit}", if used >= limit { "quite" } else { "nearly" }))
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// A text as it is, and anything else as JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn show(report: &Report, output: &mut Output) -> Result<(), Failure> {
    output.warnings(&report.warnings);
    output.line(format_args!("tollgate {}  {}  admin {}", report.tollgate, report.engine, report.admin))?;
    output.line(format_args!("memory  {}\n", used(report.status.get("memory_bytes"), 1_024)))?;
    let titles: String = COLUMNS.iter().map(|(_, title, width, _)| format!(" {title:>width$}")).collect();
    output.line(format_args!("{:<20}{titles}  gate", "tenant"))?;
    for (tenant, figures) in entries(report.status.get("tenants")) {
        let cells = COLUMNS.iter().map(|(name, _, width, thousand)| {
            let figure = used(figures.get(*name), *thousand);
            format!(" {figure:>width$}")
        });
        let gate = figures.get("gate").map(text).unwrap_or_default();
        output.line(format_args!("{tenant:<20}{}  {gate}", cells.collect::<String>()))?;
    }
    report.findings.iter().for_each(|finding| output.error(finding));
    if report.findings.is_empty() {
        output.good("well", "nothing is wrong, and nothing is nearly full")
    } else {
        Ok(())
    }
}

/// A figure and its limit, in a few digits each.
fn used(figure: Option<&Value>, thousand: u64) -> String {
    let number = |name| figure?.get(name)?.as_u64().map(|number| short(number, thousand));
    match (number("used"), number("limit")) {
        (Some(used), Some(limit)) => format!("{used}/{limit}"),
        _ => "-".to_owned(),
    }
}

/// A number in a few digits: `999`, `1.5k`, `20.0M`.
fn short(number: u64, thousand: u64) -> String {
    let (mut number, mut units) = (number as f64, "kMGTPE".chars());
    let (thousand, mut unit) = (thousand as f64, None);
    while number >= thousand {
        (number, unit) = (number / thousand, units.next());
    }
    unit.map_or_else(|| number.to_string(), |unit| format!("{number:.1}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_figure_is_shown_in_a_few_digits_and_one_that_is_not_there_as_none() {
        let figure = json!({ "used": 1_536, "limit": u64::MAX });
        assert_eq!(used(Some(&figure), 1_024), "1.5k/16.0E");
        assert_eq!(
            used(Some(&json!({ "used": 999, "limit": 100_000_000_000_000_u64 })), 1_000),
            "999/100.0T"
        );
        assert_eq!(used(None, 1_000), "-");
    }

    #[test]
    fn what_is_wrong_or_nearly_full_is_found_and_nothing_else() {
        let tenant =
            |gate: &str, used: u32| json!({ "gate": gate, "running": { "used": used, "limit": 10 } });
        let ready = json!({ "ready": false, "checks": { "sqlite": "locked", "gates": "ok" } });
        let status = json!({
            "memory_bytes": { "used": 1, "limit": 10 },
            "configuration": { "reload_failure": "a typo" },
            "refused": [{ "kind": "app", "name": "acme/web", "reason": "not signed" }],
            "tenants": { "acme": tenant("up", 9), "globex": tenant("down", 8) },
        });
        assert_eq!(
            findings(&ready, &status),
            [
                "not ready: sqlite: locked",
                "the newest configuration was not taken: a typo",
                "refused: app acme/web: not signed",
                "tenant acme: running is nearly full: 9 of 10",
                "tenant globex: its gate is down",
            ]
        );
        assert!(findings(&json!({ "checks": { "gates": "ok" } }), &json!({ "tenants": {} })).is_empty());
    }
}
