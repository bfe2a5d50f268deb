//! A Cloudflare worker that runs: the bundle of a site, in workerd on this machine.

use crate::answer::{Answer, Body};
use crate::case::Site;
use crate::client::{Client, exchange};
use crate::files::{contains, tools};
use crate::log::{Log, Record};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tollgate::{deployment, house};
use tollgate_cloudflare::{ClientAddress, Options, Tools, bundle};
use tollgate_derive::Derived;

/// A worker in workerd.
pub struct Worker {
    child: Child,
    client: Client,
    log: SocketAddr,
    site: Option<Site>,
}

/// What is asked of a bundle, besides its site.
#[derive(Default)]
pub struct Wanted<'a> {
    /// Apps that are servers, as `tenant/app` and URL.
    pub origins: &'a [(&'a str, String)],
    /// Whether apps count gas.
    pub gas: bool,
}

/// The bundle of a site.
#[track_caller]
pub fn build_bundle(site: &Site, wanted: &Wanted<'_>) -> Derived {
    try_bundle(site, wanted).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, or what is said instead.
pub fn try_bundle(site: &Site, wanted: &Wanted<'_>) -> Result<Derived, String> {
    let origins: Vec<house::OriginOf> = wanted
        .origins
        .iter()
        .map(|(app, url)| {
            let (tenant, app) = app.split_once('/').unwrap();
            let name = |text| tollgate_runtime::Name::new(text).unwrap();
            house::OriginOf { tenant: name(tenant), app: name(app), origin: url.parse().unwrap() }
        })
        .collect();
    let config = tollgate::Config::read(&site.file()).unwrap_or_else(|error| panic!("{error}"));
    let site = house::cloudflare(&config, &origins).unwrap_or_else(|error| panic!("{error:?}"));
    let gas = wanted.gas.then(|| house::gas(&config).unwrap_or_else(|error| panic!("{error}")));
    let options = Options {
        name: tollgate_runtime::Name::new("tollgate").unwrap(),
        client_address: ClientAddress::default(),
        gas,
    };
    let tools = Tools::at(&tools("cloudflare")).unwrap_or_else(|error| panic!("{error}"));
    bundle(&site, &options, &tools).map_err(|error| tollgate::output::chain(&error))
}

/// Makes the bundle of a site, for [`Worker::again`].
#[track_caller]
pub(crate) fn write_bundle(site: &Site, wanted: &Wanted<'_>) {
    deployment::write(&site.path().join("worker"), &build_bundle(site, wanted), None).unwrap();
}

impl Worker {
    /// Makes the bundle of a site, and starts it.
    #[track_caller]
    pub fn start(site: Site, wanted: &Wanted<'_>) -> Self {
        write_bundle(&site, wanted);
        Self::again(site)
    }

    /// Starts the bundle that the site has, on the state that it has.
    #[track_caller]
    pub fn again(site: Site) -> Self {
        let key = std::fs::read_to_string(site.path().join("log.key")).unwrap();
        Self::with_key(site, &key)
    }

    /// The same, with another text in place of the log's key.
    #[track_caller]
    pub(crate) fn with_key(site: Site, key: &str) -> Self {
        let state = site.path().join("worker-state");
        std::fs::create_dir_all(&state).unwrap();
        let mut child = Command::new(workerd())
            .current_dir(site.path().join("worker"))
            .args(["serve", "workerd.capnp", "--control-fd=1"])
            .args(["--socket-addr=http=127.0.0.1:0", "--socket-addr=log=127.0.0.1:0"])
            .arg(format!("--directory-path=state={}", state.display()))
            .env_clear()
            .env("AUDIT_KEY", key)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(site.path().join("stderr")).unwrap())
            .spawn()
            .expect("workerd");
        let ports = ports(&mut child, 2).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("workerd: {}", std::fs::read_to_string(site.path().join("stderr")).unwrap())
        });
        let at = |socket: &str| SocketAddr::from(([127, 0, 0, 1], ports[socket]));
        Self { client: Client::of(at("http")), log: at("log"), child, site: Some(site) }
    }

    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }
    pub fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.site().path().join("stderr")).unwrap()
    }

    /// The log, read as a stranger would.
    pub fn log(&self) -> Log {
        let (log, client) = (self.log, self.client.handle());
        Log::served(self.site().path(), move |key| {
            let request = Request::get(format!("/{key}")).body(Full::default()).unwrap();
            let (parts, body) = client.block_on(exchange(log, request)).expect("a response");
            match body {
                Body::Whole(bytes) => (parts.status == 200).then_some(bytes),
                Body::Cut(_) => panic!("the log's file {key} is cut"),
            }
        })
    }

    /// Sends a request without a body; the host is `acme.test` unless it says another.
    #[track_caller]
    pub fn ask(&self, request: http::request::Builder) -> Answer {
        self.send(request.body(Full::default()).unwrap())
    }

    #[track_caller]
    pub fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let mut answer = self.client.send(request);
        let end = Instant::now() + Duration::from_secs(20);
        answer.records = self.records_of(&answer.request_id_or_none().unwrap_or_default());
        // A whole response is acknowledged, so its record is there. One that broke may come before its record.
        while matches!(answer.body, Body::Cut(_)) && answer.records.is_empty() && Instant::now() < end {
            answer.records = self.records_of(&answer.request_id_or_none().unwrap_or_default());
        }
        answer
    }

    /// The status alone: for many at once.
    #[track_caller]
    pub fn asked(&self, request: http::request::Builder) -> u16 {
        self.unrecorded(request).status()
    }

    /// Begins a request, and leaves once the gate has let it in: its state on disk has grown.
    pub fn begin(&self, request: http::request::Builder) {
        let request = request.body(Full::default()).unwrap();
        let asking = self.client.begin(request);
        let gates = self.site().path().join("worker-state/tollgate-gate");
        let written = || {
            std::fs::read_dir(&gates).is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    std::fs::read(entry.path()).is_ok_and(|bytes| contains(&bytes, b"\"requestId\""))
                })
            })
        };
        let end = Instant::now() + Duration::from_secs(20);
        while !written() {
            assert!(Instant::now() < end, "the gate has a note");
        }
        asking.abort();
    }

    /// Without a look into the log.
    #[track_caller]
    pub fn unrecorded(&self, request: http::request::Builder) -> Answer {
        self.client.send(request.body(Full::default()).unwrap())
    }

    fn records_of(&self, id: &str) -> Vec<Record> {
        // Before the first record there is no log.
        let has_log = self.log().has_begun();
        let records = if has_log { self.log().records() } else { Vec::new() };
        records.into_iter().filter(|record| record.text("request_id") == id).collect()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Site {
        self.stop();
        self.site.take().unwrap()
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The platform's own program, as the adapter's lock pins it.
fn workerd() -> PathBuf {
    let modules = tools("cloudflare").join("node_modules/@cloudflare");
    let entries = std::fs::read_dir(&modules).unwrap_or_else(|_| panic!("run `cargo xtask edge`"));
    let of_machine = |path: &PathBuf| path.join("bin/workerd").exists();
    entries.map(|entry| entry.unwrap().path()).find(of_machine).expect("workerd").join("bin/workerd")
}

/// The ports that workerd says it listens on; none if it ends before.
fn ports(child: &mut Child, sockets: usize) -> Option<HashMap<String, u16>> {
    let mut ports = HashMap::new();
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    while ports.len() < sockets {
        let line: serde_json::Value = serde_json::from_str(&lines.next()?.ok()?).ok()?;
        if line["event"] == "listen" {
            ports.insert(line["socket"].as_str()?.to_owned(), u16::try_from(line["port"].as_u64()?).ok()?);
        }
    }
    Some(ports)
}
