//! What cargo knows of the workspace.

use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace, as `cargo metadata` tells it.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder; `CARGO_TARGET_DIR` is honoured.
    pub(crate) target: PathBuf,
    /// Its packages.
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    manifest_path: PathBuf,
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// One build target of a package.
#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) crate_types: Vec<String>,
    pub(crate) src_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    tollgate: Option<GuestSettings>,
}

/// `[package.metadata.tollgate]`: what a guest may say about its build.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GuestSettings {
    /// The compiler's target instead of the folder's usual one.
    pub(crate) target: Option<String>,
    /// The shadow stack in bytes instead of the usual size.
    pub(crate) stack_bytes: Option<u32>,
}

#[derive(Deserialize)]
struct CargoMetadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let text =
            process::output(Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata: CargoMetadata =
            serde_json::from_str(&text).context("`cargo metadata` is not what it used to be")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            packages: metadata.packages,
        })
    }

    /// Where finished components are put.
    pub(crate) fn guests(&self) -> PathBuf {
        self.target.join("guests")
    }

    /// Where tools that only this workspace uses are put.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

impl Package {
    /// The package's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// What it says about its build as a guest.
    pub(crate) fn settings(&self) -> GuestSettings {
        self.metadata.as_ref().and_then(|metadata| metadata.tollgate.clone()).unwrap_or_default()
    }
}

impl Target {
    /// True if it is linked as a C-like dynamic library, which is what a component is made of.
    pub(crate) fn is_cdylib(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }

    /// True for one of a package's examples.
    pub(crate) fn is_example(&self) -> bool {
        self.kind.iter().any(|kind| kind == "example")
    }
}
