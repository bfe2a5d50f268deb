//! `tollgate audit`: the log is read from its directory, without the host and without trusting it.

use crate::config::Config;
use crate::output::{Failure, Output, chain, config_failure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use tollgate_audit::note::{Note, VerifierKey};
use tollgate_audit::{Checkpoint, prove_inclusion, verify_log};
use tollgate_server::LogReader;
use tollgate_trust::SigningKey;

/// Read and check the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check the whole log: every record, every hash, and the signed checkpoint
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Source),
    /// Print a proof that the log holds a record
    #[command(after_help = PROVE_EXAMPLES)]
    Prove {
        /// The record's index, counted from 0
        index: u64,
        #[command(flatten)]
        source: Source,
    },
    /// Show the newest records
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// How many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        last: u64,
        #[command(flatten)]
        source: Source,
    },
    /// Print the public key that checks the log, as C2SP signed-note has it
    #[command(after_help = KEY_EXAMPLES)]
    Key {
        /// The configuration whose log is meant
        #[arg(long, short, value_name = "FILE", default_value = "tollgate.toml")]
        config: PathBuf,
    },
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  tollgate audit verify --config tollgate.toml
  tollgate audit verify /srv/copy-of-the-log --key \"$(cat log.vkey)\"

Whoever keeps the key apart from the host can tell whether the host has rewritten its log.";

const PROVE_EXAMPLES: &str = "\
Examples:
  tollgate audit prove 4711 > record-4711.tlog-proof
  tollgate audit prove 4711 --json

The proof is a C2SP tlog-proof: with it, the record and the log's key, anyone can check that the record is in the log.";

const SHOW_EXAMPLES: &str = "\
Examples:
  tollgate audit show --last 5
  tollgate audit show --last 1000 --json | jq 'select(.outcome.kind == \"denied\")'

With `--json` each record is one line, exactly as it stands in the log.";

const KEY_EXAMPLES: &str = "\
Examples:
  tollgate audit key > log.vkey";

/// Which log, and whose signature it must have.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The log's directory [default: the one that the configuration names]
    directory: Option<PathBuf>,
    /// The public key that signs its checkpoints: `name+id+key` [default: the configuration's]
    #[arg(long, short, value_name = "VKEY")]
    key: Option<VerifierKey>,
    /// The configuration whose log is meant, unless directory and key are given
    #[arg(long, short, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified {
    origin: String,
    records: u64,
    root_sha256: String,
    earliest: Option<String>,
    latest: Option<String>,
}

#[derive(Serialize)]
struct Proved<'a> {
    index: u64,
    record: serde_json::Value,
    proof: &'a str,
}

pub(super) fn run(command: &AuditCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(source) => verify(source, output),
        AuditCommand::Prove { index, source } => prove(*index, source, output),
        AuditCommand::Show { last, source } => show(*last, source, output),
        AuditCommand::Key { config } => {
            let config = Config::read(config).map_err(config_failure)?;
            output.line(verifier_key(&config)?)
        }
    }
}

/// The key that checks the log of a configuration.
pub(super) fn verifier_key(config: &Config) -> Result<VerifierKey, Failure> {
    let public = SigningKey::read(&config.audit.key)?.public();
    Ok(VerifierKey::new(&config.audit.origin, public.to_bytes())?)
}

impl Source {
    fn log(&self) -> Result<(PathBuf, VerifierKey), Failure> {
        if let (Some(directory), Some(key)) = (&self.directory, &self.key) {
            return Ok((directory.clone(), key.clone()));
        }
        let config = Config::read(&self.config).map_err(config_failure)?;
        let key = match &self.key {
            Some(key) => key.clone(),
            None => verifier_key(&config)?,
        };
        Ok((self.directory.clone().unwrap_or(config.audit.directory), key))
    }
}

fn wrong(directory: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the log in `{}`: {}", directory.display(), chain(error)))
}

fn open(directory: &Path) -> Result<LogReader, Failure> {
    LogReader::open(directory).map_err(|error| wrong(directory, &error))
}

