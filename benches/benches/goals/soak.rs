//! A host for an hour: one tenant asks at 70 % of what the host can do, while three others ask for more than they may.
//!
//! One is at its rate, one at its requests at one time, one at its gas of the hour; what they get beside answers must
//! be refusals. Each minute has a line, and the verdict is at the end.

use crate::host::{Running, mib};
use crate::report::median;
use crate::site::{WIDE, WIDE_TOTALS, one};
use benchkit::{Target, closed_loop, open_loop};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testkit::{App, Ask, Connection, Tenant};

/// Those that ask for more than they may: a host name, what is asked for, connections, and a pause before each request.
const GREEDY: [(&str, &str, usize, Duration); 3] = [
    ("rate.test", "/", 1, Duration::from_millis(10)),
    ("places.test", "/?rounds=2000000", 8, Duration::from_millis(50)),
    ("gas.test", "/?rounds=100000", 1, Duration::from_millis(10)),
];

/// What they may get: an answer, or a refusal that says why.
const FAIR: [u16; 3] = [200, 429, 503];

const SHARE: f64 = 0.7;
const CONNECTIONS: usize = 64;

/// How many of the first minutes are not compared: the host has not been asked for everything yet.
const SETTLING: usize = 5;

/// What may be between the memory of the first minutes and that of the last.
const GROWTH: f64 = 1.05;

struct Minute {
    anon: u64,
    descriptors: usize,
    bad: u64,
}

pub(crate) fn endure(minutes: usize) {
    let greedy =
        |name: &str, guest: &str| Tenant::new(name).app(App::guest(guest).route("buckets = [\"few\"]"));
    let few = |quota: u64| {
        format!("[buckets.few]\nunit = \"requests\"\nquota = {quota}\nwindow = \"10s\"\nkey = [\"tenant\"]")
    };
    let site = one(App::guest("hello"))
        .limits(WIDE)
        .totals(WIDE_TOTALS)
        .tenant(greedy("rate", "work").tables(&few(500)))
        .tenant(greedy("places", "work").tables(&few(1_000_000)).totals("concurrent-requests = 2"))
        .tenant(greedy("gas", "work").tables(&few(1_000_000)).totals("gas-per-hour = 1_000_000_000"))
        .write();
    let host = Running::start(&site);
    let target = Target { address: host.address, host: "acme.test", path: "/" };
    let (over, seen) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let rows = std::thread::scope(|scope| {
        for (name, path, connections, pause) in GREEDY {
            for _ in 0..connections {
                let (address, over, seen) = (host.address, &over, &seen);
                scope.spawn(move || ask_for_more(address, name, path, pause, over, seen));
            }
        }
        let peak = closed_loop(&target, CONNECTIONS, 20).per_second;
        println!("{peak:.0} requests/s at most, beside the greedy; {:.0} from now on", peak * SHARE);
        let minute = |number| {
            let paced = open_loop(&target, CONNECTIONS, peak * SHARE, 60);
            let row = Minute { anon: host.memory().anon, descriptors: host.descriptors(), bad: paced.bad };
            println!(
                "minute {number:>2}: {:.0} answered/s, p50 {:.0} µs, p99 {:.0} µs, {} bad, of which {} without an answer; {:.1} MiB, {} descriptors",
                paced.answered,
                paced.p50_us,
                paced.p99_us,
                paced.bad,
                paced.unanswered,
                mib(row.anon),
                row.descriptors
            );
            row
        };
        let rows: Vec<Minute> = (1..=minutes).map(minute).collect();
        over.store(true, Relaxed);
        rows
    });
    verdict(&rows, &seen.into_inner());
}

fn verdict(rows: &[Minute], seen: &BTreeMap<(&str, u16), u64>) {
    for ((name, status), count) in seen {
        println!("{name}: {count} × {status}");
    }
    let bad: u64 = rows.iter().map(|row| row.bad).sum();
    println!("errors of the tenant within its limits: {bad}");
    let unfair: u64 =
        seen.iter().filter(|((_, status), _)| !FAIR.contains(status)).map(|(_, count)| count).sum();
    println!("answers to the greedy that are neither 200 nor a refusal: {unfair}");
    let settled = rows.get(SETTLING..).unwrap_or_default();
    let few = settled.len().min(SETTLING);
    if few == 0 {
        return println!("too short to compare memory");
    }
    let of =
        |rows: &[Minute], figure: fn(&Minute) -> f64| median(&rows.iter().map(figure).collect::<Vec<_>>());
    for (name, figure, scale) in [
        ("MiB", (|row| row.anon as f64) as fn(&Minute) -> f64, 1.0 / f64::from(1 << 20)),
        ("descriptors", |row| row.descriptors as f64, 1.0),
    ] {
        let (first, last) = (of(&settled[..few], figure), of(&settled[settled.len() - few..], figure));
        let flat = if last <= first * GROWTH { "flat" } else { "NOT FLAT" };
        println!(
            "{name}: {:.1} after {SETTLING} minutes, {:.1} at the end: {flat}",
            first * scale,
            last * scale
        );
    }
}

/// Asks again and again, and counts what comes, by status; 0 is none.
fn ask_for_more<'a>(
    address: SocketAddr,
    name: &'a str,
    path: &str,
    pause: Duration,
    over: &AtomicBool,
    seen: &Mutex<BTreeMap<(&'a str, u16), u64>>,
) {
    let mut connection = Connection::open(address).unwrap();
    let ask = Ask::get(name, path);
    while !over.load(Relaxed) {
        let due = Instant::now() + pause;
        let status = connection.ask(&ask).status.unwrap_or(0);
        *seen.lock().entry((name, status)).or_default() += 1;
        if status == 0 {
            connection = Connection::open(address).unwrap();
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
