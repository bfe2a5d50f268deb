//! `tollgate rollback`.

use super::Environment;
use super::place::{Opened, Place, PlaceArgs, wait_for};
use crate::output::{Failure, Output};
use clap::Args;
use tollgate_deploy::{Provider, Version};

const EXAMPLES: &str = "\
Examples:
  tollgate rollback --target cloudflare --env production              # to the version before this one
  tollgate rollback --target fastly --env production --to 41          # to one that `tollgate status` shows

A deployment that is under way, or was stopped, is given up. Without `--to`, the journal on this machine says which \
version came before, or else the platform, where it remembers that. A version brings its own policies, quotas and, on Cloudflare, secrets; what \
stores hold stays as it is.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The version that is to have all traffic [default: the one before]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Option<Version>,
}

fn version(text: &str) -> Result<Version, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { Ok(Version(text.to_owned())) } else { Err("a version is letters, digits and `-`".to_owned()) }
}

pub(super) fn run(
    args: &RollbackArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<(), Failure> {
    match args.place.open(environment)? {
        Place::Cloudflare(place) => wait_for(roll_back(&place, args, output)),
        Place::Fastly(place) => wait_for(roll_back(&place, args, output)),
    }
}

async fn roll_back<P: Provider>(
    place: &Opened<P>,
    args: &RollbackArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let version = place.deployer()?.roll_back(args.to.clone()).await?;
    output.good("rolled back", format_args!("{}: version {version} has all traffic", place.name))
}
