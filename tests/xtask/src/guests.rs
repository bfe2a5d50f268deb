//! `cargo xtask guests`: every component of this repository, from source, into `target/guests/<name>.wasm`.
//!
//! What there is to build is read from the folders ([`plan`]). Cargo decides what of the Rust is stale; for the
//! other languages a fingerprint of everything that goes in decides ([`fingerprint`]).

mod fingerprint;
mod plan;
mod rust;
mod script;

pub(crate) use script::node_project;

use crate::process::say;
use crate::toolchain;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use plan::{Guest, Recipe};
use std::path::{Path, PathBuf};

/// What to build.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Build only the guest of this name; may be given again.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the names of all guests and build nothing.
    #[arg(long)]
    list: bool,
    /// Leave out guests that are not written in Rust, and so need Node.js or Python.
    #[arg(long)]
    rust_only: bool,
}

impl Args {
    /// Only these guests.
    pub(crate) fn only(names: &[&str]) -> Self {
        Self { only: names.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }
}

/// Builds what was asked for; returns the folder of finished components.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<PathBuf> {
    let mut guests = plan::discover(workspace)?;
    for name in &args.only {
        if !guests.iter().any(|guest| guest.name == *name) {
            bail!("no guest is called `{name}`; `cargo xtask guests --list` names them all");
        }
    }
    guests.retain(|guest| {
        let wanted = args.only.is_empty() || args.only.contains(&guest.name);
        wanted && !(args.rust_only && matches!(guest.recipe, Recipe::Script { .. }))
    });
    if args.list {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        for guest in &guests {
            writeln!(out, "{}", guest.name)?;
        }
        return Ok(workspace.guests());
    }
    build(workspace, &guests)
}

fn build(workspace: &Workspace, guests: &[Guest]) -> Result<PathBuf> {
    let folder = workspace.guests();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if guests.iter().any(|guest| matches!(guest.recipe, Recipe::Core { .. } | Recipe::Linked { .. })) {
        let toolchain = toolchain::prepare(workspace)?;
        rust::build(workspace, &toolchain, guests, &folder)?;
    }
    for guest in guests {
        match &guest.recipe {
            Recipe::Core { .. } | Recipe::Linked { .. } => {}
            Recipe::Text { source } => {
                let bytes = wat::parse_file(source)?;
                write_if_changed(&folder.join(format!("{}.wasm", guest.name)), &bytes)?;
            }
            Recipe::Script { language, source } => {
                script::build(workspace, &guest.name, *language, source, &folder)?;
            }
        }
    }
    say(&format!("xtask: {} guests are in {}", guests.len(), folder.display()));
    Ok(folder)
}

/// Writes a file only if that changes it, and so that a reader sees the old or the new one whole.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let parted = path.with_extension("part");
    std::fs::write(&parted, bytes).with_context(|| format!("cannot write {}", parted.display()))?;
    std::fs::rename(&parted, path).with_context(|| format!("cannot write {}", path.display()))
}
