//! What there is to build, from where it lies.
//!
//! | folder | what | target |
//! |---|---|---|
//! | `components/*` | a part of the gate | `wasm32-unknown-unknown` |
//! | `edge-adapters/fastly/*` | what a Fastly service has around the gate | `wasm32-unknown-unknown` |
//! | `components/examples/rust/*` | a sample app | `wasm32-wasip2` |
//! | `tests/guests/*` | guests for tests: the library, and each example that is a `cdylib` | `wasm32-wasip2` |
//! | `tests/guests/*/text/*.wat` | guests for tests, written in WebAssembly's text format | |
//! | `components/examples/js/*`, `components/examples/python/*` | a sample app named `<folder>-<language>` | |
//!
//! A package may name another target, and its stack, in `[package.metadata.tollgate]`.

use crate::toolchain::{UNKNOWN, WASIP2};
use crate::workspace::{Package, Workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// One component to be built.
pub(crate) struct Guest {
    /// Its name: the file is `<name>.wasm`.
    pub(crate) name: String,
    /// How it is made.
    pub(crate) recipe: Recipe,
}

/// How a component is made.
pub(crate) enum Recipe {
    /// A Rust library, as a core module that becomes a component here.
    Core {
        /// The package.
        package: String,
        /// The shadow stack, if not the usual one.
        stack_bytes: Option<u32>,
    },
    /// A Rust library or example, linked as a component.
    Linked {
        /// The package.
        package: String,
        /// The example; none for the library.
        example: Option<String>,
    },
    /// WebAssembly in text.
    Text {
        /// The file.
        source: PathBuf,
    },
    /// Another language's own tool.
    Script {
        /// Which.
        language: Language,
        /// The folder of its sources.
        source: PathBuf,
    },
}

/// A language with a tool of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// componentize-js.
    Js,
    /// componentize-py.
    Python,
}

impl Language {
    /// The folder's name, and the end of the guest's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Python => "python",
        }
    }
}

/// Every guest of the workspace, sorted by name; two of one name are an error.
pub(crate) fn discover(workspace: &Workspace) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for package in &workspace.packages {
        guests.extend(of_package(&workspace.root, package)?);
        guests.extend(in_text(&workspace.root, package)?);
    }
    for language in [Language::Js, Language::Python] {
        let folder = workspace.root.join("components/examples").join(language.name());
        for source in entries_of(&folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = source.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.with_context(|| format!("{} has no name", source.display()))?;
            let name = format!("{name}-{}", language.name());
            guests.push(Guest { name, recipe: Recipe::Script { language, source } });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    for pair in guests.windows(2) {
        if let [first, second] = pair
            && first.name == second.name
        {
            bail!("two guests are called `{}`: rename one, they would be one file", first.name);
        }
    }
    Ok(guests)
}

fn of_package(root: &Path, package: &Package) -> Result<Vec<Guest>> {
    let Ok(folder) = package.folder().strip_prefix(root) else { return Ok(Vec::new()) };
    let usual = match folder.parent().map(|parent| parent.to_string_lossy().replace('\\', "/")).as_deref() {
        Some("components" | "edge-adapters/fastly") => UNKNOWN,
        Some("components/examples/rust" | "tests/guests") => WASIP2,
        _ => return Ok(Vec::new()),
    };
    let settings = package.settings();
    let target = settings.target.as_deref().unwrap_or(usual);
    let mut guests = Vec::new();
    for source in &package.targets {
        let example = source.is_example();
        if !source.is_cdylib() {
            if example {
                bail!(
                    "{} is an example without `crate-type = [\"cdylib\"]`: give it an `[[example]]` entry in {}/Cargo.toml",
                    source.src_path.display(),
                    folder.display()
                );
            }
            continue;
        }
        let name = if example { source.name.clone() } else { package.name.clone() };
        let package = package.name.clone();
        let recipe = match (target, settings.stack_bytes) {
            (UNKNOWN, _) if example => {
                bail!("example `{name}` of `{package}` cannot be built for {UNKNOWN}: make it a package")
            }
            (UNKNOWN, stack_bytes) => Recipe::Core { package, stack_bytes },
            (WASIP2, None) => Recipe::Linked { package, example: example.then(|| name.clone()) },
            (WASIP2, Some(_)) => {
                bail!(
                    "`{package}` sets stack-bytes, which only {UNKNOWN} honours: all {WASIP2} guests are linked alike"
                )
            }
            (other, _) => {
                bail!("`{package}` asks for target `{other}`: a guest's target is `{UNKNOWN}` or `{WASIP2}`")
            }
        };
        guests.push(Guest { name, recipe });
    }
    Ok(guests)
}

fn in_text(root: &Path, package: &Package) -> Result<Vec<Guest>> {
    if !package.folder().starts_with(root.join("tests/guests")) {
        return Ok(Vec::new());
    }
    let files = entries_of(&package.folder().join("text"))?;
    let texts = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "wat"));
    Ok(texts
        .filter_map(|source| {
            let name = source.file_stem()?.to_string_lossy().into_owned();
            Some(Guest { name, recipe: Recipe::Text { source } })
        })
        .collect())
}

/// What lies in a folder, sorted; nothing if it is not there.
fn entries_of(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}
