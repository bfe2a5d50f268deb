//! Guests in other languages, each built by its language's own tool.
//!
//! The tool is installed for this workspace alone, in `target/tools`, at the version that the guest's folder pins:
//! `package-lock.json` for JavaScript, `requirements.txt` for Python. The sources are copied beside it, for Python
//! with the WASI interfaces of the crate that `Cargo.lock` pins, so that nothing is written into the repository.

use super::fingerprint;
use super::plan::Language;
use super::write_if_changed;
use crate::process::{self, step};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Part of the fingerprint: a change of the steps below is a change of what they make.
const STEPS: &str = "3";

/// Builds one guest into `folder`, unless nothing that goes into it has changed.
pub(crate) fn build(
    workspace: &Workspace,
    name: &str,
    language: Language,
    source: &Path,
    folder: &Path,
) -> Result<()> {
    // The JavaScript engine knows the interfaces itself.
    let interfaces = match language {
        Language::Js => None,
        Language::Python => Some(wasi_interfaces(workspace)?),
    };
    let inputs: Vec<&Path> = std::iter::once(source).chain(interfaces.as_deref()).collect();
    let fingerprint = fingerprint::of(&inputs, &[STEPS, language.name()])?;
    let finished = folder.join(format!("{name}.wasm"));
    let stamp = workspace.tools().join(format!("{name}.fingerprint"));
    if finished.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|old| old == fingerprint) {
        return Ok(());
    }
    let work = workspace.tools().join(name);
    copy_sources(source, &work)?;
    if let Some(interfaces) = &interfaces {
        copy_sources(interfaces, &work.join("wit/deps"))?;
    }
    match language {
        Language::Js => build_js(name, &work)?,
        Language::Python => build_python(name, &work)?,
    }
    let made = work.join("dist").join("component.wasm");
    let bytes = std::fs::read(&made).with_context(|| format!("the tool made no {}", made.display()))?;
    write_if_changed(&finished, &bytes)?;
    std::fs::write(&stamp, fingerprint).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Copies a project that npm builds into the folder of tools, with what its lock pins, and builds it there. Returns
/// that folder.
pub(crate) fn node_project(workspace: &Workspace, name: &str, source: &Path) -> Result<PathBuf> {
    let work = workspace.tools().join(name);
    copy_sources(source, &work)?;
    build_js(name, &work)?;
    Ok(work)
}

fn build_js(name: &str, work: &Path) -> Result<()> {
    if !process::succeeds(Command::new("npm").arg("--version")) {
        bail!("`{name}` is JavaScript and needs Node.js 20 or later with npm; `--rust-only` leaves it out");
    }
    let lock = work.join("package-lock.json");
    let stamp = work.join("node_modules/.tollgate-lock");
    let pinned = fingerprint_of_file(&lock)?;
    if !std::fs::read_to_string(&stamp).is_ok_and(|old| old == pinned) {
        step(&format!("install the tools of {name} with npm (a minute, once)"), || {
            // Not `ci`, which refuses a lock without the optional packages of all other systems, and not every registry has
            // those. What the lock has is installed as it says, and the lock stays as it is.
            process::run(Command::new("npm").current_dir(work).args([
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ]))
        })?;
        std::fs::write(&stamp, pinned)?;
    }
    step(&format!("build {name}"), || {
        process::output(Command::new("npm").current_dir(work).args(["run", "--silent", "build"])).map(drop)
    })
}

fn build_python(name: &str, work: &Path) -> Result<()> {
    if !process::succeeds(Command::new("python3").args(["-m", "venv", "--help"])) {
        bail!(
            "`{name}` is Python and needs python3 with its venv module (on Debian: python3-venv); `--rust-only` leaves it out"
        );
    }
    let requirements = work.join("requirements.txt");
    let environment = work.join(".venv");
    let stamp = environment.join("tollgate-requirements");
    let pinned = fingerprint_of_file(&requirements)?;
    if !std::fs::read_to_string(&stamp).is_ok_and(|old| old == pinned) {
        step(&format!("install the tools of {name} with pip (a minute, once)"), || {
            process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            process::run(
                Command::new(environment.join("bin/python"))
                    .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                    .arg(&requirements),
            )
        })?;
        std::fs::write(&stamp, pinned)?;
    }
    std::fs::create_dir_all(work.join("dist"))?;
    step(&format!("build {name}"), || {
        let mut command = Command::new(environment.join("bin/componentize-py"));
        command.current_dir(work).args([
            "--quiet",
            "--wit-path",
            "wit",
            "--world",
            "app",
            "componentize",
            "app",
        ]);
        command.args(["--output", "dist/component.wasm"]);
        process::output(&mut command).map(drop)
    })
}

fn fingerprint_of_file(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}, which pins the tools", path.display()))?;
    fingerprint::of(&[], &[&text])
}

/// Copies the sources over; what a tool left in the folder before stays, other files go.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        for old in fingerprint::files_below(to)? {
            std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    for file in fingerprint::files_below(from)? {
        let copy = to.join(file.strip_prefix(from)?);
        if let Some(folder) = copy.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

/// The folder of WASI 0.2 interface texts: they come with the crate `wasip2`, which `Cargo.lock` pins by digest.
fn wasi_interfaces(workspace: &Workspace) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Known {
        packages: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
        manifest_path: PathBuf,
    }
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root).args(["metadata", "--format-version=1"]);
    let known: Known = serde_json::from_str(&process::output(&mut command)?)?;
    let pinned = known
        .packages
        .into_iter()
        .find(|package| package.name == "wasip2" && package.version.ends_with(&format!("+wasi-{WASI}")));
    let pinned = pinned.with_context(|| format!("Cargo.lock pins no wasip2 for WASI {WASI}"))?;
    Ok(pinned.manifest_path.with_file_name("wit").join("deps"))
}

/// The WASI 0.2 release whose interfaces the guests are built against.
const WASI: &str = "0.2.12";
