//! `tollgate build`.

use super::ConfigArg;
use crate::config::Config;
use crate::deployment;
use crate::house::{self, OriginOf};
use crate::output::{Failure, Output, config_failure};
use clap::{Args, ValueEnum};
use http::Uri;
use std::path::{Path, PathBuf};
use tollgate_cloudflare::{ClientAddress, Options, Tools};
use tollgate_derive::Derived;
use tollgate_runtime::Name;
use tollgate_trust::SigningKey;

const EXAMPLES: &str = "\
Examples:
  tollgate build --target fastly --name shop --out dist
  viceroy -C dist/shop/fastly.toml dist/shop/bin/main.wasm    # try it on this machine

  cargo xtask edge                                             # once: makes target/tools/cloudflare
  tollgate build --target cloudflare --tools target/tools/cloudflare --name shop --out dist
  tollgate build --target cloudflare --tools target/tools/cloudflare --name shop --out dist \\
    --origin acme/api=https://origin.example.com               # the gate here, the app there
  tollgate build --target cloudflare --tools target/tools/cloudflare --name shop --out dist \\
    --gas on --key operator.key                                # apps count gas; the record is signed

Every component is verified as `tollgate up` would; the same inputs give the same bytes, and derivation.json names \
every input and output by digest. With a key it is signed, as derivation.json.dsse.json, and `tollgate verify \
--deployed` holds what a platform has against it. What the platform can't give and the configuration asks for is \
refused.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The platform that it is for
    #[arg(long, value_enum)]
    target: Target,
    /// What the service or worker is called
    #[arg(long, value_name = "NAME", default_value = "tollgate", value_parser = Name::new)]
    name: Name,
    /// Where the directory of that name is made
    #[arg(long, value_name = "DIRECTORY", default_value = "dist")]
    out: PathBuf,
    /// For Fastly: where the adapter's own signed parts are [default: beside the gate's]
    #[arg(long, value_name = "DIRECTORY")]
    parts: Option<PathBuf>,
    /// For Cloudflare: the folder that `cargo xtask edge` made
    #[arg(long, value_name = "DIRECTORY", required_if_eq("target", "cloudflare"))]
    tools: Option<PathBuf>,
    /// For Cloudflare: a server that answers for an app, in place of its component; may be given again
    #[arg(long = "origin", value_name = "TENANT/APP=URL", value_parser = origin_of)]
    origins: Vec<OriginOf>,
    /// For Cloudflare: whether apps count gas in their own code, so that its limits hold and the record has it
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    gas: Switch,
    /// The private key that signs the record, PKCS#8 PEM [default: it is not signed]
    #[arg(long, short, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

/// A platform other than this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Cloudflare Workers: the gate, and apps behind it
    Cloudflare,
    /// Fastly Compute: the gate, with apps or origins behind it
    Fastly,
}

fn origin_of(text: &str) -> Result<OriginOf, String> {
    let wanted = "write TENANT/APP=URL, such as acme/api=https://origin.example.com, without a path";
    let parse = || {
        let (app, url) = text.split_once('=')?;
        let (tenant, app) = app.split_once('/')?;
        let origin: Uri = url.parse().ok()?;
        let http = matches!(origin.scheme_str(), Some("http" | "https"));
        let plain = origin.host().is_some() && matches!(origin.path(), "" | "/") && origin.query().is_none();
        let names = (Name::new(tenant).ok()?, Name::new(app).ok()?);
        (http && plain).then_some(OriginOf { tenant: names.0, app: names.1, origin })
    };
    parse().ok_or_else(|| wanted.to_owned())
}

pub(super) fn run(args: &BuildArgs, output: &mut Output) -> Result<(), Failure> {
    let key = args.key.as_deref().map(SigningKey::read).transpose()?;
    let config = Config::read(&args.config.config).map_err(config_failure)?;
    output.warnings(&config.warnings);
    let directory = args.out.join(args.name.as_str());
    let derived = match args.target {
        Target::Fastly => fastly(args, &config)?,
        Target::Cloudflare => cloudflare(args, &config, &directory)?,
    };
    deployment::write(&directory, &derived, key.as_ref())?;
    let bytes: usize = derived.files().values().map(Vec::len).sum();
    let signed = if key.is_some() { ", its record signed" } else { "" };
    output.good("built", format_args!("{}: {bytes} bytes{signed}", directory.display()))
}

fn fastly(args: &BuildArgs, config: &Config) -> Result<Derived, Failure> {
    if args.gas == Switch::On {
        return Err(Failure::new("`--gas on` is for Cloudflare: on Fastly nothing counts gas yet"));
    }
    let (service, parts) = house::fastly(config, &args.name, args.parts.as_deref())?;
    Ok(tollgate_fastly::bundle(&service, &parts)?)
}

fn cloudflare(args: &BuildArgs, config: &Config, directory: &Path) -> Result<Derived, Failure> {
    let occupied = std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let shown = directory.display();
        return Err(Failure::new(format!("`{shown}` is not empty: remove it, or name another directory")));
    }
    let tools = Tools::at(args.tools.as_deref().unwrap_or(Path::new("")))?;
    let gas = if args.gas == Switch::On { Some(house::gas(config)?) } else { None };
    let options = Options { name: args.name.clone(), client_address: ClientAddress::default(), gas };
    Ok(tollgate_cloudflare::bundle(&house::cloudflare(config, &args.origins)?, &options, &tools)?)
}
