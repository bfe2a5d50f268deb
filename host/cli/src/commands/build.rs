//! `tollgate build`.

use super::ConfigArg;
use crate::config::Config;
use crate::edge::{OriginOf, site};
use crate::output::{Failure, Output, config_failure};
use clap::{Args, ValueEnum};
use http::Uri;
use std::path::PathBuf;
use tollgate_cloudflare::{ClientAddress, DERIVATION, Options, Tools, bundle};
use tollgate_runtime::Name;

const EXAMPLES: &str = "\
Examples:
  cargo xtask edge               # once: makes target/tools/cloudflare
  tollgate build --target cloudflare --tools target/tools/cloudflare --out worker
  tollgate build --target cloudflare --tools target/tools/cloudflare --out worker \\
    --origin acme/api=https://origin.example.com     # the gate here, the app there

Every component is verified as `tollgate up` would, and then derived: the same inputs give the same bytes. \
`derivation.json` in the bundle says what was derived from what.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The platform
    #[arg(long, value_enum)]
    target: Target,
    /// The folder that `cargo xtask edge` made
    #[arg(long, value_name = "DIRECTORY")]
    tools: PathBuf,
    /// Where the bundle goes; must not be there, or be empty
    #[arg(long, short, value_name = "DIRECTORY")]
    out: PathBuf,
    /// What the worker is called
    #[arg(long, value_name = "NAME", default_value = "tollgate", value_parser = Name::new)]
    name: Name,
    /// A server that answers for an app, in place of its component; may be given again
    #[arg(long = "origin", value_name = "TENANT/APP=URL", value_parser = origin_of)]
    origins: Vec<OriginOf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Cloudflare Workers
    Cloudflare,
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
    let config = Config::read(&args.config.config).map_err(config_failure)?;
    output.warnings(&config.warnings);
    let Target::Cloudflare = args.target;
    let occupied = std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(Failure::new(format!("`{}` is not empty: name another directory", args.out.display())));
    }
    let tools = Tools::at(&args.tools)?;
    let options = Options { name: args.name.clone(), client_address: ClientAddress::default() };
    let bundle = bundle(&site(&config, &args.origins)?, &options, &tools)?;
    bundle.write(&args.out)?;
    let bytes: usize = bundle.files().values().map(Vec::len).sum();
    let files = bundle.files().len();
    output.good("made", format_args!("{} ({files} files, {bytes} bytes)", args.out.display()))?;
    output.line(format_args!("what it was derived from: {}", args.out.join(DERIVATION).display()))
}
