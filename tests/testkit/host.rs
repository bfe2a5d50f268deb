//! A host that runs: in this process, or as a process of its own.

use crate::answer::{Answer, Body};
use crate::case::Site;
use crate::client::exchange;
use crate::files::binary;
use crate::log::{Log, Record};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tollgate::RunningHost;
use tollgate_runtime::Compiler;

/// A host in this process.
pub struct Host {
    runtime: Runtime,
    running: Option<RunningHost>,
    address: SocketAddr,
    admin: SocketAddr,
    site: Site,
}

/// A host as a process of its own.
pub struct Process {
    child: Child,
    client: Runtime,
    address: SocketAddr,
    admin: SocketAddr,
    site: Option<Site>,
}

impl Host {
    #[track_caller]
    pub(crate) fn start(site: Site) -> Self {
        let runtime = tollgate_runtime::serving_threads().build().unwrap();
        let config = tollgate::config::Config::read(&site.file()).unwrap_or_else(|e| panic!("{e}"));
        let running = runtime
            .block_on(tollgate::start(config, Compiler::Process(binary())))
            .unwrap_or_else(|e| panic!("{}", tollgate::output::chain(&e)));
        let (address, admin) = (running.addresses().listen, running.addresses().admin);
        Self { runtime, running: Some(running), address, admin, site }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
    pub fn site(&self) -> &Site {
        &self.site
    }
    pub fn log(&self) -> Log {
        Log::of(self.site.path())
    }
    pub fn running(&self) -> &RunningHost {
        self.running.as_ref().unwrap()
    }
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Asks tenant `acme`.
    #[track_caller]
    pub fn get(self, path: &str) -> Answer {
        let mut answer = self.ask(Request::get(path));
        answer._host = Some(Box::new(self));
        answer
    }

    /// Sends a request without a body; the host is `acme.test` unless it says another.
    #[track_caller]
    pub fn ask(&self, request: http::request::Builder) -> Answer {
        self.send(request.body(Full::default()).unwrap())
    }

    #[track_caller]
    pub fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let before = self.log().verify().size;
        let Some((parts, body)) = self.runtime.block_on(exchange(self.address, request)) else {
            // The connection was reset before even the head came; the newest record is this request's.
            let records = self.patiently(|| self.log().records().into_iter().skip(before as usize).collect());
            let (body, headers) = (Body::Cut(Vec::new()), http::HeaderMap::new());
            return Answer { status: None, headers, body, records, _host: None };
        };
        let id = parts.headers.get("tollgate-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let records = match (id.or_else(|| problem_id(&body)), &body) {
            (Some(id), Body::Whole(_)) => self.records_of(&id),
            // A whole response is acknowledged, so its record is there. One that broke may come before its record.
            (Some(id), Body::Cut(_)) => self.patiently(|| self.records_of(&id)),
            (None, _) => Vec::new(),
        };
        Answer { status: Some(parts.status), headers: parts.headers, body, records, _host: None }
    }

    /// Looks again until there is something, for some seconds.
    fn patiently(&self, look: impl Fn() -> Vec<Record>) -> Vec<Record> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let found = look();
            if !found.is_empty() || Instant::now() > end {
                return found;
            }
        }
    }

    /// The first record, once there is one: of a request that nobody reads the answer of.
    pub fn first_record(&self) -> Record {
        self.patiently(|| self.log().records()).into_iter().next().expect("a record")
    }

    /// From the admin address.
    pub fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "localhost").body(Full::default()).unwrap();
        let (parts, body) = self.runtime.block_on(exchange(self.admin, request)).expect("a response");
        Answer { status: Some(parts.status), headers: parts.headers, body, records: Vec::new(), _host: None }
    }

    fn records_of(&self, request_id: &str) -> Vec<Record> {
        self.log().records().into_iter().filter(|record| record.text("request_id") == request_id).collect()
    }

    /// Stops as on SIGTERM, and gives the site back for another start.
    pub fn stop(mut self) -> Site {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.drain());
        }
        let Self { site, .. } = self;
        site
    }
}

fn problem_id(body: &Body) -> Option<String> {
    let (Body::Whole(bytes) | Body::Cut(bytes)) = body;
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    document["instance"].as_str()?.strip_prefix("urn:tollgate:request:").map(str::to_owned)
}

impl Process {
    #[track_caller]
    pub(crate) fn start(site: Site) -> Self {
        Self::start_in(site, &[])
    }

    /// With further variables in its environment.
    #[track_caller]
    pub(crate) fn start_in(site: Site, environment: &[(&str, &Path)]) -> Self {
        let mut child = Command::new(binary())
            .args(["up", "--json", "--config"])
            .arg(site.file())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(site.path().join("stderr")).unwrap())
            .spawn()
            .expect("the host's binary");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().and_then(Result::ok).unwrap_or_else(|| {
            panic!("no first line; stderr: {}", std::fs::read_to_string(site.path().join("stderr")).unwrap())
        });
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let at = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        let (address, admin) = (at("listen"), at("admin"));
        let client =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { child, client, address, admin, site: Some(site) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    pub fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }
    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.client.block_on(future)
    }
    pub fn client(&self) -> Client<HttpConnector, Full<Bytes>> {
        Client::builder(TokioExecutor::new()).build_http()
    }
    pub fn log(&self) -> Log {
        Log::of(self.site().path())
    }

    /// Asks tenant `acme`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path))
    }

    /// Sends a request without a body; the host is `acme.test` unless it says another.
    #[track_caller]
    pub fn ask(&self, request: http::request::Builder) -> Answer {
        let request = request.body(Full::default()).unwrap();
        let (parts, body) = self.client.block_on(exchange(self.address, request)).expect("a response");
        Answer { status: Some(parts.status), headers: parts.headers, body, records: Vec::new(), _host: None }
    }

    /// Runs a command of the binary against this host, and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--config").arg(self.site.as_ref().unwrap().file());
        let ran = command.args(["--admin", &self.admin.to_string()]).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// The standard error, once there are so many lines with this text in it; or after some seconds as it is.
    pub fn stderr_with(&self, lines: usize, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let stderr = self.stderr();
            if stderr.lines().filter(|line| line.contains(text)).count() >= lines || Instant::now() > end {
                return stderr;
            }
        }
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.site().path().join("stderr")).unwrap()
    }

    /// From the admin address.
    pub fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "localhost").body(Full::default()).unwrap();
        let (parts, body) = self.client.block_on(exchange(self.admin, request)).expect("a response");
        Answer { status: Some(parts.status), headers: parts.headers, body, records: Vec::new(), _host: None }
    }

    /// Bytes of memory that the process had in use when it was largest.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// Tells the process to stop, as a service manager would: SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process; returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks the host to read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    /// How many bytes of standard error there are.
    pub fn stderr_length(&self) -> u64 {
        std::fs::metadata(self.site().path().join("stderr")).unwrap().len()
    }

    /// The standard error since that byte.
    pub fn stderr_since(&self, byte: u64) -> String {
        let mut file = std::fs::File::open(self.site().path().join("stderr")).unwrap();
        file.seek(SeekFrom::Start(byte)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Site {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.site.take().unwrap()
    }

    /// Starts again on the same site.
    pub fn again(site: Site) -> Self {
        Self::start(site)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
