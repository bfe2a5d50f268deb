//! The build steps that are not cargo's own: `cargo xtask guests`, `test`, `demo`, `bench`, `edge`, `fuzz`.
//!
//! Everything is derived from the folders of the workspace; a new guest needs no line here.

mod bench;
mod demo;
mod edge;
mod fuzz;
mod guests;
mod process;
mod test;
mod toolchain;
mod viceroy;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// The build steps of Tollgate that are not cargo's own.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build every guest and gate component from source into `target/guests`.
    Guests(guests::Args),
    /// Build the guests, then run every test: extra arguments go to the test runner.
    Test(test::Args),
    /// Build and sign the samples and start a host with two tenants on 127.0.0.1.
    Demo(demo::Args),
    /// Build what one benchmark needs, and run it.
    Bench(bench::Args),
    /// Compile the workers of edge platforms, and install what makes and runs their bundles.
    Edge(edge::Args),
    /// Run the fuzz targets, with coverage to guide them, for some seconds each.
    Fuzz(fuzz::Args),
    /// Prepare the compiler for guests, and nothing else.
    Toolchain(toolchain::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match cli.command {
        Command::Guests(args) => guests::run(&workspace, &args).map(|_| ExitCode::SUCCESS),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Edge(args) => edge::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
        Command::Fuzz(args) => fuzz::run(&workspace, &args),
        Command::Toolchain(args) => toolchain::run(&workspace, &args).map(|()| ExitCode::SUCCESS),
    }
}
