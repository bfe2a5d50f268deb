//! The compiler for guests: the standard library for [`UNKNOWN`] and [`WASIP2`], found or fetched.
//!
//! Three ways, in this order: it is there already; rustup fetches it; Debian's compiler builds it from Debian's
//! sources. Each way is taken only if the one before failed, and doing it again changes nothing.

mod debian;

use crate::process::{self, say, step};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// For components that import nothing but what they use.
pub(crate) const UNKNOWN: &str = "wasm32-unknown-unknown";
/// For apps: a standard library over WASI 0.2, linked as a component.
pub(crate) const WASIP2: &str = "wasm32-wasip2";

/// How to prepare it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make the compiler from Debian's packages even if another is there: to try that way out.
    #[arg(long)]
    debian: bool,
}

/// Prepares the toolchain and says which it is.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain =
        if args.debian { debian::prepare(&debian_folder(workspace))? } else { prepare(workspace)? };
    match toolchain.environment.first() {
        None => say("xtask: the workspace's own compiler builds guests"),
        Some((name, value)) => say(&format!("xtask: guests are built with {name}={}", value.display())),
    }
    Ok(())
}

fn debian_folder(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("debian")
}

/// A cargo that can build for both targets.
pub(crate) struct Toolchain {
    /// Empty for the workspace's own compiler, else what the commands need to use another.
    environment: Vec<(String, PathBuf)>,
    cargo: PathBuf,
}

impl Toolchain {
    /// A `cargo` command, to be given a sub-command.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Returns a toolchain for both targets, fetching what is missing.
pub(crate) fn prepare(workspace: &Workspace) -> Result<Toolchain> {
    let own = Toolchain { environment: Vec::new(), cargo: "cargo".into() };
    let missing: Vec<&str> = [UNKNOWN, WASIP2].into_iter().filter(|target| !has_std(target)).collect();
    if missing.is_empty() {
        return Ok(own);
    }
    if process::succeeds(Command::new("rustup").arg("--version")) {
        let added = step(&format!("rustup target add {}", missing.join(" ")), || {
            process::run(Command::new("rustup").args(["target", "add"]).args(&missing))
        });
        match added {
            Ok(()) if missing.iter().all(|target| has_std(target)) => return Ok(own),
            Ok(()) => say("xtask: rustup put the target where this compiler does not look"),
            Err(error) => say(&format!("xtask: {error:#}")),
        }
    }
    if !debian::is_here() {
        bail!(
            "no standard library for {}: install rustup and run `rustup target add {}`, \
             or use Debian 12, whose packages can stand in",
            missing.join(" and "),
            missing.join(" ")
        );
    }
    debian::prepare(&debian_folder(workspace))
        .context("neither rustup nor Debian's packages gave a compiler for guests")
}

/// True if the workspace's compiler has a standard library for this target.
fn has_std(target: &str) -> bool {
    let printed = process::output(Command::new("rustc").args(["--print=target-libdir", "--target", target]));
    printed.is_ok_and(|path| holds_std(Path::new(path.trim())))
}

/// True if a folder of libraries holds the standard library.
fn holds_std(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}
