//! `cargo xtask test`: everything the tests need, then the tests.

use crate::process::{self, say, step};
use crate::viceroy;
use crate::workspace::Workspace;
use crate::{edge, guests};
use anyhow::Result;
use std::process::{Command, ExitCode};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for the test runner, for example a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// Builds the guests, runs the tests, and the examples in the documentation unless a filter was given.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    guests::run(workspace, &guests::Args::default())?;
    viceroy::install(workspace)?;
    edge::run(workspace, &edge::Args::default())?;
    let nextest = process::succeeds(Command::new("cargo").args(["nextest", "--version"]));
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root).args(if nextest { &["nextest", "run"][..] } else { &["test"][..] });
    command.args(&args.runner);
    let mut passed =
        step(if nextest { "cargo nextest run" } else { "cargo test" }, || Ok(command.status()?.success()))?;
    // nextest does not run the documentation's examples; `cargo test` already did.
    if nextest && args.runner.is_empty() {
        let mut command = Command::new("cargo");
        command.current_dir(&workspace.root).args(["test", "--doc"]);
        passed &= step("cargo test --doc", || Ok(command.status()?.success()))?;
    }
    say(if passed { "xtask: all tests passed" } else { "xtask: some tests failed" });
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
