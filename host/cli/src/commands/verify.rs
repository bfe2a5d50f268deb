//! `tollgate verify`.

use super::deployed::{self, DeployedArgs};
use crate::output::{Failure, Output};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tollgate_runtime::MAX_COMPONENT_BYTES;
use tollgate_trust::{TrustRoot, Verified, verify_file};

const EXAMPLES: &str = "\
Examples:
  tollgate verify web.wasm --trust trust.toml
  tollgate verify web.wasm --trust trust.toml --at 2027-01-01T00:00:00Z
  tollgate verify --deployed dist/shop --key operator.pub
  tollgate verify --deployed main.wasm --record dist/shop/derivation.json --key operator.pub

With --deployed, every file must be there with the bytes of the signed record, and no other; what is not is named with \
both digests. Of a single file only its own bytes are compared.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// The component; its envelope lies beside it, as FILE.dsse.json
    #[arg(required_unless_present = "deployed", conflicts_with = "deployed")]
    file: Option<PathBuf>,
    /// The trust file
    #[arg(long, short, value_name = "FILE", default_value = "trust.toml")]
    trust: PathBuf,
    /// The moment that is asked about [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    deployed: DeployedArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was verified, for scripts.
#[derive(Serialize)]
struct Report {
    subject: String,
    sha256: String,
    blake3: String,
    signers: Vec<String>,
    not_before: String,
    not_after: Option<String>,
    sequence: u64,
}

pub(super) fn run(args: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    if let Some(what) = args.deployed.what() {
        return deployed::run(&args.deployed, what, args.json, output);
    }
    let file = args.file.as_deref().unwrap_or(Path::new(""));
    let root = TrustRoot::read(&args.trust)?;
    let now = args.at.unwrap_or_else(Timestamp::now);
    let verified = verify_file(file, MAX_COMPONENT_BYTES, &root, now)?;
    let report = report(&verified);
    if args.json {
        return output.json(&report);
    }
    output.good("verified", format_args!("{} as {}", file.display(), report.subject))?;
    output.line(format_args!("  signed by {}", report.signers.join(", ")))?;
    output.line(format_args!("  sha256    {}", report.sha256))?;
    let until =
        report.not_after.as_ref().map_or_else(|| "without end".to_owned(), |end| format!("until {end}"));
    output.line(format_args!("  valid     from {} {until}", report.not_before))
}

fn report(verified: &Verified) -> Report {
    let release = verified.release();
    Report {
        subject: release.subject(),
        sha256: verified.sha256().to_string(),
        blake3: verified.blake3().to_string(),
        signers: verified.signers().iter().map(ToString::to_string).collect(),
        not_before: release.not_before.to_string(),
        not_after: release.not_after.map(|time| time.to_string()),
        sequence: release.sequence,
    }
}
