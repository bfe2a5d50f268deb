//! `cargo xtask bench NAME`: what a benchmark needs, then the benchmark.

use crate::guests;
use crate::process::{self, say, step};
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::process::{Command, ExitCode};

/// Which benchmark to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file's name in `benches/benches`; none to print them all.
    name: Option<String>,
    /// Arguments for the benchmark, such as `--wasmtime PATH` for those with a peer.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The components that benchmarks load.
const GUESTS: [&str; 6] =
    ["hello", "hello-02", "tollgate-gate", "tollgate-policy", "tollgate-limiter", "tollgate-audit"];

/// Those that the benchmark `goals` loads besides, and those of its goal `scripts`.
const GOALS: [&str; 5] = ["echo", "work", "bytes_in", "big_body", "corpus"];
const SCRIPTS: [&str; 2] = ["handler-js", "hello-python"];

/// The benchmark that counts, and needs neither guests nor a host.
const INSTRUCTIONS: &str = "instructions";

/// The guests of a benchmark. Those in other languages need their tools, so only who asks for them builds them.
fn guests_of(name: &str, rest: &[String]) -> Vec<&'static str> {
    let mut guests = GUESTS.to_vec();
    if name == "goals" {
        guests.extend(GOALS);
        if rest.is_empty() || rest.iter().any(|goal| goal == "scripts") {
            guests.extend(SCRIPTS);
        }
    }
    guests
}

/// Builds the guests and the host, and runs one benchmark.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let names = names(workspace)?;
    let Some(name) = &args.name else {
        say(&names.join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    if !names.contains(name) {
        bail!("no benchmark is called `{name}`; there are: {}", names.join(", "));
    }
    let cargo = || {
        let mut command = Command::new("cargo");
        command.current_dir(&workspace.root);
        command
    };
    if name == INSTRUCTIONS {
        // As tests build it: what is built for them is there already.
        let bench = ["bench", "--quiet", "--workspace", "--profile", "dev", "--bench", name, "--"];
        return process::run(cargo().args(bench).args(&args.rest)).map(|()| ExitCode::SUCCESS);
    }
    guests::run(workspace, &guests::Args::only(&guests_of(name, &args.rest)))?;
    // The host as it is shipped. To link each benchmark like that, too, would take minutes each.
    let build = ["build", "--profile", "dist", "--package", "tollgate"];
    step("build the host", || process::run(cargo().args(build)))?;
    let bench = ["bench", "--quiet", "--package", "tollgate-benches", "--bench", name, "--"];
    let host = workspace.target.join("dist/tollgate");
    process::run(cargo().env("TOLLGATE_BINARY", host).args(bench).args(&args.rest))
        .map(|()| ExitCode::SUCCESS)
}

fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in std::fs::read_dir(workspace.root.join("benches/benches"))? {
        if let Some(name) = file?.file_name().to_string_lossy().strip_suffix(".rs") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
