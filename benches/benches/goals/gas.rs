//! Goal 7, the first half: what exact gas costs guests that compute, by kind of work. The host's processor time is
//! what its own record says of the run; the bare engine's is the thread's, for a run of the same bytes. Beside them the
//! bare engine runs the guest with gas inside its own code, as platforms do whose engines count nothing.

use crate::bare::{BareApp, Counts};
use crate::client::ask;
use crate::host::Running;
use crate::report::{Bound, Verdict, in_turns, median, ratio};
use crate::site::{WIDE, WIDE_TOTALS, one};
use testkit::{App, Connection, guest};
use tollgate_derive::{Schedule, instrument};

/// The kinds of work that the guest `corpus` does.
const KINDS: [&str; 7] = ["hash", "sort", "matrix", "json", "words", "calls", "sieve"];
const ROUNDS: usize = 9;

/// How long one run is to take in the bare engine.
const RUN_SECONDS: f64 = 0.08;

/// What the bare engine counts: nothing, and then what tells where the time goes.
const COUNTS: [Counts; 4] = [
    Counts { fuel: false, epochs: false },
    Counts { fuel: true, epochs: false },
    Counts { fuel: false, epochs: true },
    Counts { fuel: true, epochs: true },
];
const NAMES: &str = "host, with fuel, with epochs, with both, with gas inside";

/// What is measured in turns: the host, the bare engine as it counts, and with gas inside.
const ARMS: usize = COUNTS.len() + 2;

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
    let bytes = std::fs::read(&component).unwrap();
    let written = instrument::component(&bytes, &Schedule::default(), u64::MAX).unwrap();
    println!(
        "gas inside: {} bytes become {} ({:.2} ×)",
        bytes.len(),
        written.len(),
        written.len() as f64 / bytes.len() as f64
    );
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("corpus.wasm");
    std::fs::write(&inside, written).unwrap();
    let inside = BareApp::new(&inside, COUNTS[0]);
    let bare = COUNTS.map(|counts| BareApp::new(&component, counts));
    println!("processor time, and beside the bare engine's: {NAMES}");
    let mut ratios = [const { Vec::new() }; ARMS - 1];
    for kind in KINDS {
        let once = bare[0].ask(&format!("/?kind={kind}&rounds=4")).1.as_secs_f64() / 4.0;
        let target = format!("/?kind={kind}&rounds={}", ((RUN_SECONDS / once) as u64).max(1));
        let took = in_turns::<ARMS>(ROUNDS, |arm| match arm {
            0 => governed(&target),
            5 => inside.ask(&target).1.as_secs_f64(),
            arm => bare[arm - 1].ask(&target).1.as_secs_f64(),
        });
        let theirs = &took[1];
        let beside = [&took[0], &took[2], &took[3], &took[4], &took[5]].map(|figures| ratio(figures, theirs));
        for (ratio, all) in beside.iter().zip(&mut ratios) {
            all.push(ratio.ln());
        }
        let shown = beside.map(|ratio| format!("{ratio:>12.2} ×")).concat();
        println!(
            "{kind:<8} {:>7.1} ms, bare {:>7.1} ms: {shown}",
            median(&took[0]) * 1e3,
            median(theirs) * 1e3
        );
    }
    let means = ratios.map(|all| (all.iter().sum::<f64>() / all.len() as f64).exp());
    println!("{:<33} {}", "geometric mean", means.map(|mean| format!("{mean:>12.2} ×")).concat());
    let bound = Bound::AtMost(1.15);
    vec![
        Verdict::new(7, "exact gas: geometric mean over the corpus", means[0], bound, "×"),
        Verdict::new(7, "gas inside the guest: geometric mean over the corpus", means[4], bound, "×"),
    ]
}
