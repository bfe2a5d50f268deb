//! Guests in Rust.

use super::plan::{Guest, Recipe};
use super::write_if_changed;
use crate::process::step;
use crate::toolchain::{Toolchain, UNKNOWN, WASIP2};
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wit_component::ComponentEncoder;

/// The shadow stack of a guest. The compiler's usual 1 MiB would put the first used byte of memory 1 MiB from its
/// start; with this little, the pages that every request touches lie together at the start, where the host keeps
/// them resident.
const STACK_BYTES: u32 = 128 * 1024;

/// Builds every Rust guest in the list into `folder`.
pub(crate) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    guests: &[Guest],
    folder: &Path,
) -> Result<()> {
    build_linked(workspace, toolchain, guests, folder)?;
    for guest in guests {
        if let Recipe::Core { package, stack_bytes } = &guest.recipe {
            let stack = stack_bytes.unwrap_or(STACK_BYTES);
            step(&format!("build {} for {UNKNOWN}", guest.name), || {
                let module = build_core(workspace, toolchain, package, stack)?;
                let component = encode(&module).with_context(|| format!("`{package}` makes no component"))?;
                write_if_changed(&folder.join(format!("{}.wasm", guest.name)), &component)
            })?;
        }
    }
    Ok(())
}

/// All of them in one cargo run, so that what they share is built once and the links run side by side.
fn build_linked(workspace: &Workspace, toolchain: &Toolchain, guests: &[Guest], folder: &Path) -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    let mut wanted: Vec<(&str, &str, Option<&str>)> = Vec::new();
    for guest in guests {
        if let Recipe::Linked { package, example } = &guest.recipe {
            wanted.push((&guest.name, package, example.as_deref()));
            if !packages.contains(&package.as_str()) {
                packages.push(package);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut command = cargo(workspace, toolchain, "build", WASIP2);
    command.arg("--config");
    command.arg(format!("target.{WASIP2}.rustflags=[\"-Clink-arg=-zstack-size={STACK_BYTES}\"]"));
    for package in &packages {
        command.args(["--package", package]);
    }
    if wanted.iter().any(|(_, _, example)| example.is_none()) {
        command.arg("--lib");
    }
    for (_, _, example) in &wanted {
        if let Some(example) = example {
            command.args(["--example", example]);
        }
    }
    let artifacts = step(&format!("build {} guests for {WASIP2}", wanted.len()), || artifacts(&mut command))?;
    for (name, package, example) in wanted {
        let built = artifacts.iter().find(|artifact| artifact.is(workspace, package, example));
        let path =
            built.and_then(Artifact::wasm).ok_or_else(|| anyhow!("cargo made no .wasm of `{name}`"))?;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        write_if_changed(&folder.join(format!("{name}.wasm")), &bytes)?;
    }
    Ok(())
}

/// `cargo rustc`, because the package is a library for tests as well, and link-time optimisation needs a `cdylib`
/// alone.
fn build_core(workspace: &Workspace, toolchain: &Toolchain, package: &str, stack: u32) -> Result<Vec<u8>> {
    let mut command = cargo(workspace, toolchain, "rustc", UNKNOWN);
    command.args(["--package", package, "--lib", "--crate-type=cdylib", "--"]);
    command.arg(format!("-Clink-arg=-zstack-size={stack}"));
    let artifacts = artifacts(&mut command)?;
    let built = artifacts.iter().find(|artifact| artifact.is(workspace, package, None));
    let path = built.and_then(Artifact::wasm).ok_or_else(|| anyhow!("cargo made no .wasm of `{package}`"))?;
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

fn cargo(workspace: &Workspace, toolchain: &Toolchain, verb: &str, target: &str) -> Command {
    let mut command = toolchain.cargo();
    command.current_dir(&workspace.root);
    command.args([verb, "--profile=guest", "--target", target, "--message-format=json-render-diagnostics"]);
    command.arg("--target-dir").arg(&workspace.target);
    command
}

/// One line of cargo's JSON about something it built.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: BuiltTarget,
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct BuiltTarget {
    name: String,
    kind: Vec<String>,
    crate_types: Vec<String>,
}

impl Artifact {
    /// True if this is the library, or this example, of this package.
    fn is(&self, workspace: &Workspace, package: &str, example: Option<&str>) -> bool {
        let of_package = workspace
            .packages
            .iter()
            .any(|known| known.name == package && self.manifest_path.parent() == Some(known.folder()));
        let is_example = self.target.kind.iter().any(|kind| kind == "example");
        let cdylib = self.target.crate_types.iter().any(|kind| kind == "cdylib");
        of_package && cdylib && example.map_or(!is_example, |name| is_example && self.target.name == name)
    }

    fn wasm(&self) -> Option<&PathBuf> {
        self.filenames.iter().find(|path| path.extension().is_some_and(|end| end == "wasm"))
    }
}

/// Runs cargo, its progress on our stderr, and returns what it built or found fresh.
fn artifacts(command: &mut Command) -> Result<Vec<Artifact>> {
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo ended with {}; its messages are above", output.status);
    }
    let text = String::from_utf8(output.stdout).context("cargo printed no UTF-8")?;
    let mut found = Vec::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).context("cargo printed no JSON")?;
        if value.get("reason").and_then(serde_json::Value::as_str) == Some("compiler-artifact") {
            found.push(serde_json::from_value(value).context("cargo's JSON is not what it used to be")?);
        }
    }
    Ok(found)
}
