//! Viceroy, the vendor's own local Fastly, for the stories at the edge.
//!
//! It is built once, at one version, into `target/tools`, which outlives checkouts where the target folder does.

use crate::process::{self, step};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::Command;

/// The version that the service's contract was taken from (`wit/deps/pins.toml`).
const VERSION: &str = "0.22.0";

/// Installs it, unless it is there.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let root = workspace.tools();
    let there = process::output(Command::new(root.join("bin/viceroy")).arg("--version"));
    if there.is_ok_and(|said| said.trim() == format!("viceroy {VERSION}")) {
        return Ok(());
    }
    std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    step(&format!("install Viceroy {VERSION}: once, some minutes"), || {
        let mut command = Command::new("cargo");
        command
            .args(["install", "--quiet", "--locked", "--version", VERSION, "viceroy", "--root"])
            .arg(&root);
        // Not into our target: it shares nothing with us.
        command.env_remove("CARGO_TARGET_DIR");
        command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        process::run(&mut command)
    })
}
