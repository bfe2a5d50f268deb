//! `tollgate verify --deployed`.

use super::read_capped;
use crate::deployment::digests;
use crate::output::{Failure, Output};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use tollgate_derive::record::{DERIVATION, MAX_BYTES, Output as Recorded};
use tollgate_derive::{Difference, Record, differences};
use tollgate_trust::envelope::MAX_ENVELOPE_BYTES;
use tollgate_trust::{Envelope, PublicKey, Sha256, attest, envelope_path};

/// The largest file that is read back from a platform, in bytes: more than any takes.
const MAX_FILE_BYTES: usize = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct DeployedArgs {
    /// What a platform has, read back from it, or the folder that it is to have: it is held against the signed record
    #[arg(long, value_name = "FOLDER-OR-FILE", conflicts_with_all = ["trust", "at"], requires = "keys")]
    deployed: Option<PathBuf>,
    /// With --deployed: the public key that must have signed the record, SPKI PEM; may be given again, one of them counts
    #[arg(long = "key", short, value_name = "FILE", requires = "deployed")]
    keys: Vec<PathBuf>,
    /// With --deployed: the record, its signature beside it [default: derivation.json in the folder, or beside the file]
    #[arg(long, value_name = "FILE", requires = "deployed")]
    record: Option<PathBuf>,
    /// With --deployed FILE: its path in the deployment [default: the one whose file name it has]
    #[arg(long = "as", value_name = "PATH", requires = "deployed")]
    path: Option<String>,
}

/// What was compared, for scripts.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    target: &'a str,
    files: usize,
    gas_schedule: Option<&'a str>,
    differences: &'a [Difference],
}

impl DeployedArgs {
    /// What was deployed, if that is asked about.
    pub(super) fn what(&self) -> Option<&Path> {
        self.deployed.as_deref()
    }
}

/// Holds what lies there against its signed record.
pub(super) fn run(
    args: &DeployedArgs,
    what: &Path,
    is_json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let is_folder = what.is_dir();
    let beside = if is_folder { what } else { what.parent().unwrap_or(Path::new("")) };
    let record_file = args.record.clone().unwrap_or_else(|| beside.join(DERIVATION));
    let record = signed_record(&record_file, &args.keys)?;
    let mut found = if is_folder {
        differences(&record, &digests(what)?)
    } else {
        let recorded = recorded(&record, what, args.path.as_deref())?;
        let bytes = read_capped(what, MAX_FILE_BYTES)?;
        let there = BTreeMap::from([(recorded.path.clone(), Sha256::of(&bytes))]);
        let here = |difference: &Difference| !matches!(difference, Difference::Missing { .. });
        differences(&record, &there).into_iter().filter(here).collect()
    };
    found.extend(other_record(&record_file, &record)?);
    let files = if is_folder { record.outputs.len() } else { 1 };
    if is_json {
        let gas_schedule = record.gas.as_ref().map(|gas| gas.schedule.as_str());
        let target = record.target.name();
        output.json(&Report { ok: found.is_empty(), target, files, gas_schedule, differences: &found })?;
    }
    if !found.is_empty() {
        if !is_json {
            found.iter().for_each(|difference| output.error(difference));
        }
        return Err(Failure::said());
    }
    if is_json {
        return Ok(());
    }
    let count = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
    output.good("verified", format_args!("{}: {count} for {}", what.display(), record.target))?;
    let gas = record.gas.as_ref();
    let gas = gas.map_or("as they were signed", |gas| gas.schedule.as_str());
    output.line(format_args!("  made by   {} {}", record.deriver.name, record.deriver.version))?;
    output.line(format_args!(
        "  apps      {}{gas}",
        if record.gas.is_some() { "counting gas by " } else { "" }
    ))?;
    for input in record.inputs.iter().filter(|input| input.release.is_some()) {
        let release = input.release.as_deref().unwrap_or_default();
        output.line(format_args!("  of        {} ({release}), sha256 {}", input.name, input.sha256))?;
    }
    Ok(())
}

/// The record that one of these keys has signed.
fn signed_record(file: &Path, keys: &[PathBuf]) -> Result<Record, Failure> {
    let keys = keys.iter().map(|key| PublicKey::read(key)).collect::<Result<Vec<_>, _>>()?;
    let path = envelope_path(file);
    if !path.exists() {
        let (file, path) = (file.display(), path.display());
        return Err(Failure::new(format!(
            "`{file}` is not signed, there is no `{path}`: build with `--key`"
        )));
    }
    let of_envelope = |error: &dyn std::error::Error| {
        Failure::new(format!("`{}`: {}", path.display(), crate::output::chain(error)))
    };
    let envelope = Envelope::parse(&read_capped(&path, MAX_ENVELOPE_BYTES)?);
    let envelope = envelope.map_err(|error| of_envelope(&error))?;
    let payload = attest::verify(&envelope, &keys, 1).map_err(|error| of_envelope(&error))?;
    Record::from_statement(payload).map_err(|error| of_envelope(&error))
}

/// Which output a file is.
fn recorded<'a>(record: &'a Record, file: &Path, path: Option<&str>) -> Result<&'a Recorded, Failure> {
    if let Some(path) = path {
        let missing = || Failure::new(format!("the record has no file `{path}`"));
        return record.output(path).ok_or_else(missing);
    }
    let same = |output: &&Recorded| Path::new(&output.path).file_name() == file.file_name();
    let all: Vec<&Recorded> = record.outputs.iter().filter(same).collect();
    match all.as_slice() {
        [only] => Ok(*only),
        _ => Err(Failure::new(format!(
            "the record has {} files of the name of `{}`: say which one it is with `--as`",
            all.len(),
            file.display()
        ))),
    }
}

/// Whether the record's own file is another than the one that was signed. Who reads a platform's bytes back has none.
fn other_record(file: &Path, record: &Record) -> Result<Option<Difference>, Failure> {
    if File::open(file).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let [found, recorded] = [read_capped(file, MAX_BYTES)?, record.to_json()?].map(|json| Sha256::of(&json));
    let path = file.display().to_string();
    Ok((found != recorded).then_some(Difference::Changed { path, recorded, found }))
}
