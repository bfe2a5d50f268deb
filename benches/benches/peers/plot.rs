//! The plot: bars for the peaks, and beside them a line from p50 to p99 at 80 % of each peak.

use crate::measure::{Row, Rows};
use crate::server::Server;
use std::fmt::Write as _;

const LINE: f64 = 24.0;
const TOP: f64 = 48.0;
const NAMES: f64 = 300.0;
const BARS: f64 = 360.0;
const DOTS: f64 = 760.0;
const SPAN: f64 = 320.0;
const WIDTH: f64 = 1_120.0;

/// An image of all rows that have figures, the fastest first.
pub(crate) fn svg(rows: &Rows) -> String {
    let mut shown: Vec<(&Row, f64)> =
        rows.0.iter().filter_map(|row| Some((row, row.peak()?.middle))).collect();
    shown.sort_by(|a, b| b.1.total_cmp(&a.1));
    let height = TOP + LINE * shown.len() as f64 + 40.0;
    let fastest = shown.first().map_or(1.0, |shown| shown.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{NAMES}\" y=\"24\" font-weight=\"bold\">requests a second (line: least to most)</text>\n\
         <text x=\"{DOTS}\" y=\"24\" font-weight=\"bold\">µs at 80 % of the peak, p50 to p99</text>\n"
    );
    let slowest = scale(&mut svg, &shown, height);
    for (index, &(row, _)) in shown.iter().enumerate() {
        bar(&mut svg, row, TOP + LINE * index as f64, fastest, slowest);
    }
    svg += "</svg>\n";
    svg
}

/// Draws the lines of the latencies' scale, which grows tenfold from line to line; returns its end as a power of ten.
fn scale(svg: &mut String, shown: &[(&Row, f64)], height: f64) -> f64 {
    let latency = |row: &Row| row.spread(|round| round.most.p99_us).map_or(1.0, |spread| spread.middle);
    let slowest = shown.iter().map(|shown| latency(shown.0)).fold(1_000.0, f64::max);
    let end = slowest.log10().ceil();
    let mut power = 1.0;
    while power <= end {
        let x = place(10_f64.powf(power), end);
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{:.0}</text>\n",
            height - 36.0,
            height - 20.0,
            10_f64.powf(power)
        );
        power += 1.0;
    }
    end
}

/// Where a latency stands; the scale begins at 10 µs.
fn place(us: f64, end: f64) -> f64 {
    DOTS + SPAN * ((us.max(10.0).log10() - 1.0) / (end - 1.0)).clamp(0.0, 1.0)
}

fn bar(svg: &mut String, row: &Row, y: f64, fastest: f64, end: f64) {
    let Some(peak) = row.peak() else { return };
    let colour = match row.server {
        Server::Ours(..) => "#2a7f62",
        Server::Hyper => "#888888",
        Server::Wasmtime(..) => "#5b7db1",
        Server::Viceroy | Server::Workerd => "#b1835b",
    };
    let long = |per_second: f64| BARS * per_second / fastest * 0.85;
    let middle = y + LINE / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
         <rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"black\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\">{:.0}</text>\n",
        NAMES - 8.0,
        middle + 4.0,
        row.server.name(),
        y + 4.0,
        long(peak.middle),
        LINE - 8.0,
        NAMES + long(peak.least),
        NAMES + long(peak.most),
        NAMES + long(peak.most.max(peak.middle)) + 6.0,
        middle + 4.0,
        peak.middle
    );
    let at = |spread: Option<crate::measure::Spread>| place(spread.map_or(10.0, |spread| spread.middle), end);
    let (from, to) = (at(row.spread(|r| r.most.p50_us)), at(row.spread(|r| r.most.p99_us)));
    let _ = write!(
        svg,
        "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
         <circle cx=\"{from:.1}\" cy=\"{middle:.1}\" r=\"5\" fill=\"{colour}\"/>\n\
         <circle cx=\"{to:.1}\" cy=\"{middle:.1}\" r=\"5\" fill=\"white\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
    );
}
