//! A tenant beside another that asks for more than it may.

use crate::measure::{Options, Rows, Spread};
use crate::server::{Api, Mode, tenant};
use benchkit::{Target, open_loop};
use testkit::{App, Case, Tenant};

/// How often each of the two asks, as a share of what the host can do with a fresh instance for each request.
const SHARE: f64 = 0.25;

/// What the tenant noticed of the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbour {
    /// Requests a second of each of the two.
    pub(crate) rate: f64,
    /// The tenant's p99 with the host to itself, in microseconds.
    pub(crate) alone: Spread,
    /// The same while the other is refused.
    pub(crate) beside: Spread,
    /// The second divided by the first, round by round.
    pub(crate) ratio: Spread,
    /// How many of the other's requests were refused (429), or not answered, in all rounds.
    pub(crate) refused: u64,
}

/// Both take turns on one host: the tenant alone, then both.
pub(crate) fn measure(rows: &Rows, options: &Options) -> Neighbour {
    let peak = rows.best(&[Mode::Fresh], Api::Two).and_then(|row| row.peak());
    let rate = peak.map_or(1_000.0, |peak| peak.middle * SHARE);
    let greedy = Tenant::new("globex")
        .tables("[buckets.burst]\nunit = \"requests\"\nquota = 10\nwindow = \"1m\"\nkey = [\"tenant\"]")
        .app(App::guest(Api::Two.guest()).route("buckets = [\"burst\"]"));
    let host = Case::new().capacity("").tenant(tenant(Mode::Fresh, Api::Two)).tenant(greedy).spawn();
    let (address, path) = (host.address(), "/public/hello");
    let ask = |host| open_loop(&Target { address, host, path }, options.connections, rate, options.seconds);
    ask("acme.test");
    let (mut alone, mut beside, mut refused) = (Vec::new(), Vec::new(), 0);
    for round in 0..options.rounds {
        alone.push(ask("acme.test").p99_us);
        let (quiet, greedy) = std::thread::scope(|scope| {
            let greedy = scope.spawn(|| ask("globex.test"));
            (ask("acme.test"), greedy.join().expect("the other load"))
        });
        beside.push(quiet.p99_us);
        refused += greedy.bad;
        println!(
            "round {}: a neighbour's p99 {:.0} µs alone, {:.0} µs beside",
            round + 1,
            alone[round],
            beside[round]
        );
    }
    let ratios = alone.iter().zip(&beside).map(|(alone, beside)| beside / alone).collect();
    let spread = |values: Vec<f64>| Spread::of(values).expect("a round");
    Neighbour { rate, alone: spread(alone), beside: spread(beside), ratio: spread(ratios), refused }
}
