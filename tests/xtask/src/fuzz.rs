//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz` under libFuzzer, for some seconds each.
//!
//! libFuzzer runs with coverage and without a sanitizer, which would ask for another compiler: nearly all of the code
//! is safe Rust, and overflow checks and debug assertions are on. What a run finds out stays in the target folder and
//! is where the next run goes on; the seeds in `tests/fuzz/corpus` are only read.

use crate::process::{self, say, step};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The version of cargo-fuzz that is installed.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";

/// Targets that need neither the engine nor the server: they build in a third of the time.
const LIGHT: [&str; 3] = ["envelope", "gate_inputs", "tiles"];

/// One input may take so long, in seconds, and a target so much memory, in MiB.
const INPUT_SECONDS: u32 = 30;
const MEMORY_MIB: u32 = 2048;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file's name in `tests/fuzz/targets`; none for all of them.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Only the targets that build without the engine.
    #[arg(long, conflicts_with = "target")]
    light: bool,
}

/// Builds the targets and runs them; a crash says where its input is.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let names = names(workspace, args)?;
    let light = names.iter().all(|name| LIGHT.contains(&name.as_str()));
    let tool = cargo_fuzz(workspace)?;
    let folder = workspace.root.join("tests/fuzz");
    let built = workspace.target.join("fuzz");
    let platform = platform()?;
    let mut build = Command::new(tool);
    build.current_dir(&folder).env("CARGO_TARGET_DIR", &built).env("CARGO_INCREMENTAL", "0");
    build.args(["fuzz", "build", "--dev", "--sanitizer", "none", "--fuzz-dir", ".", "--target", &platform]);
    if light {
        build.arg("--no-default-features");
    }
    step("build the fuzz targets with coverage", || process::run(&mut build))?;
    let mut crashed = Vec::new();
    for name in &names {
        let binary = built.join(&platform).join("debug").join(name);
        if !step(&format!("fuzz {name} for {} s", args.seconds), || {
            fuzz(&binary, name, args.seconds, &folder, &built)
        })? {
            crashed.push(name.as_str());
        }
    }
    if crashed.is_empty() {
        say("xtask: no target crashed");
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("xtask: crashed: {}", crashed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn names(workspace: &Workspace, args: &Args) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(workspace.root.join("tests/fuzz/targets"))? {
        if let Some(name) = file?.file_name().to_string_lossy().strip_suffix(".rs") {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    if let Some(wanted) = &args.target
        && !names.contains(wanted)
    {
        bail!("no fuzz target is called `{wanted}`; there are: {}", names.join(", "));
    }
    names.retain(|name| args.target.as_ref().is_none_or(|wanted| wanted == name));
    names.retain(|name| !args.light || LIGHT.contains(&name.as_str()));
    Ok(names)
}

/// The tool that builds for libFuzzer, from the registry.
fn cargo_fuzz(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let mut install = Command::new("cargo");
    install.current_dir(&workspace.root).env("CARGO_PROFILE_DEV_DEBUG", "0");
    install.args(["install", "--quiet", "--debug", "--locked", "--root"]).arg(&tools).arg(CARGO_FUZZ);
    step(CARGO_FUZZ, || process::run(&mut install))?;
    Ok(tools.join("bin/cargo-fuzz"))
}

/// The platform of the compiler in use.
fn platform() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Whether the target ran to the end of its time.
fn fuzz(binary: &Path, name: &str, seconds: u32, folder: &Path, built: &Path) -> Result<bool> {
    let (found, crashes) = (built.join("corpus").join(name), built.join("crashes").join(name));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let mut command = Command::new(binary);
    command.current_dir(folder);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    // With the slash at its end: what is written is named after it.
    command.arg(format!("-artifact_prefix={}/", crashes.display())).args([
        "-verbosity=0",
        "-print_funcs=0",
        "-print_final_stats=1",
    ]);
    command.arg(&found).arg(folder.join("corpus").join(name));
    let before = files(&crashes)?;
    let passed = command.status().with_context(|| format!("cannot start {}", binary.display()))?.success();
    if passed {
        return Ok(true);
    }
    for crash in files(&crashes)?.iter().filter(|file| !before.contains(file)) {
        say(&format!("xtask: {name} crashed on {}", crash.display()));
        say(&format!("xtask: to see it again: {} {}", binary.display(), crash.display()));
    }
    let seeds = folder.join("corpus").join(name);
    say(&format!("xtask: once it is mended, keep the input in {}", seeds.display()));
    Ok(false)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}
