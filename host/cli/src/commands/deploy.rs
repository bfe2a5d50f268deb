//! `tollgate deploy`.

use super::place::{Opened, Place, PlaceArgs, wait_for};
use super::{Environment, read_capped};
use crate::output::{Failure, Output};
use clap::Args;
use std::path::PathBuf;
use tollgate_deploy::{Artifact, Event, Provider, Secret};
use zeroize::Zeroizing;

/// The largest secret, in bytes: what both platforms take.
pub(super) const MAX_SECRET_BYTES: usize = 5 << 10;

const EXAMPLES: &str = "\
Examples:
  tollgate build --target cloudflare --tools target/tools/cloudflare --name shop --out dist
  export CLOUDFLARE_API_TOKEN=…                     # or `token-file` in deploy.toml
  tollgate deploy dist/shop --target cloudflare --env production --secret AUDIT_KEY=audit.key   # the first time
  tollgate deploy dist/shop --target cloudflare --env production
  tollgate deploy dist/edge --target fastly --env staging

deploy.toml says where bundles go:

  [environments.production]
  checks = [{ path = \"/hello\", status = 200, body = \"hello\" }]
  [environments.production.cloudflare]
  account = \"023e105f4ecef8ad9ca31a8372d0c353\"
  worker = \"shop\"
  url = \"https://shop.example.com\"
  canary = [{ percent = 10, hold = \"5m\" }, { percent = 50, hold = \"5m\" }]

The new version is checked before any client gets it, where the platform can show it; then it gets its shares of the \
traffic, and is checked all the while. If it fails, the old one gets all traffic back, and the exit code is 1. A \
deployment that was stopped, whenever that was, goes on with the same command; a bundle that is there already is not \
uploaded again.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeployArgs {
    /// The folder that `tollgate build` wrote
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// For Cloudflare: a secret that goes with the upload; may be given again
    #[arg(long = "secret", value_name = "NAME=FILE", value_parser = secret_file)]
    secrets: Vec<(String, PathBuf)>,
}

fn secret_file(text: &str) -> Result<(String, PathBuf), String> {
    let parts = text.split_once('=').filter(|(name, file)| is_secret_name(name) && !file.is_empty());
    let parts = parts.ok_or_else(|| "write NAME=FILE, such as AUDIT_KEY=audit.key".to_owned())?;
    Ok((parts.0.to_owned(), parts.1.into()))
}

/// What both platforms take as a name.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A secret's value without the line end that editors add.
pub(super) fn secret(name: &str, bytes: Vec<u8>) -> Result<Secret, Failure> {
    let bytes = Zeroizing::new(bytes);
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Failure::new(format!("secret `{name}` is not UTF-8")))?;
    let value = text.trim_end();
    if value.is_empty() {
        return Err(Failure::new(format!("secret `{name}` is empty")));
    }
    Ok(Secret { name: name.to_owned(), value: Zeroizing::new(value.to_owned()) })
}

pub(super) fn run(args: &DeployArgs, environment: &Environment, output: &mut Output) -> Result<(), Failure> {
    let artifact = Artifact::read(&args.bundle)?;
    let read = |(name, file): &(String, PathBuf)| secret(name, read_capped(file, MAX_SECRET_BYTES)?);
    let secrets = args.secrets.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    match args.place.open(environment)? {
        Place::Cloudflare(place) => wait_for(deploy(&place, &artifact, &secrets, output)),
        Place::Fastly(place) => wait_for(deploy(&place, &artifact, &secrets, output)),
    }
}

async fn deploy<P: Provider>(
    place: &Opened<P>,
    artifact: &Artifact,
    secrets: &[Secret],
    output: &mut Output,
) -> Result<(), Failure> {
    let mut deployer = place.deployer()?;
    let mut unheard = None;
    let mut tell = |event| {
        // A deployment does not end because nobody listens any more.
        if let Err(failure) = told(&event, secrets, output) {
            unheard = Some(failure);
        }
    };
    let version = deployer.deploy(artifact, secrets, &mut tell).await?;
    unheard.map_or(Ok(()), Err)?;
    output.good("live", format_args!("{}: version {version} of bundle {}", place.name, artifact.key()))
}

fn told(event: &Event, secrets: &[Secret], output: &mut Output) -> Result<(), Failure> {
    let unset = |output: &mut Output| {
        if !secrets.is_empty() {
            output.warning("nothing was uploaded, so no secret was set: use `tollgate secrets put`");
        }
    };
    match event {
        Event::GoesOn => output.good("going on", "with the deployment that was stopped"),
        Event::AlreadyLive(version) => {
            unset(output);
            output.good("found", format_args!("version {version}: it is this bundle, and has all traffic"))
        }
        Event::Found(version) => {
            unset(output);
            output.good("found", format_args!("version {version}: nothing to upload"))
        }
        Event::Uploaded(version) => output.good("uploaded", format_args!("as version {version}")),
        Event::NotShown => {
            output
                .warning("the platform does not show versions before they have traffic: it is checked after");
            Ok(())
        }
        Event::Passed(checks) => output.good("passed", format_args!("{checks} checks")),
        Event::Has(percent) => output.good("shifted", format_args!("{percent} % of the traffic")),
        Event::Watches(time) => output.good("watching", format_args!("for {} s", time.as_secs())),
        Event::GoesBack(why) => {
            output.warning(format_args!("going back: {why}"));
            Ok(())
        }
    }
}
