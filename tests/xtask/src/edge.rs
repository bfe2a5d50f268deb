//! `cargo xtask edge`: what makes and runs bundles for edge platforms, in `target/tools`.

use crate::guests;
use crate::process::say;
use crate::workspace::Workspace;
use anyhow::Result;

/// What to prepare.
#[derive(clap::Args, Default)]
pub(crate) struct Args {}

/// Compiles the Cloudflare worker, and installs the transpiler and the local platform that its lock pins.
pub(crate) fn run(workspace: &Workspace, _: &Args) -> Result<()> {
    let source = workspace.root.join("edge-adapters/cloudflare/worker");
    let folder = guests::node_project(workspace, "cloudflare", &source)?;
    say(&format!("xtask: the tools of the Cloudflare adapter are in {}", folder.display()));
    Ok(())
}
