//! Goal 7, the first half: what exact gas costs guests that compute, by kind of work. The host's processor time is
//! what its own record says of the run; the bare engine's is the thread's, for a run of the same bytes.

use crate::bare::{BareApp, Counts};
use crate::client::ask;
use crate::host::Running;
use crate::report::{Bound, Verdict, in_turns, median, ratio};
use crate::site::{WIDE, WIDE_TOTALS, one};
use testkit::{App, Connection, guest};

/// The kinds of work that the guest `corpus` does.
const KINDS: [&str; 7] = ["hash", "sort", "matrix", "json", "words", "calls", "sieve"];
const ROUNDS: usize = 9;

/// How long one run is to take in the bare engine.
const RUN_SECONDS: f64 = 0.08;

pub(crate) fn measure() -> Vec<Verdict> {
    let site = one(App::guest("corpus")).limits(WIDE).totals(WIDE_TOTALS).write();
    let host = Running::start(&site);
    let mut connection = Connection::open(host.address).unwrap();
    let log = testkit::Log::of(site.path());
    let mut governed = |target: &str| {
        let before = log.size();
        ask(&mut connection, "acme.test", target);
        let records = log.records_from(before);
        let record = records.iter().rev().find(|record| record.outcome() == "answered:200");
        record.expect("a record of what was answered").used("cpu_ns") as f64 / 1e9
    };
    let component = guest("corpus");
    let bare = [(false, false), (true, false), (false, true)]
        .map(|(fuel, epochs)| BareApp::new(&component, Counts { fuel, epochs }));
    println!("processor time beside the bare engine's       host   fuel alone   epochs alone");
    let mut ratios = Vec::new();
    for kind in KINDS {
        let once = bare[0].ask(&format!("/?kind={kind}&rounds=4")).1.as_secs_f64() / 4.0;
        let target = format!("/?kind={kind}&rounds={}", ((RUN_SECONDS / once) as u64).max(1));
        let took = in_turns::<4>(ROUNDS, |arm| match arm {
            0 => governed(&target),
            arm => bare[arm - 1].ask(&target).1.as_secs_f64(),
        });
        let [ours, theirs, fuel, epochs] = &took;
        ratios.push(ratio(ours, theirs));
        println!(
            "{kind:<10} {:>7.1} ms, bare {:>7.1} ms: {:>12.2} × {:>10.2} × {:>12.2} ×",
            median(ours) * 1e3,
            median(theirs) * 1e3,
            ratio(ours, theirs),
            ratio(fuel, theirs),
            ratio(epochs, theirs),
        );
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    vec![Verdict::new(7, "exact gas: geometric mean over the corpus", mean, Bound::AtMost(1.15), "×")]
}
