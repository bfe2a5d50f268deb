//! Stand-ins of two vendors' APIs, and of what they run: ours, not theirs. They follow the contracts as the vendors'
//! clients and documentation show them, refusals included, and can be told to fail.
//!
//! A version's code is a text here, and what it answers is written in it (`Script`); no code runs. Where a story needs
//! the real thing, the text names an address to ask.

mod cloudflare;
mod fastly;
mod script;

use crate::files::binary;
use bytes::Bytes;
use cloudflare::Workers;
use fastly::Compute;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use script::Script;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tollgate_trust::Sha256;

/// The token that the stand-ins take.
pub const TOKEN: &str = "t0ken-of-the-tests";

/// Where the staging network of the stand-in is: another address of this machine's loopback.
const STAGING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A way for one call to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429, to be asked again at once; it is not done.
    Busy,
    /// 429, to be asked again after a second; it is not done.
    BusyForASecond,
    /// It is done, and the answer takes its time.
    Slow,
    /// 500; it is not done.
    Error,
    /// 500; it is done.
    ErrorAfter,
    /// The connection breaks; it is not done.
    Cut,
    /// The connection breaks; it is done.
    CutAfter,
    /// Nothing comes for ever; it is not done.
    Hang,
    /// Nothing comes for ever; it is done.
    HangAfter,
    /// It is answered, and then somebody else deploys.
    Meanwhile,
}

impl Fault {
    fn is_after(self) -> bool {
        matches!(self, Self::Slow | Self::ErrorAfter | Self::CutAfter | Self::HangAfter | Self::Meanwhile)
    }
}

/// A request to the API.
struct Asked {
    method: Method,
    /// Below the API's own, with the query.
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The parts of a multipart form, by name.
    fn parts(&self) -> BTreeMap<String, Bytes> {
        let kind = self.headers["content-type"].to_str().unwrap();
        let boundary = kind.split("boundary=").nth(1).expect("a boundary").trim_matches('"');
        let mark = format!("--{boundary}");
        let mut parts = BTreeMap::new();
        for range in between(&self.body, mark.as_bytes()) {
            let part = self.body.slice(range);
            let Some(end) = position(&part, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&part[..end]).into_owned();
            let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
            parts.insert(name.to_owned(), part.slice(end + 4..part.len() - 2));
        }
        parts
    }

