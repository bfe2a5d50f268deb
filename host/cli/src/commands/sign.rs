//! `tollgate sign`.

use super::read_capped;
use super::world::world;
use crate::output::{Failure, Output};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tollgate_runtime::{Inspection, MAX_COMPONENT_BYTES};
use tollgate_trust::file::FileError;
use tollgate_trust::statement::Statement;
use tollgate_trust::{
    Envelope, PackageName, Refused, Release, Sha256, SigningKey, countersign, envelope_path, read_envelope,
    sign, write_envelope,
};

const EXAMPLES: &str = "\
Examples:
  tollgate sign web.wasm --key release.key --package acme:web@1.2.0
  tollgate sign web.wasm --key second.key            # adds a second signature
  tollgate sign web.wasm --key release.key --package acme:web@1.2.1 --not-after 2027-01-01T00:00:00Z

The envelope is written beside the component, as FILE.dsse.json: DSSE with an in-toto statement, which \
OpenSSL and securesystemslib can verify. A signature is added to an envelope that is there and was made for these bytes and \
this package; an envelope of other bytes is replaced, since nobody can use it any more.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SignArgs {
    /// The component
    file: PathBuf,
    /// The private key, PKCS#8 PEM
    #[arg(long, short, value_name = "FILE")]
    key: PathBuf,
    /// What it is: a package and its version. Can be left out when a signature is added
    #[arg(long, short, value_name = "NAMESPACE:NAME@VERSION")]
    package: Option<String>,
    /// The first moment when it may be loaded [default: now]
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// The last moment when it may be loaded [default: it does not expire]
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
    /// A number that grows with each release of the package [default: the present time in seconds]
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// sha256 of the statement that this one takes the place of
    #[arg(long, value_name = "SHA256")]
    supersedes: Option<Sha256>,
    /// The world that the component was built for [default: told by what it exports]
    #[arg(long, value_name = "WORLD")]
    world: Option<String>,
    /// Replace an envelope that is there, with all its signatures
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Signed<'a> {
    file: &'a Path,
    envelope: PathBuf,
    subject: String,
    sha256: String,
    statement_sha256: String,
    key_id: String,
    signatures: usize,
}

pub(super) fn run(args: &SignArgs, output: &mut Output) -> Result<(), Failure> {
    let key = SigningKey::read(&args.key)?;
    let bytes = read_capped(&args.file, MAX_COMPONENT_BYTES)?;
    let (envelope, statement) = match standing(args, &bytes, output)? {
        Some((mut envelope, statement)) => {
            countersign(&mut envelope, &bytes, &key)?;
            (envelope, statement)
        }
        None => {
            let envelope = sign(&bytes, release(args, &bytes)?, &key)?;
            let statement = Statement::parse(envelope.payload())?;
            (envelope, statement)
        }
    };
    let path = write_envelope(&args.file, &envelope)?;
    let signed = Signed {
        file: &args.file,
        envelope: path,
        subject: statement.release.subject(),
        sha256: statement.sha256.to_string(),
        statement_sha256: envelope.statement_sha256().to_string(),
        key_id: key.public().id().to_string(),
        signatures: envelope.signatures().len(),
    };
    if args.json {
        return output.json(&signed);
    }
    output.good("signed", format_args!("{} as {}", args.file.display(), signed.subject))?;
    output.line(format_args!("  sha256    {}", signed.sha256))?;
    output.line(format_args!("  key id    {}", signed.key_id))?;
    output.line(format_args!(
        "  envelope  {} ({} signed)",
        signed.envelope.display(),
        keys(signed.signatures)
    ))
}

fn keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

/// The envelope that is there and fits, so that a signature is to be added to it.
fn standing(
    args: &SignArgs,
    bytes: &[u8],
    output: &mut Output,
) -> Result<Option<(Envelope, Statement)>, Failure> {
    if args.replace {
        return Ok(None);
    }
    let envelope = match read_envelope(&args.file) {
        Ok(envelope) => envelope,
        Err(FileError::Refused { source, .. }) if matches!(*source, Refused::Unsigned { .. }) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::new(format!(
                "{}; `--replace` makes a new envelope",
                crate::output::chain(&error)
            )));
        }
    };
    let statement = Statement::parse(envelope.payload())?;
    if statement.match_bytes(bytes).is_err() {
        let path = envelope_path(&args.file);
        output.warning(format_args!("`{}` was made for other bytes, and is replaced", path.display()));
        return Ok(None);
    }
    let subject = statement.release.subject();
    if let Some(package) = args.package.as_ref().filter(|package| **package != subject) {
        return Err(Failure::new(format!(
            "the component is signed as `{subject}`, and `--package` says `{package}`: leave out `--package` to add a signature, or add `--replace` to sign anew"
        )));
    }
    let said = [
        ("--not-before", args.not_before.is_some_and(|time| time != statement.release.not_before)),
        ("--not-after", args.not_after.is_some() && args.not_after != statement.release.not_after),
        ("--sequence", args.sequence.is_some_and(|sequence| sequence != statement.release.sequence)),
        ("--supersedes", args.supersedes.is_some() && args.supersedes != statement.release.supersedes),
        ("--world", args.world.as_ref().is_some_and(|world| *world != statement.release.world)),
    ];
    if let Some((option, _)) = said.iter().find(|(_, differs)| *differs) {
        return Err(Failure::new(format!(
            "the component is signed as `{subject}`, and that statement says something else for `{option}`: leave it out to add a signature, or add `--replace` to sign anew"
        )));
    }
    Ok(Some((envelope, statement)))
}

fn release(args: &SignArgs, bytes: &[u8]) -> Result<Release, Failure> {
    let Some(package) = &args.package else {
        return Err(Failure::new(
            "`--package` is missing: say what it is, such as `--package acme:web@1.0.0`",
        ));
    };
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::new(format!("`--package {package}` can't be used: {what}; write such as `acme:web@1.0.0`"))
    };
    let (name, version) = package.split_once('@').ok_or_else(|| wrong(&"it has no version"))?;
    let inspection = Inspection::of(bytes)
        .map_err(|error| Failure::new(format!("`{}` can't be signed: {error}", args.file.display())))?;
    let world = args.world.clone().or_else(|| world(&inspection)).ok_or_else(|| {
        Failure::new(format!(
            "`{}` exports nothing that tells its world: name it, such as `--world acme:internal/app@1.0.0`",
            args.file.display()
        ))
    })?;
    let now = Timestamp::now();
    // Whole seconds: shorter, and nobody signs more often.
    let not_before =
        args.not_before.unwrap_or_else(|| Timestamp::from_second(now.as_second()).unwrap_or(now));
    Ok(Release {
        package: name.parse::<PackageName>().map_err(|error| wrong(&error))?,
        version: version.parse().map_err(|error: semver::Error| wrong(&error))?,
        world,
        imports: inspection.imports.into_iter().map(|import| import.name).collect(),
        not_before,
        not_after: args.not_after,
        sequence: args.sequence.unwrap_or_else(|| u64::try_from(now.as_second()).unwrap_or_default()),
        supersedes: args.supersedes,
    })
}
