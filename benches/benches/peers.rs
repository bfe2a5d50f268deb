//! Ours beside the others: the same answer from bare hyper, `wasmtime serve`, Viceroy, workerd and Tollgate, under the
//! same load on the same cores. Ours runs governed, with everything that a tenant has; the others run ungoverned.
//!
//! ```text
//! apt-get install wrk; cargo install wasmtime-cli@48.0.8 --locked
//! cargo install viceroy@0.22.0 --locked; npm install workerd@1.20261117.1
//! cargo xtask bench peers [--wasmtime PATH] [--viceroy PATH] [--workerd PATH] [--rounds 3] [--seconds 3]
//!                         [--connections 32] [--only TEXT] [--date DAY] [--write]
//! ```
//!
//! Each round starts every server anew, one after another, and loads it three times: a closed loop (`wrk`) for its
//! peak, then open loops at 50 % and 80 % of that peak, whose latencies count from when a request was due. Rounds go
//! through the servers forwards and backwards in turn. Ratios are taken within a round. `--write` puts the table into
//! `benches/RESULTS.md`, with a plot beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

#[path = "peers/goals.rs"]
mod goals;
#[path = "peers/measure.rs"]
mod measure;
#[path = "peers/neighbour.rs"]
mod neighbour;
#[path = "peers/plot.rs"]
mod plot;
#[path = "peers/server.rs"]
mod server;
#[path = "peers/table.rs"]
mod table;

use benchkit::machine::{Machine, load_average, locked, wrk_version};
use benchkit::peers::Program;
use benchkit::results;
use measure::{Options, Rows};
use server::Server;

fn main() {
    if let Some(address) = value("--bare-hyper") {
        return benchkit::bare_hyper(address.parse().unwrap());
    }
    let options = Options {
        rounds: number("--rounds", 3).max(1),
        seconds: number("--seconds", 3).max(1) as u32,
        connections: number("--connections", 32).clamp(1, 90),
    };
    let only = value("--only").unwrap_or_default();
    let machine = Machine::here();
    let facts = facts(&machine, &options);
    println!("{facts}");
    let servers = Server::all().into_iter().filter(|server| server.name().contains(&only)).collect();
    let rows = measure::run(servers, &options);
    let neighbour = only.is_empty().then(|| neighbour::measure(&rows, &options));
    let mut report = format!("{facts}\n{}\n{}\n", table::markdown(&rows), goals::check(&rows, neighbour));
    report += &format!("Load averages at the end: {}.\n", load_average());
    println!("{report}");
    if std::env::args().any(|argument| argument == "--write") {
        write(&report, &rows);
    }
}

fn write(report: &str, rows: &Rows) {
    let plot = results::folder().join("peers.svg");
    std::fs::write(&plot, plot::svg(rows)).unwrap();
    let head = "## Peers\n\n![Requests a second, and latencies at 80 % of each peak](peers.svg)\n";
    results::write_section("peers", &format!("{head}\n{report}"));
    println!("written: {} and RESULTS.md beside it", plot.display());
}

/// The day, the command, the machine and every version.
fn facts(machine: &Machine, options: &Options) -> String {
    let day = value("--date").unwrap_or_else(|| jiff::Timestamp::now().strftime("%Y-%m-%d").to_string());
    let mut text = format!(
        "{day}, `cargo xtask bench peers --rounds {} --seconds {} --connections {}`. {} cores, {}, Linux {}; load \
         generators on the same cores; load averages before: {}.\n\n",
        options.rounds,
        options.seconds,
        options.connections,
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.load
    );
    text += &format!(
        "- tollgate {} on wasmtime {}, hyper {}; wrk {}\n",
        env!("CARGO_PKG_VERSION"),
        locked("wasmtime"),
        locked("hyper"),
        wrk_version()
    );
    for program in [Program::Wasmtime, Program::Viceroy, Program::Workerd] {
        let version = program.version();
        let version = version
            .unwrap_or_else(|| format!("absent (`{}`, or `--{} PATH`)", program.install(), program.name()));
        text += &format!("- {} {version}\n", program.name());
    }
    text
}

/// What stands behind a flag on the command line.
fn value(flag: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != flag).nth(1)
}

fn number(flag: &str, otherwise: usize) -> usize {
    value(flag).map_or(otherwise, |text| text.parse().expect("a number"))
}
