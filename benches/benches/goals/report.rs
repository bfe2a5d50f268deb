//! Figures beside their goals, and the machine that they are of.

use benchkit::machine::Machine;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::time::{Duration, Instant};

/// A figure beside its goal.
pub(crate) struct Verdict {
    goal: u32,
    what: String,
    figure: Option<f64>,
    bound: Bound,
    unit: &'static str,
}

/// On which side of its bound a figure is to be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Verdict {
    pub(crate) fn new(goal: u32, what: &str, figure: f64, bound: Bound, unit: &'static str) -> Self {
        Self { goal, what: what.into(), figure: Some(figure), bound, unit }
    }

    /// A goal without a figure: why is in the name.
    pub(crate) fn missing(goal: u32, what: &str, bound: Bound, unit: &'static str) -> Self {
        Self { goal, what: what.into(), figure: None, bound, unit }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { goal, what, figure, bound, unit } = self;
        let (sign, limit) = match bound {
            Bound::AtMost(limit) => ("≤", limit),
            Bound::AtLeast(limit) => ("≥", limit),
        };
        let shown = figure.map_or("none".into(), |figure| format!("{figure:.2}"));
        let met = match (figure, bound) {
            (None, _) => "not measured",
            (Some(figure), Bound::AtMost(limit)) if figure <= limit => "met",
            (Some(figure), Bound::AtLeast(limit)) if figure >= limit => "met",
            _ => "NOT MET",
        };
        write!(f, "goal {goal}  {what:<58} {shown:>9} {unit:<8} {sign} {limit:<7} {met}")
    }
}

/// Cores, processor, kernel, and how busy others keep it.
pub(crate) fn machine() -> String {
    let Machine { cores, processor, kernel, load } = Machine::here();
    format!("machine: {cores} cores, {processor}, Linux {kernel}, load average {load}")
}

/// The middle of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50)
}

/// The figure below which so many percent lie.
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The middle of the quotients, round by round: what slowed a whole round down is in both.
pub(crate) fn ratio(above: &[f64], below: &[f64]) -> f64 {
    median(&above.iter().zip(below).map(|(above, below)| above / below).collect::<Vec<_>>())
}

/// Each arm once in each round, the first one another each time.
pub(crate) fn in_turns<const ARMS: usize>(
    rounds: usize,
    mut measure: impl FnMut(usize) -> f64,
) -> [Vec<f64>; ARMS] {
    let mut figures = [const { Vec::new() }; ARMS];
    for round in 0..rounds {
        for turn in 0..ARMS {
            let arm = (round + turn) % ARMS;
            figures[arm].push(measure(arm));
        }
    }
    figures
}

/// How long this takes, in seconds.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process.
pub(crate) fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
