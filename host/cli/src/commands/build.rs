//! `tollgate build`.

use super::ConfigArg;
use crate::config::Config;
use crate::house;
use crate::output::{Failure, Output, config_failure};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use tollgate_runtime::Name;

const EXAMPLES: &str = "\
Examples:
  tollgate build --target fastly --name shop --out dist
  viceroy -C dist/shop/fastly.toml dist/shop/bin/main.wasm    # try it on this machine

The same configuration and components give the same bytes. The gate's signed components stand in the result as they \
are; derivation.json names every input and output by digest. What the platform can't give and the configuration asks \
for is refused.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The platform that it is for
    #[arg(long, value_enum)]
    target: Target,
    /// The package's name
    #[arg(long, value_name = "NAME", default_value = "tollgate", value_parser = Name::new)]
    name: Name,
    /// Where the adapter's own signed parts are [default: beside the gate's]
    #[arg(long, value_name = "DIRECTORY")]
    parts: Option<PathBuf>,
    /// Where the package's directory is made
    #[arg(long, value_name = "DIRECTORY", default_value = "dist")]
    out: PathBuf,
}

/// A platform other than this host.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Target {
    /// Fastly Compute: the gate in front of origins
    Fastly,
}

pub(super) fn run(args: &BuildArgs, output: &mut Output) -> Result<(), Failure> {
    let config = Config::read(&args.config.config).map_err(config_failure)?;
    output.warnings(&config.warnings);
    let directory = args.out.join(args.name.as_str());
    match args.target {
        Target::Fastly => {
            let (service, parts) = house::fastly(&config, &args.name, args.parts.as_deref())?;
            let bundle = tollgate_fastly::bundle(&service, &parts)?;
            let failed = |error| Failure::new(format!("`{}` can't be written: {error}", directory.display()));
            bundle.write(&directory).map_err(failed)?;
            let bytes = bundle.component.len();
            output.good("built", format_args!("{}: {bytes} bytes", directory.display()))
        }
    }
}
