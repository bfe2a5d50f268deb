//! `tollgate keygen`.

use crate::output::{Failure, Output};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tollgate_trust::root::key_entry;
use tollgate_trust::{KeyName, SigningKey};

const EXAMPLES: &str = "\
Examples:
  tollgate keygen --out release.key
  tollgate keygen --out host.key --json

The private key is an Ed25519 key in PKCS#8 PEM form, readable by its owner only; the public key lies beside it, in \
SPKI PEM form, with the extension `pub`. `openssl pkey` reads both. The same kind of key signs components (`tollgate \
sign`) and the audit log's checkpoints (`[audit] key`); use different keys for the two. No file is overwritten.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeygenArgs {
    /// Where the private key goes; the public key goes to the same name with the extension `pub`
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// What the trust file is to call the key [default: the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Made<'a> {
    key_id: String,
    private_key: &'a Path,
    public_key: &'a Path,
    trust_entry: String,
}

pub(super) fn run(args: &KeygenArgs, output: &mut Output) -> Result<(), Failure> {
    let public_path = args.out.with_extension("pub");
    if public_path == args.out {
        return Err(Failure::new(format!(
            "`{}` is where the public key goes: give the private key another extension, such as `key`",
            args.out.display()
        )));
    }
    let stem = args.out.file_stem().and_then(|stem| stem.to_str()).unwrap_or("key");
    let name: KeyName = args.name.as_deref().unwrap_or(stem).parse()?;
    let key = SigningKey::generate()?;
    let public = key.public();
    key.write_new(&args.out)?;
    if let Err(error) = public.write_new(&public_path) {
        // A pair, or nothing: the private key is this run's own file.
        let _ = std::fs::remove_file(&args.out);
        return Err(error.into());
    }
    let entry = key_entry(&name, &public);
    if args.json {
        return output.json(&Made {
            key_id: public.id().to_string(),
            private_key: &args.out,
            public_key: &public_path,
            trust_entry: entry,
        });
    }
    output.good(
        "made",
        format_args!("{} (keep it secret) and {}", args.out.display(), public_path.display()),
    )?;
    output.line(format_args!("key id: {}\n", public.id()))?;
    output.line("To trust what it signs, add this to the trust file:\n")?;
    output.text(&entry)?;
    output.line(format_args!(
        "\n[[packages]]\npattern = \"{name}:*\"   # the namespace or package that it may sign\nkeys = [\"{name}\"]\nthreshold = 1"
    ))
}
