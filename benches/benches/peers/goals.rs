//! The first three goals, held against the rows: met or not.

use crate::measure::{Rows, Spread};
use crate::neighbour::Neighbour;
use crate::server::{Api, Mode, Server};
use benchkit::peers::Serve;

/// How much later a neighbour's slowest answers may come before that counts as worse and not as noise.
const NO_WORSE: f64 = 1.1;

/// A line for each goal and interface.
pub(crate) fn check(rows: &Rows, neighbour: Option<Neighbour>) -> String {
    let mut lines = Vec::new();
    for api in [Api::Two, Api::Three] {
        lines.push(fresh(rows, api));
    }
    for api in [Api::Two, Api::Three] {
        lines.push(reuse(rows, api));
    }
    lines.push(tails(rows));
    lines.push(quiet(neighbour));
    format!("Goals, by the medians of the rounds:\n\n{}\n", lines.concat())
}

/// Goal 1: an instance for each request.
fn fresh(rows: &Rows, api: Api) -> String {
    let name = format!("1, fresh or reset, {}", api.name());
    let Some(row) = rows.best(&[Mode::Fresh, Mode::Reset], api) else { return unknown(&name) };
    let (fresh, reuse) = (rows.beside(row, Serve::Fresh), rows.beside(row, Serve::Reuse));
    let (Some(fresh), Some(reuse)) = (fresh, reuse) else { return unknown(&name) };
    let resident = rows.beside(row, Serve::Resident);
    let resident =
        resident.map_or(String::new(), |ratio| format!(" (× {:.2} with a resident pool)", ratio.middle));
    let text = format!(
        "{}: × {} of `wasmtime serve` fresh{resident}, 3 wanted; × {} of it with reuse, 1 wanted",
        row.server.name(),
        show(fresh),
        show(reuse)
    );
    line(&name, fresh.middle >= 3.0 && reuse.middle >= 1.0, &text)
}

/// Goal 2: instances that answer many requests.
fn reuse(rows: &Rows, api: Api) -> String {
    let name = format!("2, reuse, {}", api.name());
    let Some(row) = rows.best(&[Mode::Serial, Mode::Concurrent], api) else { return unknown(&name) };
    let (reuse, hyper) = (rows.beside(row, Serve::Reuse), rows.ratio(row, Server::Hyper));
    let (Some(reuse), Some(hyper)) = (reuse, hyper) else { return unknown(&name) };
    let text = format!(
        "{}: × {} of `wasmtime serve` with reuse, 1.3 wanted; × {} of bare hyper, 0.5 wanted",
        row.server.name(),
        show(reuse),
        show(hyper)
    );
    line(&name, reuse.middle >= 1.3 && hyper.middle >= 0.5, &text)
}

/// Goal 3, its first half: the slowest of a hundred beside the middle one.
fn tails(rows: &Rows) -> String {
    let name = "3, p99 under 2 × p50 at 80 % of the peak";
    let ours = rows.0.iter().filter(|row| row.server.is_ours());
    let tails: Vec<(String, Spread)> = ours
        .filter_map(|row| {
            let tail = row.spread(|round| round.most.p99_us / round.most.p50_us)?;
            let name = row.server.name();
            Some((name.trim_start_matches("tollgate, ").to_owned(), tail))
        })
        .collect();
    if tails.is_empty() {
        return unknown(name);
    }
    let text: Vec<String> = tails.iter().map(|(name, tail)| format!("{name} × {}", show(*tail))).collect();
    line(name, tails.iter().all(|(_, tail)| tail.middle < 2.0), &text.join("; "))
}

/// Goal 3, its second half: a tenant beside one at its limits.
fn quiet(neighbour: Option<Neighbour>) -> String {
    let name = "3, a neighbour of a tenant at its limits";
    let Some(Neighbour { alone, beside, ratio, refused, rate }) = neighbour else { return unknown(name) };
    let text = format!(
        "at {rate:.0} req/s, p99 {:.0} µs alone, {:.0} µs while another tenant asks as often, of which {refused} \
         requests were not served: × {}, {NO_WORSE} wanted (what is above 1 is noise)",
        alone.middle,
        beside.middle,
        show(ratio)
    );
    line(name, ratio.middle <= NO_WORSE, &text)
}

fn show(ratio: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.middle, ratio.least, ratio.most)
}

fn line(name: &str, is_met: bool, text: &str) -> String {
    format!("- goal {name}: **{}**. {text}.\n", if is_met { "met" } else { "not met" })
}

fn unknown(name: &str) -> String {
    format!("- goal {name}: not measured in this run.\n")
}
