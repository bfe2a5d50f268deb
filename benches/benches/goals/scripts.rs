//! Goal 9: guests in JavaScript and Python, with an instance for each request beside reused ones.

use crate::client::{ask, per_second};
use crate::host::{Running, mib};
use crate::report::{Bound, Verdict, in_turns, median, micros, ratio};
use crate::site::one;
use std::time::Duration;
use testkit::{App, Connection};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 4;
const TIME: Duration = Duration::from_secs(3);

/// Requests one after the other, with a pause in which an instance can be prepared.
const ALONE: usize = 60;
const PAUSE: Duration = Duration::from_millis(15);

const MODES: [(&str, &str); 3] = [
    ("serial", "mode = \"serial\"\nreuse = 100"),
    ("reset", "mode = \"reset\""),
    ("fresh", "mode = \"fresh\""),
];

pub(crate) fn measure() -> Vec<Verdict> {
    [("JavaScript", "handler-js"), ("Python", "hello-python")]
        .into_iter()
        .flat_map(|(language, guest)| language_of(language, guest))
        .collect()
}

fn language_of(language: &str, guest: &str) -> [Verdict; 2] {
    let sites = MODES.map(|(_, keys)| {
        let app = App::guest(guest)
            .keys(keys)
            .grants("files = \"none\"\nsockets = \"none\"\nhttp = { allow = [] }");
        one(app)
            .limits("fuel = 10_000_000_000\ngas = 20_000_000_000\ncpu-ms = 10_000\nmemory-bytes = \"96MiB\"")
            .write()
    });
    // One after the other: the first compiles.
    let hosts: Vec<Running> = sites
        .iter()
        .map(|site| Running::start_with(site, None, Duration::from_secs(400)).expect("a host in time"))
        .collect();
    let (mut cpu, mut faults) = ([const { Vec::new() }; MODES.len()], [const { Vec::new() }; MODES.len()]);
    let rates = in_turns::<{ MODES.len() }>(ROUNDS, |mode| {
        let before = (hosts[mode].cpu(), hosts[mode].faults());
        let rate = per_second(hosts[mode].address, "acme.test", "/", CONNECTIONS, TIME);
        let requests = rate * TIME.as_secs_f64();
        cpu[mode].push((hosts[mode].cpu() - before.0).as_secs_f64() * 1e6 / requests);
        faults[mode].push((hosts[mode].faults() - before.1) as f64 / requests);
        rate
    });
    let latencies = in_turns::<{ MODES.len() }>(ROUNDS, |mode| {
        let mut connection = Connection::open(hosts[mode].address).unwrap();
        let took = (0..ALONE).map(|_| {
            std::thread::sleep(PAUSE);
            micros(ask(&mut connection, "acme.test", "/"))
        });
        median(&took.collect::<Vec<_>>())
    });
    for (mode, (name, _)) in MODES.iter().enumerate() {
        let log = testkit::Log::of(sites[mode].path());
        let records = log.records_from(log.size().saturating_sub(20));
        let fuel: Vec<f64> = records.iter().map(|record| record.used("fuel") as f64 / 1e6).collect();
        println!(
            "{language:<11} {name:<7} {:>7.0} req/s   CPU {:>6.0} µs, {:>5.0} page faults, {:.2} Mfuel a request   \
             alone, with pauses: p50 {:>6.0} µs   anonymous memory {:>5.1} MiB",
            median(&rates[mode]),
            median(&cpu[mode]),
            median(&faults[mode]),
            median(&fuel),
            median(&latencies[mode]),
            mib(hosts[mode].memory().anon),
        );
    }
    let (slower, later) = (ratio(&rates[0], &rates[1]), ratio(&latencies[1], &latencies[0]));
    let bound = Bound::AtMost(2.0);
    [
        Verdict::new(9, &format!("{language}: throughput, reuse over reset"), slower, bound, "×"),
        Verdict::new(9, &format!("{language}: latency with pauses, reset over reuse"), later, bound, "×"),
    ]
}
