//! `tollgate inspect`.

use super::read_capped;
use super::world::world;
use crate::output::{Failure, Output, chain};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tollgate_runtime::{Inspection, MAX_COMPONENT_BYTES};
use tollgate_trust::file::FileError;
use tollgate_trust::statement::Statement;
use tollgate_trust::{Blake3, Refused, Sha256, TrustRoot, read_envelope, verify};

const EXAMPLES: &str = "\
Examples:
  tollgate inspect web.wasm
  tollgate inspect web.wasm --trust trust.toml
  tollgate inspect web.wasm --json | jq -r '.imports[] | .grant // empty'

Nothing is refused here: a signature that fails is shown as failed. Ask `tollgate verify` for a yes or no.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The component
    file: PathBuf,
    /// The trust file, to tell whether the signers are trusted
    #[arg(long, short, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    bytes: usize,
    sha256: String,
    blake3: String,
    world: Option<String>,
    signature: Signature,
    imports: Vec<Import>,
    exports: Vec<String>,
    core_modules: usize,
    memories: Vec<Memory>,
}

/// What is known of the signature.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Signature {
    /// There is no envelope.
    Unsigned,
    /// There is one, and it was not checked against any trust file: the key ids are hints.
    Unchecked { subject: String, key_ids: Vec<String> },
    /// It is good.
    Signed { subject: String, signers: Vec<String> },
    /// It is not.
    Failed { code: &'static str, reason: String },
}

#[derive(Serialize)]
struct Import {
    name: String,
    grant: Option<&'static str>,
    known: bool,
}

#[derive(Serialize)]
struct Memory {
    initial_bytes: u64,
    maximum_bytes: Option<u64>,
}

pub(super) fn run(args: &InspectArgs, output: &mut Output) -> Result<(), Failure> {
    let bytes = read_capped(&args.file, MAX_COMPONENT_BYTES)?;
    let inspection = Inspection::of(&bytes)
        .map_err(|error| Failure::new(format!("`{}`: {error}", args.file.display())))?;
    let root = args.trust.as_deref().map(TrustRoot::read).transpose()?;
    let report = Report {
        file: args.file.clone(),
        bytes: inspection.bytes,
        sha256: Sha256::of(&bytes).to_string(),
        blake3: Blake3::of(&bytes).to_string(),
        world: world(&inspection),
        signature: signature(&args.file, bytes, root.as_ref()),
        imports: inspection
            .imports
            .into_iter()
            .map(|import| Import { name: import.name, grant: import.grant, known: import.known })
            .collect(),
        exports: inspection.exports,
        core_modules: inspection.core_modules,
        memories: inspection
            .memories
            .into_iter()
            .map(|(initial_bytes, maximum_bytes)| Memory { initial_bytes, maximum_bytes })
            .collect(),
    };
    if args.json { output.json(&report) } else { show(&report, output) }
}

fn signature(file: &Path, bytes: Vec<u8>, root: Option<&TrustRoot>) -> Signature {
    let failed = |refused: &Refused| Signature::Failed { code: refused.code(), reason: chain(refused) };
    let envelope = match read_envelope(file) {
        Ok(envelope) => envelope,
        Err(FileError::Refused { source, .. }) if matches!(*source, Refused::Unsigned { .. }) => {
            return Signature::Unsigned;
        }
        Err(FileError::Refused { source, .. }) => return failed(&source),
        Err(error) => return Signature::Failed { code: "unreadable", reason: chain(&error) },
    };
    if let Some(root) = root {
        return match verify(bytes, &envelope, root, Timestamp::now()) {
            Ok(verified) => Signature::Signed {
                subject: verified.release().subject(),
                signers: verified.signers().iter().map(ToString::to_string).collect(),
            },
            Err(refused) => failed(&refused),
        };
    }
    let statement = match Statement::parse(envelope.payload()) {
        Ok(statement) => statement,
        Err(error) => return Signature::Failed { code: "malformed-signature", reason: chain(&error) },
    };
    let subject = statement.release.subject();
    match statement.match_bytes(&bytes) {
        Ok(_) => {
            let hints = envelope.signatures().iter();
            let key_ids =
                hints.map(|one| one.keyid.clone().unwrap_or_else(|| "unnamed".to_owned())).collect();
            Signature::Unchecked { subject, key_ids }
        }
        Err(mismatch) => failed(&Refused::Changed { subject, mismatch }),
    }
}

fn show(report: &Report, output: &mut Output) -> Result<(), Failure> {
    output.line(format_args!("{}", report.file.display()))?;
    output.line(format_args!("  size       {}", size(report.bytes as u64)))?;
    output.line(format_args!("  sha256     {}", report.sha256))?;
    output.line(format_args!("  blake3     {}", report.blake3))?;
    output.line(format_args!(
        "  world      {}",
        report.world.as_deref().unwrap_or("not one that this host runs")
    ))?;
    output.line(format_args!("  signature  {}", signature_line(&report.signature)))?;
    output.line(format_args!("  code       {}", count(report.core_modules, "core module")))?;
    for memory in &report.memories {
        let most = memory
            .maximum_bytes
            .map_or_else(|| "no maximum of its own".to_owned(), |most| format!("at most {}", size(most)));
        output.line(format_args!("  memory     {} at the start, {most}", size(memory.initial_bytes)))?;
    }
    output.line("  imports")?;
    let width = report.imports.iter().map(|import| import.name.len()).max().unwrap_or_default();
    for import in &report.imports {
        let needs = match (import.grant, import.known) {
            // What is on unless it is withheld.
            (Some(grant), _) if grant.ends_with("= true") => format!("granted by default, as `{grant}`"),
            (Some(grant), _) => format!("needs `{grant}`"),
            (None, _) if import.name.starts_with("tollgate:gate/") => {
                "from another part of the gate".to_owned()
            }
            (None, true) => "needs no grant".to_owned(),
            (None, false) => "this host does not have it".to_owned(),
        };
        output.line(format_args!("    {:width$}  {needs}", import.name))?;
    }
    output.line("  exports")?;
    for export in &report.exports {
        output.line(format_args!("    {export}"))?;
    }
    Ok(())
}

fn signature_line(signature: &Signature) -> String {
    match signature {
        Signature::Unsigned => "unsigned".to_owned(),
        Signature::Unchecked { subject, key_ids } => {
            format!(
                "as {subject}, unchecked: name a trust file with `--trust`; says it is by {}",
                key_ids.join(", ")
            )
        }
        Signature::Signed { subject, signers } => format!("signed as {subject} by {}", signers.join(", ")),
        Signature::Failed { reason, .. } => format!("failed: {reason}"),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Bytes in the largest binary unit that gives at least 1, with one decimal.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(factor, _)| bytes >= *factor) {
        Some((factor, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_its_largest_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_600_000, "1.5 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
