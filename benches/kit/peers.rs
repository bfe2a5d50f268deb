//! The other hosts: where their programs are, what each runs, and how it is started.

use crate::load::{Peer, free_address};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `wasmtime serve`.
    Wasmtime,
    /// Fastly's local server.
    Viceroy,
    /// What Cloudflare's workers run in.
    Workerd,
}

/// How `wasmtime serve` uses instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serve {
    /// One for each request, with the pool's default settings.
    Fresh,
    /// The same, and hot pages stay: memory, tables and stacks up to 128 KiB each, found by `PAGEMAP_SCAN`.
    Resident,
    /// 128 requests for each; of `wasi:http` 0.3 up to 16 at one time. These are its defaults for 0.3.
    Reuse,
}

impl Program {
    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::Viceroy => "viceroy",
            Self::Workerd => "workerd",
        }
    }

    /// How to get it.
    pub const fn install(self) -> &'static str {
        match self {
            Self::Wasmtime => "cargo install wasmtime-cli@48.0.8 --locked",
            Self::Viceroy => "cargo install viceroy@0.22.0 --locked",
            Self::Workerd => "npm install workerd@1.20261117.1",
        }
    }

    /// The program that `--NAME PATH` names, or the one on the path.
    fn command(self) -> Command {
        let flag = format!("--{}", self.name());
        let named = std::env::args().skip_while(|argument| *argument != flag).nth(1);
        let path = named.map_or_else(|| self.name().into(), PathBuf::from);
        Command::new(native(&path).unwrap_or(path))
    }

    /// What it says its version is; none if it is not there.
    pub fn version(self) -> Option<String> {
        let output =
            self.command().arg("--version").output().ok().filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(text.lines().next()?.trim_start_matches(self.name()).trim().to_owned())
    }
}

/// npm's `workerd` is a script that starts the real one as a child, which would outlive it: the real one, then.
fn native(path: &Path) -> Option<PathBuf> {
    let script = path.canonicalize().ok().filter(|real| real.ends_with("workerd/bin/workerd"))?;
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "64" };
    let real = script.ancestors().nth(3)?.join(format!("@cloudflare/workerd-linux-{processor}/bin/workerd"));
    real.exists().then_some(real)
}

/// `wasmtime serve` with this component.
pub fn wasmtime(component: &Path, serve: Serve) -> Option<(Peer, SocketAddr)> {
    let address = free_address()?;
    let mut command = Program::Wasmtime.command();
    command.args(["serve", "-Scli", "-O", "pooling-allocator", "--addr", &address.to_string()]);
    match serve {
        Serve::Fresh | Serve::Resident => {
            command.args(["--max-instance-reuse-count", "1", "--max-instance-concurrent-reuse-count", "1"])
        }
        Serve::Reuse => command.args(["--max-instance-reuse-count", "128"]),
    };
    if serve == Serve::Resident {
        for pool in ["memory-keep-resident", "table-keep-resident", "async-stack-keep-resident"] {
            command.args(["-O", &format!("pooling-{pool}=131072")]);
        }
        command.args(["-O", "pooling-pagemap-scan=y"]);
    }
    command.arg(component);
    Some((Peer::start(command, address)?, address))
}

/// Viceroy with a module that does what `hello` does.
pub fn viceroy(folder: &Path) -> Option<(Peer, SocketAddr)> {
    let (address, module) = (free_address()?, folder.join("hello.wat"));
    std::fs::write(&module, include_str!("peers/hello.wat")).ok()?;
    let mut command = Program::Viceroy.command();
    command.args(["--addr", &address.to_string()]).arg(module).env("RUST_LOG", "off");
    Some((Peer::start(command, address)?, address))
}

/// workerd with a script that does what `hello` does.
pub fn workerd(folder: &Path) -> Option<(Peer, SocketAddr)> {
    let (address, file) = (free_address()?, folder.join("workerd.capnp"));
    std::fs::write(folder.join("worker.js"), include_str!("peers/worker.js")).ok()?;
    let config = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "worker", esModule = embed "worker.js")],
    compatibilityDate = "2026-01-01",
  ))],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")],
);
"#
    );
    std::fs::write(&file, config).ok()?;
    let mut command = Program::Workerd.command();
    command.arg("serve").arg(file);
    Some((Peer::start(command, address)?, address))
}

/// Bare hyper: the benchmark's own program again, which must call [`crate::bare_hyper`] when it is asked to.
pub fn hyper() -> Option<(Peer, SocketAddr)> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["--bare-hyper", &address.to_string()]);
    Some((Peer::start(command, address)?, address))
}
