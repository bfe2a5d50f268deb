//! The table, in Markdown, with its notes.

use crate::measure::{Row, Rows, Spread};
use crate::server::Server;
use benchkit::peers::Serve;

const HEAD: [&str; 11] = [
    "server",
    "req/s (least to most)",
    "p50 / p99 at the peak",
    "p50 / p99 at 50 %",
    "p50 / p99 at 80 %",
    "p99.9 at 80 %",
    "p99 ÷ p50 at 80 %",
    "× fresh",
    "× reuse",
    "× hyper",
    "remarks",
];

const NOTES: &str = "\
Latencies are in microseconds; each figure is the median of the rounds. The peak is `wrk`'s closed loop, whose \
latencies wait for the server. At 50 % and 80 % of a server's own peak of that round an open loop asks, and latencies \
count from when each request was due. *× fresh* and *× reuse* compare peaks with `wasmtime serve` in these modes for \
the same `wasi:http` (0.2 where a server has none), *× hyper* with bare hyper, all within a round.

What each runs, always GET `/public/hello`, answered with 47 bytes of text that hold the path:

- **tollgate**: the components `hello-02` (`wasi:http` 0.2) and `hello` (0.3), signed, **governed**: gate, a policy of \
ten rules, two buckets, a durable audit record of each request (fsynced in groups, before the response ends), metrics, \
fuel and epochs, every limit of the defaults. *serial* and *concurrent* keep an instance for 128 requests; *concurrent* \
has up to 16 in one at one time.
- **wasmtime serve**: the same two components, ungoverned: no fuel, no epoch, no gate, no record. *fresh*: \
`--max-instance-reuse-count 1` and no concurrency; *resident*: the same with 128 KiB of each memory, table and stack kept resident \
and `PAGEMAP_SCAN`; *reuse*: 128 requests an instance, and for 0.3 up to 16 at one time.
- **Viceroy**: a core module of its own in text (`benches/kit/peers/hello.wat`) over Fastly's host calls, smaller than \
what an SDK makes; ungoverned; a fresh instance for each request, as it has no other way.
- **workerd**: a script (`benches/kit/peers/worker.js`), ungoverned; one isolate on one thread for all requests.
- **bare hyper**: the same answer from hyper and tokio, a thread for each core; no guest.
";

/// The table and what it means.
pub(crate) fn markdown(rows: &Rows) -> String {
    let lines: Vec<Vec<String>> = rows.0.iter().map(|row| cells(rows, row)).collect();
    let head: Vec<String> = HEAD.iter().map(|&name| name.to_owned()).collect();
    let width = |column: usize| {
        let all = lines.iter().chain([&head]);
        all.map(|line| line[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = |(column, &width): (usize, &usize)| {
        if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    let body: String = lines.iter().map(|cells| line(cells)).collect();
    format!("{}{}{body}\n{NOTES}", line(&head), line(&rules))
}

fn cells(rows: &Rows, row: &Row) -> Vec<String> {
    let name = if row.server.is_ours() { format!("**{}**", row.server.name()) } else { row.server.name() };
    let Some(peak) = row.peak() else {
        let why = row.absent.clone().unwrap_or_default();
        let why = why.lines().next().unwrap_or_default().to_owned();
        let mut cells = vec![String::from("–"); HEAD.len()];
        cells[0] = name;
        cells[HEAD.len() - 1] = why;
        return cells;
    };
    let middle = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.middle);
    let pair = |p50: Option<Spread>, p99: Option<Spread>| format!("{:.0} / {:.0}", middle(p50), middle(p99));
    let ratio =
        |spread: Option<Spread>| spread.map_or("–".into(), |spread| format!("{:.2}", spread.middle));
    vec![
        name,
        format!("{:.0} ({:.0} to {:.0})", peak.middle, peak.least, peak.most),
        pair(row.spread(|r| r.peak.p50_us), row.spread(|r| r.peak.p99_us)),
        pair(row.spread(|r| r.half.p50_us), row.spread(|r| r.half.p99_us)),
        pair(row.spread(|r| r.most.p50_us), row.spread(|r| r.most.p99_us)),
        format!("{:.0}", middle(row.spread(|r| r.most.p999_us))),
        format!("{:.1}", middle(row.spread(|r| r.most.p99_us / r.most.p50_us))),
        ratio(rows.beside(row, Serve::Fresh)),
        ratio(rows.beside(row, Serve::Reuse)),
        ratio(rows.ratio(row, Server::Hyper)),
        remarks(row),
    ]
}

/// What makes a row's figures less than they seem.
fn remarks(row: &Row) -> String {
    let mut remarks = Vec::new();
    if row.bad() > 0 {
        remarks.push(format!("{} not answered well", row.bad()));
    }
    for (name, behind) in [
        ("50 %", row.rounds.iter().filter(|round| !round.half.kept_up()).count()),
        ("80 %", row.rounds.iter().filter(|round| !round.most.kept_up()).count()),
    ] {
        if behind > 0 {
            remarks.push(format!("{name} not kept up in {behind} of {}", row.rounds.len()));
        }
    }
    remarks.join("; ")
}
