//! A Fastly service that runs: bundled by the real binary, served by Viceroy.

use crate::answer::Answer;
use crate::case::Site;
use crate::client::Client;
use crate::files::{binary, guest, key, sign, target};
use crate::log::Record;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The name of every package.
const NAME: &str = "edge";

/// A service in Viceroy. Its site is a host's, whose configuration it was made of.
pub struct Viceroy {
    child: Child,
    client: Client,
    site: Site,
}

/// The Viceroy that `TOLLGATE_VICEROY` names, or the one that `cargo xtask test` has installed.
#[expect(clippy::disallowed_methods, reason = "a test runner passes on no arguments")]
fn viceroy() -> PathBuf {
    if let Some(named) = std::env::var_os("TOLLGATE_VICEROY") {
        return named.into();
    }
    let path = target().join("tools/bin/viceroy");
    assert!(
        path.exists(),
        "Viceroy is not installed: run `cargo xtask test`, or name one in TOLLGATE_VICEROY"
    );
    path
}

impl Site {
    /// Bundles this site's configuration for Fastly, with the adapter's own parts beside the gate's.
    pub fn build(&self) -> Output {
        for part in ["front", "backend", "wasi"] {
            let name = format!("tollgate-fastly-{part}");
            let file = self.path().join("gate").join(format!("{name}.wasm"));
            fs::copy(guest(&name), &file).unwrap();
            sign(&file, &format!("tollgate:fastly-{part}"), key());
        }
        let mut command = Command::new(binary());
        command.args(["build", "--target", "fastly", "--name", NAME, "--config"]).arg(self.file());
        command.arg("--out").arg(self.path().join("dist")).output().expect("the host's binary")
    }

    /// A file of the bundle.
    pub fn bundled(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join("dist").join(NAME).join(file)).unwrap()
    }

    /// Bundles it and serves it.
    #[track_caller]
    pub fn at_the_edge(self) -> Viceroy {
        let built = self.build();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Viceroy::start(self)
    }
}

impl Viceroy {
    #[track_caller]
    fn start(site: Site) -> Self {
        let package = site.path().join("dist").join(NAME);
        // It takes no port of the system's choice, so another program could have this one by now: then it ends, and
        // another is tried.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let log = |name: &str| File::create(site.path().join(name)).unwrap();
            let mut child = Command::new(viceroy())
                .args(["serve", "--addr", &address.to_string(), "-C"])
                .arg(package.join("fastly.toml"))
                .arg(package.join("bin/main.wasm"))
                .stdin(Stdio::null())
                .stdout(log("viceroy.out"))
                .stderr(log("viceroy.err"))
                .spawn()
                .expect("Viceroy");
            if listens(&mut child, address) {
                return Self { child, client: Client::of(address), site };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("Viceroy does not serve: {}", said(&site));
    }

    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Sends a request without a body; the host is `acme.test` unless it says another.
    #[track_caller]
    pub fn ask(&self, request: http::request::Builder) -> Answer {
        self.send(request.body(Full::default()).unwrap())
    }

    #[track_caller]
    pub fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let mut answer = self.client.send(request);
        if let Some(id) = answer.request_id_or_none() {
            answer.records =
                self.records().into_iter().filter(|record| record.text("request_id") == id).collect();
        }
        answer
    }

    /// The CPU time that it has taken so far, to the tick of the kernel's own count.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The records, in order, and after them the notes of requests that have none.
    pub fn records(&self) -> Vec<Record> {
        let read = |line: &String| Record(serde_json::from_str(line).unwrap());
        let mut records: Vec<Record> = self.record_lines().iter().map(read).collect();
        for note in self.lines("tollgate-admitted").iter().map(read) {
            if !records.iter().any(|record| record.text("request_id") == note.text("request_id")) {
                records.push(note);
            }
        }
        records
    }

    /// What it has written to the log endpoint of records, in order.
    pub fn record_lines(&self) -> Vec<String> {
        self.lines("tollgate-audit")
    }

    /// What it has written to a log endpoint, in order.
    pub fn lines(&self, endpoint: &str) -> Vec<String> {
        let out = fs::read_to_string(self.site.path().join("viceroy.out")).unwrap();
        let start = format!("{endpoint} :: ");
        out.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }
}

impl Drop for Viceroy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it takes connections: it compiles the component first.
fn listens(child: &mut Child, address: SocketAddr) -> bool {
    let end = Instant::now() + Duration::from_secs(180);
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        if TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn said(site: &Site) -> String {
    let read = |name: &str| fs::read_to_string(Path::new(site.path()).join(name)).unwrap_or_default();
    read("viceroy.out") + &read("viceroy.err")
}
