//! The rounds, and what stands in a row after them.

use crate::server::{Api, Mode, Running, Server};
use benchkit::peers::Serve;
use benchkit::{Figures, Paced, closed_loop, open_loop};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) connections: usize,
}

/// A server's figures of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// As fast as it goes.
    pub(crate) peak: Figures,
    /// At half of that rate.
    pub(crate) half: Paced,
    /// At four fifths of it.
    pub(crate) most: Paced,
}

/// A server, and its figures round by round.
pub(crate) struct Row {
    pub(crate) server: Server,
    pub(crate) rounds: Vec<Round>,
    /// Why there are none.
    pub(crate) absent: Option<String>,
}

/// All of them.
pub(crate) struct Rows(pub(crate) Vec<Row>);

/// The middle of some values, and the two ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

/// Measures these servers.
pub(crate) fn run(servers: Vec<Server>, options: &Options) -> Rows {
    let mut rows: Vec<Row> =
        servers.into_iter().map(|server| Row { server, rounds: Vec::new(), absent: None }).collect();
    for round in 0..options.rounds {
        let forwards = round % 2 == 0;
        for step in 0..rows.len() {
            let count = rows.len();
            let row = &mut rows[if forwards { step } else { count - 1 - step }];
            if row.absent.is_none() {
                row.measure(options);
            }
        }
    }
    Rows(rows)
}

impl Row {
    fn measure(&mut self, options: &Options) {
        let Some(running) = self.server.start() else {
            return self.is_absent("absent".into());
        };
        if let Err(why) = running.check() {
            return self.is_absent(why);
        }
        let round = measure(&running, options);
        println!(
            "round {}: {:<40} {:>8.0} req/s; at 80 %: p50 {:>7.0} µs, p99 {:>8.0} µs",
            self.rounds.len() + 1,
            self.server.name(),
            round.peak.per_second,
            round.most.p50_us,
            round.most.p99_us
        );
        self.rounds.push(round);
    }

    fn is_absent(&mut self, why: String) {
        println!("         {:<40} {why}", self.server.name());
        self.absent = Some(why);
    }

    /// The spread of a figure over the rounds; none without rounds.
    pub(crate) fn spread(&self, figure: impl Fn(&Round) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(figure).collect())
    }

    /// Requests a second at the peak.
    pub(crate) fn peak(&self) -> Option<Spread> {
        self.spread(|round| round.peak.per_second)
    }

    /// Requests that did not get their answer, in all loads of all rounds.
    pub(crate) fn bad(&self) -> u64 {
        self.rounds.iter().map(|round| round.peak.bad + round.half.bad + round.most.bad).sum()
    }
}

fn measure(running: &Running, options: &Options) -> Round {
    let Options { seconds, connections, .. } = *options;
    // The first second of a server is another matter: it grows its pools, and code comes into caches.
    closed_loop(&running.target, connections, 1);
    let peak = closed_loop(&running.target, connections, seconds);
    let paced = |share: f64| open_loop(&running.target, connections, peak.per_second * share, seconds);
    Round { peak, half: paced(0.5), most: paced(0.8) }
}

impl Rows {
    pub(crate) fn find(&self, server: Server) -> Option<&Row> {
        self.0.iter().find(|row| row.server == server && !row.rounds.is_empty())
    }

    /// How many times as fast as another a row's peak is, taken within each round.
    pub(crate) fn ratio(&self, row: &Row, other: Server) -> Option<Spread> {
        let other = self.find(other)?;
        let pairs = row.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.map(|(ours, theirs)| ours.peak.per_second / theirs.peak.per_second).collect())
    }

    /// `wasmtime serve` for the same interface.
    pub(crate) fn beside(&self, row: &Row, serve: Serve) -> Option<Spread> {
        self.ratio(row, Server::Wasmtime(serve, row.server.api()))
    }

    /// The fastest of ours among these modes.
    pub(crate) fn best(&self, modes: &[Mode], api: Api) -> Option<&Row> {
        let rows = modes.iter().filter_map(|&mode| self.find(Server::Ours(mode, api)));
        let speed = |row: &Row| row.peak().map_or(0.0, |peak| peak.middle);
        rows.max_by(|a, b| speed(a).total_cmp(&speed(b)))
    }
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let middle =
            if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Self { least, middle, most })
    }
}