    /// The fields of a form.
    fn form(&self) -> BTreeMap<String, String> {
        let is_form =
            self.headers.get("content-type").is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        let text = if is_form { String::from_utf8_lossy(&self.body).into_owned() } else { String::new() };
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (unescaped(name), unescaped(value))).collect()
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn between(bytes: &[u8], mark: &[u8]) -> Vec<std::ops::Range<usize>> {
    let starts: Vec<usize> =
        (0..bytes.len().saturating_sub(mark.len() - 1)).filter(|&at| bytes[at..].starts_with(mark)).collect();
    starts.windows(2).map(|pair| pair[0] + mark.len()..pair[1]).collect()
}

/// What an API answers.
type Reply = (StatusCode, Value);

/// A version that is to answer a client.
struct Picked {
    version: String,
    code: String,
    /// Its share of the traffic.
    percent: u8,
}

/// A vendor's side.
trait Contract: Send {
    /// Whether the request has the right token.
    fn admits(&self, headers: &HeaderMap) -> bool;
    /// What is said to one that has not.
    fn denial(&self) -> Reply;
    /// Does what it is asked.
    fn call(&mut self, asked: &Asked) -> Reply;
    /// Who answers a client, on production or on the staging network.
    fn pick(&mut self, headers: &HeaderMap, staging: bool) -> Option<Picked>;
    /// From now on, so many requests after each change of traffic meet the edge as it was before.
    fn lag(&mut self, requests: u32);
    /// Somebody else deploys.
    fn meddle(&mut self);
    /// The traffic as it was set, one after the other, by what the code says of itself.
    fn history(&self) -> Vec<String>;
}

/// Tells a kind of call, by its method and path.
type Kind = fn(&str) -> bool;

struct State {
    contract: Box<dyn Contract>,
    calls: Vec<String>,
    /// When each came.
    times: Vec<Instant>,
    faults: BTreeMap<usize, Fault>,
    fault_at: Option<(Kind, Fault)>,
    hangs: Sender<()>,
    served: u64,
}

/// A vendor, and a folder with what is deployed to it.
pub struct Vendor {
    target: &'static str,
    state: Arc<Mutex<State>>,
    hung: Receiver<()>,
    address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl Vendor {
    pub fn cloudflare() -> Self {
        Self::start("cloudflare", Box::new(Workers::default()))
    }

    pub fn fastly() -> Self {
        Self::start("fastly", Box::new(Compute::new()))
    }

    fn start(target: &'static str, contract: Box<dyn Contract>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (hangs, hung) = channel();
        let state = State {
            contract,
            calls: Vec::new(),
            times: Vec::new(),
            faults: BTreeMap::new(),
            fault_at: None,
            hangs,
            served: 0,
        };
        let state = Arc::new(Mutex::new(state));
        // The same port at both addresses: the platform's clients ask one port.
        let (production, staging) = loop {
            let production = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = production.local_addr().unwrap().port();
            if let Ok(staging) = runtime.block_on(TcpListener::bind((STAGING, port))) {
                break (production, staging);
            }
        };
        let address = production.local_addr().unwrap();
        runtime.spawn(serve(production, Arc::clone(&state), false));
        runtime.spawn(serve(staging, Arc::clone(&state), true));
        let vendor =
            Self { target, state, hung, address, folder: tempfile::tempdir().unwrap(), _runtime: runtime };
        vendor.places("");
        vendor
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `deploy.toml`; `lines` go into the platform's own table.
    pub fn places(&self, lines: &str) {
        self.places_with("checks = [{ path = \"/\", body = \"hello\" }]", lines);
    }

    /// The same, with lines of the environment besides.
    pub fn places_with(&self, environment: &str, lines: &str) {
        let (target, address) = (self.target, self.address);
        let place = match target {
            "cloudflare" => "account = \"acct0\"\nworker = \"shop\"",
            _ => "service = \"SVC0\"",
        };
        let text = format!(
            "[environments.test]\n{environment}\n[environments.test.{target}]\n{place}\nurl = \"http://{address}\"\n\
             api = \"http://{address}/the-api\"\nhold = \"0s\"\n{lines}\n"
        );
        std::fs::write(self.path().join("deploy.toml"), text).unwrap();
    }

    /// Writes a bundle whose code is a script: `answers 200 hello one`, and more lines as `Script` has them.
    pub fn bundle(&self, name: &str, script: &str) -> PathBuf {
        let files = match self.target {
            "cloudflare" => cloudflare::bundle(script),
            _ => fastly::bundle(script),
        };
        self.bundle_of(name, &files)
    }

    /// Writes a bundle of these files.
    pub fn bundle_of(&self, name: &str, files: &[(&str, String)]) -> PathBuf {
        let folder = self.path().join(name);
        let outputs: Vec<Value> = files
            .iter()
            .map(|(path, text)| {
                json!({"path": path, "bytes": text.len(), "sha256": Sha256::of(text.as_bytes()).to_string()})
            })
            .collect();
        let record = ("derivation.json", json!({ "outputs": outputs }).to_string());
        for (path, text) in files.iter().chain([&record]) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    /// The next call but `nth` fails so, and each after it as it was told.
    pub fn fault(&self, nth: usize, fault: Fault) {
        let mut state = self.state();
        let at = state.calls.len() + nth;
        state.faults.insert(at, fault);
    }

    /// The next call of that kind fails so; it is told by its method and path.
    pub fn fault_at(&self, kind: Kind, fault: Fault) {
        self.state().fault_at = Some((kind, fault));
    }

    /// Waits until a call hangs.
    #[track_caller]
    pub fn expect_hang(&self) {
        self.hung.recv_timeout(Duration::from_secs(60)).expect("a call hangs");
    }

    /// From now on, so many of clients' requests after each change of traffic meet the edge as it was before.
    pub fn lag(&self, requests: u32) {
        self.state().contract.lag(requests);
    }

    /// The calls of the API since the last time.
    pub fn calls(&self) -> Vec<String> {
        let mut state = self.state();
        state.faults.clear();
        state.fault_at = None;
        state.times.clear();
        std::mem::take(&mut state.calls)
    }

    /// How long after that call the next one came.
    pub fn pause_after(&self, nth: usize) -> Duration {
        let state = self.state();
        state.times[nth + 1] - state.times[nth]
    }

    /// The traffic as it was set, one after the other.
    pub fn history(&self) -> Vec<String> {
        self.state().contract.history()
    }

    /// Who has the traffic.
    pub fn live(&self) -> String {
        self.history().pop().unwrap_or_default()
    }

    /// A command of the host's binary for this place.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--target", self.target, "--env", "test"]).current_dir(self.path());
        command.env_clear().env(self.variable(), TOKEN).stdin(Stdio::null());
        command
    }

    pub fn variable(&self) -> &'static str {
        if self.target == "cloudflare" { "CLOUDFLARE_API_TOKEN" } else { "FASTLY_API_TOKEN" }
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Deploys a bundle.
    pub fn deploy(&self, bundle: &str) -> Ran {
        self.run(&["deploy", bundle])
    }

    /// Begins to deploy, and is killed at the call that hangs. Tells whether one did.
    pub fn deploy_killed(&self, bundle: &str) -> bool {
        let mut child: Child =
            self.command(&["deploy", bundle]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        loop {
            if self.hung.recv_timeout(Duration::from_millis(20)).is_ok() {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
        }
    }

    /// Sends a request to the API itself, as any client may.
    pub fn api(&self, request: http::request::Builder, body: impl Into<Bytes>) -> (u16, Value) {
        let mut request = request.body(Full::new(body.into())).unwrap();
        *request.uri_mut() = format!("/the-api{}", request.uri()).parse().unwrap();
        let token = if self.target == "cloudflare" { format!("Bearer {TOKEN}") } else { TOKEN.into() };
        let name = if self.target == "cloudflare" { "authorization" } else { "fastly-key" };
        request.headers_mut().insert(name, token.parse().unwrap());
        let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (parts, body) =
            client.block_on(crate::client::exchange(self.address, request)).expect("an answer");
        let crate::answer::Body::Whole(bytes) = body else { panic!("the answer is cut") };
        (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// What a command came to.
pub struct Ran {
    code: Option<i32>,
    /// What was printed, both streams.
    pub text: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), text: text(&output.stdout) + &text(&output.stderr) }
    }

    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    #[track_caller]
    pub fn fails_with(self, text: &str) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert!(self.text.contains(text), "no `{text}` in: {}", self.text);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.text.contains(text), "no `{text}` in: {}", self.text);
        self
    }
}

/// The connection is to break.
#[derive(Debug)]
struct Break;

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection breaks")
    }
}

impl std::error::Error for Break {}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, staging: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request, staging));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
    staging: bool,
) -> Result<Response<Full<Bytes>>, Break> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Break)?.to_bytes();
    let path = parts.uri.to_string();
    match path.strip_prefix("/the-api") {
        Some(path) => {
            let path = path.to_owned();
            called(&state, Asked { method: parts.method, path, headers: parts.headers, body }).await
        }
        None => script::serve(&state, &parts.headers, &path, staging).await,
    }
}

