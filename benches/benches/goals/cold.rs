//! Goal 5: the first request to an app whose code is on disk and has not run yet, beside later ones; and how long a host
//! with 1,000 apps takes to start, with compiled code in the cache.

use crate::client::ask;
use crate::host::{Running, mib};
use crate::report::{Bound, Verdict, median, micros, percentile};
use crate::site::{Many, many, place, place_distinct, shared};
use testkit::Connection;

/// Apps that are asked a first time, of one tenant and as many tenants of one app each.
const APPS: usize = 12;
const HOSTS: usize = 4;
const STARTS: usize = 5;

/// Later requests to each app.
const WARM: usize = 30;

/// Small guests in Rust that any tenant can have without a grant.
pub(crate) const SMALL: [&str; 4] = ["hello", "hello-02", "echo", "work"];

pub(crate) fn first_requests() -> Vec<Verdict> {
    let file = |number| format!("hello-{number:04}.wasm");
    let mut tenants = vec![Many { name: "known".into(), components: (0..=APPS).map(file).collect() }];
    for number in 0..APPS {
        tenants.push(Many { name: format!("new{number:02}"), components: vec![file(APPS + 1 + number)] });
    }
    let site = many(&tenants);
    place_distinct(site.path(), "hello", 2 * APPS + 1);
    drop(Running::start(&site));
    let (mut known, mut new, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..HOSTS {
        let host = Running::start(&site);
        let mut connection = Connection::open(host.address).unwrap();
        // The last app of the known tenant goes first, often: so the host, its log and this tenant's gate are warm.
        for _ in 0..200 {
            ask(&mut connection, "known.test", &format!("/a{APPS}"));
        }
        for app in 0..APPS {
            let (target, tenant) = (format!("/a{app}"), format!("new{app:02}.test"));
            known.push(micros(ask(&mut connection, "known.test", &target)));
            let later = (0..WARM).map(|_| micros(ask(&mut connection, "known.test", &target)));
            warm.push(median(&later.collect::<Vec<_>>()));
            new.push(micros(ask(&mut connection, &tenant, "/a0")));
        }
    }
    let warm = median(&warm);
    println!("warm: p50 {warm:.0} µs");
    let mut verdicts = Vec::new();
    for (what, first) in [("of a tenant that was served", &known), ("of a tenant that was not", &new)] {
        let (p50, p99) = (median(first), percentile(first, 99));
        println!("first request to an app {what}: p50 {p50:.0} µs, p99 {p99:.0} µs");
        let name = format!("first request to an app {what}, over warm");
        verdicts.push(Verdict::new(5, &name, (p50 - warm) / 1e3, Bound::AtMost(1.0), "ms"));
    }
    verdicts
}

pub(crate) fn start() -> Vec<Verdict> {
    let mut seconds = Vec::new();
    for tenants in [10, 100] {
        let files = SMALL.map(|name| format!("{name}.wasm"));
        let site = many(&shared(tenants, &files));
        place(site.path(), &SMALL);
        drop(Running::start(&site));
        seconds = (0..STARTS)
            .map(|_| {
                let host = Running::start(&site);
                let (cpu, memory) = (host.cpu().as_secs_f64(), host.memory());
                println!(
                    "{} apps of {tenants} tenants: ready after {:.2} s (CPU {cpu:.2} s, anonymous memory {:.0} MiB)",
                    tenants * 10,
                    host.took.as_secs_f64(),
                    mib(memory.anon)
                );
                host.took.as_secs_f64()
            })
            .collect();
    }
    vec![Verdict::new(5, "start with 1,000 apps of 100 tenants", median(&seconds), Bound::AtMost(2.0), "s")]
}
