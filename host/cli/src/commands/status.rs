//! `tollgate status`.

use super::Environment;
use super::place::{Opened, Place, PlaceArgs, wait_for};
use crate::output::{Failure, Output};
use clap::Args;
use serde::Serialize;
use tollgate_deploy::{Journal, Known, Outcome, Past, Provider, Run, Traffic, Version};

/// How many versions and deployments are shown.
const SHOWN: usize = 10;

const EXAMPLES: &str = "\
Examples:
  tollgate status --target cloudflare --env production
  tollgate status --target fastly --env production --json

Shows what the platform says, and what the journal on this machine says of deployments from here.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is there, for scripts.
#[derive(Serialize)]
struct Report {
    place: String,
    traffic: Traffic,
    versions: Vec<Known>,
    unfinished: Option<Run>,
    past: Vec<Past>,
}

pub(super) fn run(args: &StatusArgs, environment: &Environment, output: &mut Output) -> Result<(), Failure> {
    let report = match args.place.open(environment)? {
        Place::Cloudflare(place) => wait_for(report(&place))?,
        Place::Fastly(place) => wait_for(report(&place))?,
    };
    if args.json { output.json(&report) } else { show(&report, output) }
}

async fn report<P: Provider>(place: &Opened<P>) -> Result<Report, Failure> {
    let (unfinished, past) = Journal::peek(&place.state, &place.name)?;
    let standing = place.provider.look().await?;
    let (traffic, versions) = (standing.traffic, standing.known);
    Ok(Report { place: place.name.clone(), traffic, versions, unfinished, past })
}

fn show(report: &Report, output: &mut Output) -> Result<(), Failure> {
    output.good("live", format_args!("{}: {}", report.place, report.traffic))?;
    for Known { version, key, made } in report.versions.iter().take(SHOWN) {
        let bundle = key.map_or_else(|| "not known here".to_owned(), |key| format!("bundle {key}"));
        let made = made.as_deref().unwrap_or("at an unknown time");
        output.line(format_args!("  version {version}  made {made}  {bundle}"))?;
    }
    for Past { old, new, outcome, ended, .. } in report.past.iter().rev().take(SHOWN) {
        let name =
            |version: &Option<Version>| version.as_ref().map_or("none".to_owned(), ToString::to_string);
        let (old, new) = (name(old), name(new));
        let line = match outcome {
            Outcome::Live => format!("{new} came after {old}"),
            Outcome::WentBack(why) => format!("{new} failed, back to {old}: {why}"),
            Outcome::RolledBack => format!("rolled back from {old} to {new}"),
        };
        output.line(format_args!("  {ended}  {line}"))?;
    }
    if let Some(run) = &report.unfinished {
        let began = &run.began;
        output.warning(format_args!(
            "a deployment is under way, or was stopped, since {began}: the same command goes on with it, and \
             `tollgate rollback` gives it up"
        ));
    }
    Ok(())
}