async fn called(state: &Mutex<State>, asked: Asked) -> Result<Response<Full<Bytes>>, Break> {
    let (reply, fault) = {
        let mut state = state.lock();
        let nth = state.calls.len();
        let call = format!("{} {}", asked.method, asked.path);
        let fault = state.faults.remove(&nth);
        let fault = fault.or(state.fault_at.take_if(|(kind, _)| kind(&call)).map(|(_, fault)| fault));
        state.calls.push(call);
        state.times.push(Instant::now());
        let admitted = state.contract.admits(&asked.headers);
        let reply = match fault {
            _ if !admitted => state.contract.denial(),
            Some(fault) if !fault.is_after() => (StatusCode::INTERNAL_SERVER_ERROR, Value::Null),
            _ => state.contract.call(&asked),
        };
        if fault == Some(Fault::Meanwhile) {
            state.contract.meddle();
        }
        if matches!(fault, Some(Fault::Hang | Fault::HangAfter)) {
            let _ = state.hangs.send(());
        }
        (reply, fault)
    };
    // A service in trouble may quote what it was sent.
    let quoted = || json!({"msg": format!("trouble with {:?}", asked.headers)});
    let (status, body) = match fault {
        Some(Fault::Cut | Fault::CutAfter) => return Err(Break),
        Some(Fault::Hang | Fault::HangAfter) => return std::future::pending().await,
        Some(Fault::Busy | Fault::BusyForASecond) => (StatusCode::TOO_MANY_REQUESTS, quoted()),
        Some(Fault::Slow) => {
            tokio::time::sleep(Duration::from_millis(700)).await;
            reply
        }
        Some(Fault::Error | Fault::ErrorAfter) => (StatusCode::INTERNAL_SERVER_ERROR, quoted()),
        Some(Fault::Meanwhile) | None => reply,
    };
    let answer = Response::builder().status(status).header("content-type", "application/json");
    let answer = match fault {
        Some(Fault::Busy) => answer.header("retry-after", "0"),
        Some(Fault::BusyForASecond) => answer.header("retry-after", "1"),
        _ => answer,
    };
    Ok(answer.body(Full::new(body.to_string().into())).unwrap())
}
