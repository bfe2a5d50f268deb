//! Goal 6: memory of a host with 100, 1,000 and 10,000 loaded apps, ten for each tenant, while one in a hundred is asked;
//! and with 200 apps that have code of their own.

use crate::client::ask;
use crate::cold::SMALL;
use crate::host::{Memory, Running, mib};
use crate::report::{Bound, Verdict, micros, percentile};
use crate::site::{Many, many, place, place_distinct, shared};
use std::time::{Duration, Instant};
use testkit::{Connection, Site};

/// Tenants, with ten apps each.
const SIZES: [usize; 3] = [10, 100, 1_000];

/// A host that takes longer to be ready is not measured.
const READY_WITHIN: Duration = Duration::from_secs(240);

/// How long the active apps are asked, and how often in all.
const ACTIVE_FOR: Duration = Duration::from_secs(6);
const REQUEST_EVERY: Duration = Duration::from_millis(5);

/// Apps with code of their own: fewer, for each is compiled once.
const DISTINCT: [usize; 2] = [2, 20];

struct Row {
    apps: usize,
    idle: Memory,
    most: u64,
}

pub(crate) fn measure() -> Vec<Verdict> {
    let files = SMALL.map(|name| format!("{name}.wasm"));
    let mut rows = Vec::new();
    for tenants in SIZES {
        let all = shared(tenants, &files);
        let site = many(&all);
        place(site.path(), &SMALL);
        rows.extend(row("shared code", &site, &all));
    }
    let mut own = Vec::new();
    for tenants in DISTINCT {
        let files: Vec<String> = (0..tenants * 10).map(|number| format!("hello-{number:04}.wasm")).collect();
        let each =
            |(n, files): (usize, &[String])| Many { name: format!("t{n:04}"), components: files.to_vec() };
        let all: Vec<Many> = files.chunks(10).enumerate().map(each).collect();
        let site = many(&all);
        place_distinct(site.path(), "hello", tenants * 10);
        // The first start compiles.
        drop(Running::start_with(&site, None, READY_WITHIN));
        own.extend(row("code of its own", &site, &all));
    }
    slopes("shared code", &rows);
    slopes("code of its own", &own);
    let mut verdicts = verdicts(&rows);
    if let [less, more] = &own[..] {
        let name = "idle cost of an app with code of its own, files included";
        verdicts.push(Verdict::new(6, name, slope(less, more), Bound::AtMost(200.0), "KiB"));
    }
    verdicts
}

/// Idle memory for each more app, in KiB: the process's own and files.
fn slope(less: &Row, more: &Row) -> f64 {
    (more.idle.all() as f64 - less.idle.all() as f64) / (more.apps - less.apps) as f64 / 1_024.0
}

fn row(name: &str, site: &Site, tenants: &[Many]) -> Option<Row> {
    let apps = tenants.len() * 10;
    let Some(host) = Running::start_with(site, None, READY_WITHIN) else {
        println!("{apps:>6} apps, {name}: not ready within {READY_WITHIN:?}");
        return None;
    };
    let idle = host.settled();
    let (latencies, most) = host.most_during(|| active(&host, tenants));
    let after = host.memory();
    println!(
        "{apps:>6} apps, {name:<16} ready {:>6.1} s; idle: anonymous {:>7.1} MiB, files {:>6.1} MiB; 1 % active: at most \
         {:>7.1} MiB, files {:>6.1} MiB; first request p50 {:.0} µs, then p50 {:.0} µs",
        host.took.as_secs_f64(),
        mib(idle.anon),
        mib(idle.file),
        mib(most),
        mib(after.file),
        percentile(&latencies.0, 50),
        percentile(&latencies.1, 50),
    );
    Some(Row { apps, idle, most: most + after.file })
}

/// Asks one app in a hundred, each of another tenant as far as there are so many, in turns; returns the latencies of
/// first requests and of later ones.
fn active(host: &Running, tenants: &[Many]) -> (Vec<f64>, Vec<f64>) {
    let count = (tenants.len() / 10).max(1);
    let mut connection = Connection::open(host.address).unwrap();
    let (mut first, mut later) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for turn in 0.. {
        if began.elapsed() > ACTIVE_FOR && turn >= 2 * count {
            break;
        }
        let tenant = &tenants[(turn % count) * tenants.len() / count];
        let target = format!("/a{}", (turn % count) % tenant.components.len());
        let took = micros(ask(&mut connection, &format!("{}.test", tenant.name), &target));
        if turn < count {
            first.push(took)
        } else {
            later.push(took)
        }
        let due = began + REQUEST_EVERY * turn as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    (first, later)
}

/// How the idle memory grows from each size to the next.
fn slopes(name: &str, rows: &[Row]) {
    for pair in rows.windows(2) {
        let apps = (pair[1].apps - pair[0].apps) as f64;
        let per_app =
            |of: fn(&Memory) -> u64| (of(&pair[1].idle) as f64 - of(&pair[0].idle) as f64) / apps / 1_024.0;
        println!(
            "{name}: from {} to {} apps: {:.1} KiB of anonymous memory and {:.1} KiB of files for each more",
            pair[0].apps,
            pair[1].apps,
            per_app(|memory| memory.anon),
            per_app(|memory| memory.file)
        );
    }
}

fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let (whole, each) = (Bound::AtMost(4.0), Bound::AtMost(200.0));
    let first = &rows[0];
    match rows.iter().find(|row| row.apps == 10_000) {
        None => vec![
            Verdict::missing(6, "10,000 apps of 1,000 tenants: not ready in time", whole, "GiB"),
            Verdict::missing(6, "idle cost of an app: no host with 10,000", each, "KiB"),
        ],
        Some(top) => {
            vec![
                Verdict::new(
                    6,
                    "10,000 apps of 1,000 tenants, 1 % active",
                    mib(top.most) / 1_024.0,
                    whole,
                    "GiB",
                ),
                Verdict::new(
                    6,
                    "idle cost of an app, tenant's part included",
                    slope(first, top),
                    each,
                    "KiB",
                ),
            ]
        }
    }
}