fn verify(source: &Source, output: &mut Output) -> Result<(), Failure> {
    let (directory, key) = source.log()?;
    let log = open(&directory)?;
    let summary = verify_log(&|key| log.read(key), &key).map_err(|error| wrong(&directory, &error))?;
    let verified = Verified {
        origin: summary.origin,
        records: summary.size,
        root_sha256: hex::encode(summary.root),
        earliest: summary.earliest.map(time),
        latest: summary.latest.map(time),
    };
    if source.json {
        return output.json(&verified);
    }
    output.good("verified", format_args!("{} records of {}", verified.records, verified.origin))?;
    output.line(format_args!("  root      {}", verified.root_sha256))?;
    if let (Some(earliest), Some(latest)) = (verified.earliest, verified.latest) {
        output.line(format_args!("  requests  from {earliest} to {latest}"))?;
    }
    Ok(())
}

fn prove(index: u64, source: &Source, output: &mut Output) -> Result<(), Failure> {
    let (directory, key) = source.log()?;
    let log = open(&directory)?;
    let proof =
        prove_inclusion(&|key| log.read(key), &key, index).map_err(|error| wrong(&directory, &error))?;
    let text = proof.to_tlog_proof();
    if !source.json {
        return output.text(text);
    }
    let record = serde_json::from_slice(&proof.record)?;
    output.json(&Proved { index, record, proof: &text })
}

fn show(last: u64, source: &Source, output: &mut Output) -> Result<(), Failure> {
    let (directory, key) = source.log()?;
    let log = open(&directory)?;
    let read = |key: &str| log.read(key);
    let size = size(&read, &key)
        .map_err(|reason| Failure::new(format!("the log in `{}`: {reason}", directory.display())))?;
    for index in size.saturating_sub(last)..size {
        let record = tollgate_audit::entry(&read, &key, index).map_err(|error| wrong(&directory, &error))?;
        if source.json {
            output.line(String::from_utf8_lossy(&record))?;
        } else {
            output.line(line(index, &record))?;
        }
    }
    Ok(())
}

/// How many records the log has, by its signed checkpoint.
fn size(read: &impl Fn(&str) -> io::Result<Option<Vec<u8>>>, key: &VerifierKey) -> Result<u64, String> {
    let bytes = read("checkpoint").map_err(|error| format!("`checkpoint`: {error}"))?;
    let bytes = bytes.ok_or("there is no `checkpoint`, so this is no log")?;
    let note = Note::parse(&bytes).map_err(|error| chain(&error))?;
    let text = note.verify(key).map_err(|error| chain(&error))?;
    Checkpoint::parse(text).map(|checkpoint| checkpoint.size).map_err(|error| chain(&error))
}

/// A record in one line for people.
fn line(index: u64, record: &[u8]) -> String {
    match tollgate_audit::parse(record) {
        Ok(entry) => {
            let who = if entry.tenant.is_empty() {
                entry.actor.id
            } else {
                format!("{}:{}", entry.tenant, entry.actor.id)
            };
            format!(
                "{index:>8}  {}  {who}  {} {}  {}  gas {}",
                time(entry.time),
                entry.action,
                entry.resource,
                outcome(&entry.outcome),
                entry.usage.gas
            )
        }
        Err(error) => format!("{index:>8}  not a record: {}", chain(&error)),
    }
}

fn outcome(outcome: &tollgate_audit::Outcome) -> String {
    use tollgate_audit::Outcome;
    match outcome {
        Outcome::Answered(status) => status.to_string(),
        Outcome::Denied => "denied".to_owned(),
        Outcome::Limited => "limited".to_owned(),
        Outcome::Refused(bound) => format!("refused:{bound}"),
        Outcome::Failed(fault) => format!("failed:{fault}"),
        Outcome::Abandoned => "abandoned".to_owned(),
        Outcome::Interrupted => "interrupted".to_owned(),
    }
}

fn time(nanoseconds: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => nanoseconds.to_string(),
    }
}
