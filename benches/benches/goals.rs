//! The goals that a whole host is held to, each measured on a real host process: the figure, the goal, met or not.
//!
//! ```text
//! cargo xtask bench goals [NAME..]     # gate, cold, start, density, gas, tracing, bodies, scripts; none: all
//! cargo xtask bench goals budget       # where the processor time of a request goes
//! cargo xtask bench goals soak [MINUTES]
//! ```
//!
//! `gate` has its percentiles from `cargo xtask bench admission`, `cold` and `start` complete `cold_start`. What is
//! compared is measured in turns, round by round, and ratios are medians over the rounds. `tracing` and `soak`
//! need `wrk`, `scripts` the guests in JavaScript and Python. Nothing here passes or fails by time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops and prints here"
)]

#[path = "goals/bare.rs"]
mod bare;
#[path = "goals/bodies.rs"]
mod bodies;
#[path = "goals/budget.rs"]
mod budget;
#[path = "goals/client.rs"]
mod client;
#[path = "goals/cold.rs"]
mod cold;
#[path = "goals/density.rs"]
mod density;
#[path = "goals/gas.rs"]
mod gas;
#[path = "goals/gate.rs"]
mod gate;
#[path = "goals/host.rs"]
mod host;
#[path = "goals/report.rs"]
mod report;
#[path = "goals/scripts.rs"]
mod scripts;
#[path = "goals/site.rs"]
mod site;
#[path = "goals/soak.rs"]
mod soak;
#[path = "goals/traces.rs"]
mod traces;

use benchkit::machine::load_average;
use report::{Verdict, machine};

/// A goal by its name on the command line, and what measures it.
type Goal = (&'static str, fn() -> Vec<Verdict>);

const GOALS: [Goal; 8] = [
    ("gate", gate::measure),
    ("cold", cold::first_requests),
    ("start", cold::start),
    ("density", density::measure),
    ("gas", gas::measure),
    ("tracing", traces::measure),
    ("bodies", bodies::measure),
    ("scripts", scripts::measure),
];

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == bodies::BARE_SERVER) {
        return bodies::serve_bare();
    }
    if let [flag, address] = arguments.as_slice()
        && flag == "--bare-hyper"
    {
        return benchkit::bare_hyper(address.parse().expect("an address"));
    }
    // Cargo says this to every benchmark.
    arguments.retain(|argument| argument != "--bench");
    if let Some(("soak", minutes)) = arguments.split_first().map(|(name, rest)| (name.as_str(), rest)) {
        println!("{}", machine());
        return soak::endure(
            minutes.first().map_or(60, |minutes| minutes.parse().expect("a number of minutes")),
        );
    }
    if arguments == ["budget"] {
        println!("{}", machine());
        return budget::print();
    }
    let names = GOALS.map(|(name, _)| name);
    if let Some(unknown) = arguments.iter().find(|name| !names.contains(&name.as_str())) {
        println!("no goal is called `{unknown}`; there are: {}", names.join(", "));
        std::process::exit(2);
    }
    println!("{}", machine());
    let mut verdicts = Vec::new();
    for (name, measure) in GOALS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            println!("\n== {name} (load average {})", load_average());
            verdicts.extend(measure());
        }
    }
    println!("\n{}", machine());
    for verdict in &verdicts {
        println!("{verdict}");
    }
}
