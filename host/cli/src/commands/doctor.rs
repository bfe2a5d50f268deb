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
requests, memory, instances and outgoing bytes against their limits, what its gas went into, its gate, and what was \
refused. Names of tenants, apps and files are in the report; keys, tokens, policies, and the values of grants are not.

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
    let config = Config::read(&args.config.config).map_err(config_failure)?;
    let admin = args.admin.unwrap_or(config.host.admin);
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
        warnings: config.warnings,
        findings: findings(&ready, &status),
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
    full.then(|| format!("nearly full: {used} of {limit}"))
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
    let used = |figures: &Value, name: &str| match figures.get(name) {
        Some(figure) => match (figure.get("used"), figure.get("limit")) {
            (Some(used), Some(limit)) => format!("{used}/{limit}"),
            _ => "-".to_owned(),
        },
        None => "-".to_owned(),
    };
    output.line(format_args!("memory  {}\n", used(&report.status, "memory_bytes")))?;
    let row = |tenant: &str, columns: [&str; 6]| {
        let [running, waiting, memory, instances, gas, gate] = columns;
        format!("{tenant:<20} {running:>9} {waiting:>9} {memory:>23} {instances:>9} {gas:>16}  {gate}")
    };
    output.line(row("tenant", ["running", "waiting", "memory bytes", "instances", "gas", "gate"]))?;
    for (tenant, figures) in entries(report.status.get("tenants")) {
        let [running, waiting, memory, instances] =
            ["running", "waiting", "memory_bytes", "instances"].map(|name| used(figures, name));
        let gas = figures.pointer("/since_start/gas/all").map(text).unwrap_or_default();
        let gate = figures.get("gate").map(text).unwrap_or_default();
        output.line(row(tenant, [&running, &waiting, &memory, &instances, &gas, &gate]))?;
    }
    report.findings.iter().for_each(|finding| output.error(finding));
    if report.findings.is_empty() {
        output.good("well", "nothing is wrong, and nothing is nearly full")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
