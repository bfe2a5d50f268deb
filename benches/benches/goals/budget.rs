//! Where the processor time of a request goes. Each stage is measured alone, and beside their sum stands what a whole
//! host takes for a request under load. What is between the two belongs to no stage that can be had alone: hand-overs
//! between threads, clocks, the run's driving, the log line, and the caches that stages take from each other.

use crate::bare::{BareApp, Counts};
use crate::host::Running;
use crate::report::{micros, process_cpu};
use crate::site::{WIDE, WIDE_TOTALS, one};
use benchkit::{Peer, Rig, TEN_POLICIES, Target, block_on, closed_loop, peers, rig};
use http::Request;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::{App, guest};
use tollgate_runtime::{AuditLog, FailureMode, HostPattern, Name, Peer as Client, Route, doors};

const COUNT: u64 = 10_000;

/// Connections, and so the records that are appended at one time when all of them wait for theirs.
const CONNECTIONS: usize = 32;

/// How long a server is asked for.
const SECONDS: u32 = 10;

/// A stage, and its microseconds of processor time for one request.
type Stage = (&'static str, f64);

pub(crate) fn print() {
    let mut stages = vec![("connection: accept, parse, write (bare hyper)", bare_hyper())];
    stages.extend(block_on(inside()));
    let bare = BareApp::new(&guest("hello"), Counts { fuel: true, epochs: true });
    let run = average(COUNT, || bare.ask("/").1);
    let making = average(COUNT, || bare.make());
    stages.push(("app: the guest's run, in the bare engine with fuel and epochs", run - making));
    for mode in ["fresh", "serial"] {
        let whole = whole(mode);
        println!("mode {mode}: a request takes {whole:.1} µs in all");
        let counted = |stage: &&Stage| mode == "fresh" || stage.0 != INSTANCE;
        for (name, took) in stages.iter().filter(counted) {
            row(name, *took, whole);
        }
        let sum: f64 = stages.iter().filter(counted).map(|stage| stage.1).sum();
        row("the rest", whole - sum, whole);
    }
}

const INSTANCE: &str = "app: an instance with all limits armed, made and dropped";

fn row(name: &str, took: f64, whole: f64) {
    println!("  {name:<64} {took:>8.1} µs {:>6.1} %", took / whole * 100.0);
}

/// The stages that can be had without a listener.
async fn inside() -> Vec<Stage> {
    let rig = rig().await;
    let gate = rig.gate(TEN_POLICIES, 2).await;
    let app = rig.app("hello").await;
    let mut stages = vec![("facts: one spelling, headers, who asks", facts())];

    let mut number = 0;
    let mut permits = Vec::with_capacity(COUNT as usize * 2);
    let admitted = each(COUNT, async || {
        number += 1;
        permits.push(gate.admit(&rig.facts(number), FailureMode::Closed).await.ok());
    });
    stages.push(("gate: admission, ten policies and two buckets", admitted.await));
    let mut permits = permits.into_iter().flatten();
    let settled = each(COUNT / 2, async || {
        let permit = permits.next().expect("as many were admitted");
        rig.settle(&gate, &rig.facts(number), permit).await;
    });
    stages.push(("gate: settling, with the record made", settled.await));
    stages.push((INSTANCE, each(COUNT, async || app.try_instance().await.unwrap()).await));

    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let mut log = rig.audit(folder.path()).await;
    stages.push(("audit: appended and synced, 32 records together", appended(&rig, &mut log).await));
    stages
}

async fn appended(rig: &Rig, log: &mut AuditLog) -> f64 {
    let mut number = 0;
    let group = each(300, async || {
        let entries: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                number += 1;
                rig.entry(number)
            })
            .collect();
        log.append(&entries).await.unwrap();
    });
    group.await / CONNECTIONS as f64
}

fn facts() -> f64 {
    let peer = Client { address: [192, 0, 2, 7].into(), tls: false };
    let name = |text| Name::new(text).unwrap();
    let route = Route {
        tenant: name("acme"),
        name: name("web"),
        host: HostPattern::Any,
        path: String::new(),
        methods: Vec::new(),
        app_name: name("web"),
        app: None,
        headers: vec![http::header::ACCEPT],
        failure: FailureMode::Closed,
    };
    average(COUNT, || {
        let head =
            Request::get("/articles/7?page=2").header("host", "acme.test").header("accept", "text/html");
        let (parts, ()) = head.body(()).unwrap().into_parts();
        let began = process_cpu();
        assert!(doors::facts(parts, &peer, &route, &[]).is_ok());
        process_cpu() - began
    })
}

/// Microseconds of all threads' time for one run of `work`, after some to warm up.
async fn each(count: u64, mut work: impl AsyncFnMut()) -> f64 {
    for _ in 0..count / 10 {
        work().await;
    }
    let began = process_cpu();
    for _ in 0..count {
        work().await;
    }
    micros(process_cpu() - began) / count as f64
}

/// The mean of what `once` says, in microseconds, after some to warm up.
fn average(count: u64, mut once: impl FnMut() -> Duration) -> f64 {
    for _ in 0..count / 10 {
        once();
    }
    let all: Duration = (0..count).map(|_| once()).sum();
    micros(all) / count as f64
}

fn bare_hyper() -> f64 {
    let (hyper, address) = peers::hyper().expect("bare hyper");
    under_load(address, || Peer::cpu(&hyper))
}

fn whole(mode: &str) -> f64 {
    let app = App::guest("hello").keys(&format!("mode = \"{mode}\""));
    let site = one(app).limits(WIDE).totals(WIDE_TOTALS).write();
    let host = Running::start(&site);
    under_load(host.address, || host.cpu())
}

/// Microseconds of a server's time for a request, while it is asked for as much as it can answer.
fn under_load(address: SocketAddr, cpu: impl Fn() -> Duration) -> f64 {
    let target = Target { address, host: "acme.test", path: "/" };
    closed_loop(&target, CONNECTIONS, 2);
    let before = cpu();
    let figures = closed_loop(&target, CONNECTIONS, SECONDS);
    micros(cpu() - before) / (figures.per_second * f64::from(SECONDS))
}
