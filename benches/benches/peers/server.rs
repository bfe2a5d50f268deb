//! The servers: what each runs, and how it is started.

use benchkit::peers::{self, Program, Serve};
use benchkit::{Peer, TEN_POLICIES, Target};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use testkit::{App, Case, Process, Tenant, guest};

/// The host that requests name.
const HOST: &str = "acme.test";

/// What they ask for: of the ten rules one permits it.
const PATH: &str = "/public/hello";

/// The interface that a guest is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// `wasi:http` 0.2: the guest `hello-02`.
    Two,
    /// `wasi:http` 0.3: the guest `hello`.
    Three,
}

/// How Tollgate uses instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Fresh,
    Reset,
    Serial,
    Concurrent,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Hyper,
    Wasmtime(Serve, Api),
    Viceroy,
    Workerd,
    Ours(Mode, Api),
}

/// A server that runs, until dropped.
pub(crate) struct Running {
    pub(crate) target: Target,
    _process: Held,
    /// What a peer was given to run.
    _folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "held for its drop, which ends the process")]
enum Held {
    Peer(Peer),
    Host(Box<Process>),
}

impl Api {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Two => "wasi:http 0.2",
            Self::Three => "wasi:http 0.3",
        }
    }

    pub(crate) const fn guest(self) -> &'static str {
        match self {
            Self::Two => "hello-02",
            Self::Three => "hello",
        }
    }
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reset => "reset",
            Self::Serial => "serial",
            Self::Concurrent => "concurrent",
        }
    }

    /// The lines of an app's table.
    fn keys(self) -> String {
        let reuse = if matches!(self, Self::Serial | Self::Concurrent) { "\nreuse = 128" } else { "" };
        format!("mode = \"{}\"{reuse}", self.name())
    }
}

impl Server {
    /// Every row, those that are compared side by side.
    pub(crate) fn all() -> Vec<Self> {
        use Api::{Three, Two};
        use Server::{Hyper, Ours, Viceroy, Wasmtime, Workerd};
        vec![
            Wasmtime(Serve::Fresh, Two),
            Ours(Mode::Fresh, Two),
            Ours(Mode::Reset, Two),
            Wasmtime(Serve::Resident, Two),
            Wasmtime(Serve::Fresh, Three),
            Ours(Mode::Fresh, Three),
            Ours(Mode::Reset, Three),
            Wasmtime(Serve::Resident, Three),
            Viceroy,
            Workerd,
            Wasmtime(Serve::Reuse, Two),
            Ours(Mode::Serial, Two),
            Hyper,
            Ours(Mode::Serial, Three),
            Ours(Mode::Concurrent, Three),
            Wasmtime(Serve::Reuse, Three),
        ]
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours(..))
    }

    /// The interface whose `wasmtime serve` rows it is compared with.
    pub(crate) fn api(self) -> Api {
        match self {
            Self::Wasmtime(_, api) | Self::Ours(_, api) => api,
            Self::Hyper | Self::Viceroy | Self::Workerd => Api::Two,
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Hyper => "bare hyper".into(),
            Self::Wasmtime(Serve::Fresh, api) => format!("wasmtime serve, fresh, {}", api.name()),
            Self::Wasmtime(Serve::Resident, api) => {
                format!("wasmtime serve, fresh, resident, {}", api.name())
            }
            Self::Wasmtime(Serve::Reuse, api) => format!("wasmtime serve, reuse, {}", api.name()),
            Self::Viceroy => "Viceroy, fresh, Fastly's calls".into(),
            Self::Workerd => "workerd, reuse, JavaScript".into(),
            Self::Ours(mode, api) => format!("tollgate, {}, {}", mode.name(), api.name()),
        }
    }

    /// Starts it; none if its program is not there.
    pub(crate) fn start(self) -> Option<Running> {
        let folder = tempfile::tempdir().unwrap();
        let (process, address) = match self {
            Self::Ours(mode, api) => {
                let host = governed(mode, api).spawn();
                let address = host.address();
                (Held::Host(Box::new(host)), address)
            }
            Self::Hyper => held(peers::hyper()?),
            Self::Wasmtime(..) | Self::Viceroy | Self::Workerd if self.program()?.version().is_none() => {
                return None;
            }
            Self::Wasmtime(serve, api) => held(peers::wasmtime(&guest(api.guest()), serve)?),
            Self::Viceroy => held(peers::viceroy(folder.path())?),
            Self::Workerd => held(peers::workerd(folder.path())?),
        };
        Some(Running {
            target: Target { address, host: HOST, path: PATH },
            _process: process,
            _folder: folder,
        })
    }

    fn program(self) -> Option<Program> {
        match self {
            Self::Wasmtime(..) => Some(Program::Wasmtime),
            Self::Viceroy => Some(Program::Viceroy),
            Self::Workerd => Some(Program::Workerd),
            Self::Hyper | Self::Ours(..) => None,
        }
    }
}

fn held((peer, address): (Peer, SocketAddr)) -> (Held, SocketAddr) {
    (Held::Peer(peer), address)
}

impl Running {
    /// Asks once; the answer must be the guest's.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Target { address, host, path } = self.target;
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        match ask() {
            Err(error) => Err(format!("no answer: {error}")),
            Ok(answer)
                if answer.starts_with("HTTP/1.1 200")
                    && answer.contains("hello from /public/hello (wasi:http 0.")
                    && answer.contains("text/plain; charset=utf-8") =>
            {
                Ok(())
            }
            Ok(answer) => Err(format!("another answer: {answer}")),
        }
    }
}

/// A tenant `acme` with everything on: ten rules, two buckets, a durable record of each request, metrics, all limits.
pub(crate) fn tenant(mode: Mode, api: Api) -> Tenant {
    let buckets = "[buckets.burst]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1m\"\nkey = [\"client-address\"]\n\
                   [buckets.day]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1d\"\nkey = [\"tenant\"]";
    let app = App::guest(api.guest()).keys(&mode.keys()).route("buckets = [\"burst\", \"day\"]");
    Tenant::new("acme").policy(TEN_POLICIES).tables(buckets).app(app)
}

/// A host with this tenant alone, and the capacity that a host has by default.
fn governed(mode: Mode, api: Api) -> Case {
    Case::new().capacity("").tenant(tenant(mode, api))
}
