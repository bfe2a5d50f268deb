//! `cargo xtask demo`: from source to a host that serves two tenants, in one go.
//!
//! Everything it makes lies in `target/demo`: throw-away keys, a trust file, signed components, the configuration and
//! the host's state. The configuration's text is in `demo/`, beside this crate; it also says which components there
//! are.

use crate::guests;
use crate::process::{self, say, step};
use crate::workspace::Workspace;
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const CONFIG: &str = include_str!("../demo/tollgate.toml");
const MORE: &str = include_str!("../demo/more.toml");

/// The namespace of every package of the demo; its key may sign nothing else.
const NAMESPACE: &str = "demo";

/// How to start.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// With the samples in JavaScript and Python, which need Node.js and Python, and a minute to compile.
    #[arg(long)]
    all: bool,
    /// Prepare everything and print the command, but do not start the host.
    #[arg(long)]
    no_start: bool,
}

/// Builds, signs, starts. Returns when the host ended, or when it would have been started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let config = if args.all { format!("{CONFIG}{MORE}") } else { CONFIG.to_owned() };
    let names = components_in(&config);
    let built = guests::run(workspace, &guests::Args::only(&names))?;
    let tollgate = build_host(workspace)?;
    let folder = workspace.target.join("demo");
    std::fs::create_dir_all(folder.join("components"))?;
    let demo = Demo { tollgate, folder };
    let new_key = demo.make_keys()?;
    for name in &names {
        demo.sign(&built, name, new_key)?;
    }
    let file = demo.folder.join("tollgate.toml");
    std::fs::write(&file, &config).with_context(|| format!("cannot write {}", file.display()))?;
    let mut up = Command::new(&demo.tollgate);
    up.arg("up").arg("--config").arg(&file);
    say(&what_to_try(args.all));
    if args.no_start {
        say(&format!("start it with: {} up --config {}", demo.tollgate.display(), file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    start(&mut up)
}

/// The host takes the place of this process, so that Ctrl-C reaches it and nothing else.
#[cfg(unix)]
fn start(up: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(up.exec()).context("cannot start the host")
}

#[cfg(not(unix))]
fn start(up: &mut Command) -> Result<ExitCode> {
    process::run(up).map(|()| ExitCode::SUCCESS)
}

/// The names of the components that a configuration speaks of, each once.
fn components_in(config: &str) -> Vec<&str> {
    let mut names: Vec<&str> = config
        .split("\"components/")
        .skip(1)
        .filter_map(|rest| rest.split_once(".wasm\"").map(|(name, _)| name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn build_host(workspace: &Workspace) -> Result<PathBuf> {
    step("build the host (some minutes, once)", || {
        let mut command = Command::new("cargo");
        command.current_dir(&workspace.root).args([
            "build",
            "--release",
            "--package",
            "tollgate",
            "--bin",
            "tollgate",
        ]);
        process::run(command.arg("--target-dir").arg(&workspace.target))
    })?;
    Ok(workspace.target.join("release").join(format!("tollgate{}", std::env::consts::EXE_SUFFIX)))
}

struct Demo {
    tollgate: PathBuf,
    folder: PathBuf,
}

/// What `tollgate keygen --json` says.
#[derive(Deserialize)]
struct Keygen {
    trust_entry: String,
}

impl Demo {
    /// A key for signing components with the trust file that goes with it, and one for the audit log. True if the
    /// first is new, so that everything has to be signed again.
    fn make_keys(&self) -> Result<bool> {
        if !self.folder.join("audit.key").is_file() {
            self.keygen("audit.key")?;
        }
        let trust = self.folder.join("trust.toml");
        if self.folder.join("demo.key").is_file() && trust.is_file() {
            return Ok(false);
        }
        let key = step("make a throw-away signing key and a trust file", || self.keygen("demo.key"))?;
        let entry = key.trust_entry.trim_end();
        let rule = format!("[[packages]]\npattern = \"{NAMESPACE}:*\"\nkeys = [\"demo\"]\nthreshold = 1\n");
        std::fs::write(&trust, format!("{entry}\n\n{rule}"))
            .with_context(|| format!("cannot write {}", trust.display()))?;
        Ok(true)
    }

    fn keygen(&self, name: &str) -> Result<Keygen> {
        let path = self.folder.join(name);
        for old in [path.clone(), path.with_extension("pub")] {
            if old.is_file() {
                std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        let text = process::output(
            Command::new(&self.tollgate).arg("keygen").arg("--json").arg("--out").arg(&path),
        )?;
        serde_json::from_str(&text).context("`tollgate keygen --json` is not what it used to be")
    }

    /// Copies a component and signs it, unless the same one is there and signed with this key.
    fn sign(&self, built: &Path, name: &str, new_key: bool) -> Result<()> {
        let file = format!("{name}.wasm");
        let (from, to) = (built.join(&file), self.folder.join("components").join(&file));
        let bytes = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let signed = to.with_extension("wasm.dsse.json").is_file();
        if !new_key && signed && std::fs::read(&to).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        std::fs::write(&to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
        let package = format!("{NAMESPACE}:{}@0.1.0", package_name(name)?);
        step(&format!("sign {package}"), || {
            let mut command = Command::new(&self.tollgate);
            command.arg("sign").arg(&to).arg("--key").arg(self.folder.join("demo.key"));
            process::output(command.args(["--package", &package, "--replace"])).map(drop)
        })
    }
}

/// The guest's name as WIT writes names: kebab-case, where a word that begins with a digit joins the one before.
fn package_name(name: &str) -> Result<String> {
    let mut package = String::new();
    for word in name.split(['-', '_']) {
        let first = word.chars().next().ok_or_else(|| anyhow!("`{name}` has an empty word"))?;
        if !package.is_empty() && !first.is_ascii_digit() {
            package.push('-');
        }
        package.push_str(word);
    }
    Ok(package)
}

fn what_to_try(all: bool) -> String {
    let more = if all {
        "\n  curl http://127.0.0.1:8080/globex/js             # JavaScript\
         \n  curl http://127.0.0.1:8080/globex/python         # Python"
    } else {
        ""
    };
    format!(
        "
The host starts on 127.0.0.1:8080 (metrics and health on 127.0.0.1:9090). Compiling the gate takes it a while the
first time. Then try:

  curl http://127.0.0.1:8080/acme/hello            # a signed component answers
  curl -X POST http://127.0.0.1:8080/acme/counter  # 403: the policy lets only writers write
  curl -X POST http://127.0.0.1:8080/acme/counter -H 'authorization: Bearer acme-demo-token'
  curl http://127.0.0.1:8080/acme/counter          # the count, shared by all instances
  curl http://127.0.0.1:8080/globex/join           # asks three servers at once, one of which fails
  curl http://127.0.0.1:8080/globex/spin           # an app made for Spin
  curl http://127.0.0.1:8080/globex/spin/internal  # 403, by the tenant's own policy component
  curl http://127.0.0.1:8080/globex/http-02        # wasi:http 0.2{more}
  for i in $(seq 30); do curl -so /dev/null -w '%{{http_code}} ' http://127.0.0.1:8080/acme/hello; done   # 429
"
    )
}

#[cfg(test)]
mod tests {
    use super::{CONFIG, MORE, components_in, package_name};

    #[test]
    fn the_components_are_those_that_the_configuration_names() {
        let names = components_in(CONFIG);
        assert!(names.contains(&"tollgate-gate") && names.contains(&"tenant-policy"), "{names:?}");
        assert!(!names.contains(&"hello-js"));
        assert_eq!(components_in(MORE), ["hello-js", "hello-python"]);
    }

    #[test]
    fn a_word_that_begins_with_a_digit_joins_the_one_before() {
        assert_eq!(package_name("hello-02").unwrap(), "hello02");
        assert_eq!(package_name("spin_in_start").unwrap(), "spin-in-start");
        assert!(package_name("hello--js").is_err());
    }
}
