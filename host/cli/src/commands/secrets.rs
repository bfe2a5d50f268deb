//! `tollgate secrets`.

use super::Environment;
use super::deploy::{MAX_SECRET_BYTES, is_secret_name, secret};
use super::place::{Place, PlaceArgs, wait_for};
use crate::output::{Failure, Output};
use clap::{Args, Subcommand};
use std::io::Read;
use tollgate_deploy::{Secret, Vault};

const PUT_EXAMPLES: &str = "\
Examples:
  tollgate secrets put AUDIT_KEY --target cloudflare --env production < audit.key

The value is read from the standard input, so that it stands in no list of processes and no history. On Cloudflare it \
becomes part of a new version, which gets all traffic at once; on Fastly it goes into the secret store \
`tollgate-secrets-SERVICE`, to which the next deployment links its version.";

const LIST_EXAMPLES: &str = "\
Examples:
  tollgate secrets list --target cloudflare --env production";

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Set a secret, from the standard input
    Put(PutArgs),
    /// List the names of the secrets that are set
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(super) struct PutArgs {
    /// Its name
    #[arg(value_name = "NAME", value_parser = secret_name)]
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

fn secret_name(text: &str) -> Result<String, String> {
    let wanted = || "a secret's name is letters, digits and `_`, and begins with no digit".to_owned();
    is_secret_name(text).then(|| text.to_owned()).ok_or_else(wanted)
}

pub(super) fn run(
    command: &SecretsCommand,
    environment: &Environment,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        SecretsCommand::Put(PutArgs { name, place }) => {
            let place = place.open(environment)?;
            let mut value = Vec::new();
            std::io::stdin().lock().take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut value)?;
            if value.len() > MAX_SECRET_BYTES {
                return Err(Failure::new(format!("a secret has at most {MAX_SECRET_BYTES} bytes")));
            }
            let secret = secret(name, value)?;
            match &place {
                Place::Cloudflare(place) => wait_for(put(&place.provider, &secret))?,
                Place::Fastly(place) => wait_for(put(&place.provider, &secret))?,
            }
            output.good("set", format_args!("secret `{name}`"))
        }
        SecretsCommand::List(ListArgs { place }) => {
            let names = match place.open(environment)? {
                Place::Cloudflare(place) => wait_for(list(&place.provider))?,
                Place::Fastly(place) => wait_for(list(&place.provider))?,
            };
            names.iter().try_for_each(|name| output.line(name))
        }
    }
}

async fn put(vault: &impl Vault, secret: &Secret) -> Result<(), Failure> {
    Ok(vault.put(secret).await?)
}

async fn list(vault: &impl Vault) -> Result<Vec<String>, Failure> {
    Ok(vault.list().await?)
}
