//! What a siege finds after each attack: a line of its table, and what is not as it should be.

use crate::attack::{Attack, Want};
use crate::log::Record;
use crate::pulse::{Bytes, Pulse};
use crate::raw::Reply;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

/// Figures and complaints of one attack.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) answers: String,
    pub(crate) clock: String,
    neighbour: String,
    memory: String,
    pub(crate) complaints: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, answers, clock, neighbour, memory, complaints } = self;
        write!(f, "{name:<22} | {answers:<48} | {clock:<22} | {neighbour:<40} | {memory}")?;
        complaints.iter().try_for_each(|complaint| write!(f, "\n    ! {complaint}"))
    }
}

impl Verdict {
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.into(), clock: "-".into(), ..Self::default() }
    }

    pub(crate) fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// The answers are what was expected.
    pub(crate) fn heard(&mut self, attack: &Attack, replies: &[Reply]) {
        for reply in replies {
            let problem = reply.problem();
            let whole = reply.is_whole();
            let right = match attack.want {
                Want::Problem(status, code) => {
                    whole && reply.status == Some(status) && problem.as_deref() == Some(code)
                }
                Want::Whole(status) => whole && reply.status == Some(status),
                Want::Cut => !whole && matches!(reply.status, None | Some(200)),
                Want::Anything => reply.status.is_some() && problem.as_deref() != Some("host-fault"),
            };
            if !right || reply.hung {
                let text = format!("{:.300}", reply.text());
                self.complain(format!(
                    "expected {:?}, and got {:?} {text:?}, whole: {whole}, hung: {}, after {:.1?}",
                    attack.want, reply.status, reply.hung, reply.took
                ));
                return;
            }
            if !reply.informational.is_empty() || reply.status.is_some_and(|status| status < 200) {
                self.complain(format!("an informational head went out: {:?}", reply.informational));
            }
        }
    }

    /// Each request has one record, which says how it ended.
    pub(crate) fn recorded(&mut self, attack: &Attack, replies: &[Reply], records: &[Record]) {
        if records.len() != replies.len() {
            self.complain(format!("{} requests have {} records", replies.len(), records.len()));
        }
        let ids: HashSet<&str> = records.iter().map(|record| record.text("request_id")).collect();
        let unknown = replies.iter().filter_map(Reply::request_id).find(|id| !ids.contains(id.as_str()));
        if let Some(id) = unknown {
            self.complain(format!("request {id} has no record"));
        }
        for record in records {
            let outcome = record.outcome();
            if !attack.outcomes.is_empty() && !attack.outcomes.contains(&outcome) {
                self.complain(format!("expected {:?} in the record, and got {outcome}", attack.outcomes));
                return;
            }
            if outcome == "failed:host-fault" || record.text("tenant") != "evil" {
                self.complain(format!("a wrong record: {}", record.0));
                return;
            }
            let figures = attack.figure.map(|figure| (figure, record.limit(figure)));
            if let Some((figure, None | Some((0, _)) | Some((_, 0)))) = figures {
                self.complain(format!("the record has no figures of `{figure}`: {}", record.0));
                return;
            }
        }
    }

    /// How far beyond its limit a run was by the clock that ended it; the worst of all.
    pub(crate) fn clock(&mut self, attack: &Attack, records: &[Record], late: Duration) {
        let (Some(figure @ ("cpu-ms" | "deadline-ms")), false) = (attack.figure, records.is_empty()) else {
            return;
        };
        let worst = |usage: &str| {
            let over = |record: &Record| {
                let limit = Duration::from_millis(record.limit(figure).map_or(0, |(_, limit)| limit));
                Duration::from_nanos(record.used(usage)).saturating_sub(limit)
            };
            records.iter().map(over).max().unwrap_or_default()
        };
        let (cpu, wall) = (worst("cpu_ns"), worst("wall_ns"));
        let over = if figure == "cpu-ms" { cpu } else { wall };
        if over > late {
            self.complain(format!("a run went on for {over:.0?} beyond its `{figure}`"));
        }
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        self.clock = match figure {
            "cpu-ms" => format!("cpu + {:.1} (wall + {:.0})", millis(cpu), millis(wall)),
            _ => format!("wall + {:.1}", millis(wall)),
        };
    }

    /// How the neighbour was before and during it.
    pub(crate) fn neighbour(&mut self, quiet: &Pulse, pulse: &Pulse, slower: Option<f64>) {
        for error in quiet.errors.iter().chain(&pulse.errors).take(2) {
            self.complain(format!("the neighbour got an error: {error}"));
        }
        let millis = |pulse: &Pulse, percent| pulse.percentile(percent).as_secs_f64() * 1_000.0;
        let (before, during) = (millis(quiet, 99), millis(pulse, 99));
        let (half_before, half_during) = (millis(quiet, 50), millis(pulse, 50));
        let ratio = pulse.slower_than(quiet);
        if slower.is_some_and(|most| ratio > most) {
            self.complain(format!("the neighbour's p99 was {before:.1} ms and became {during:.1} ms"));
        }
        let errors = quiet.errors.len() + pulse.errors.len();
        let requests = pulse.requests();
        self.neighbour = format!(
            "{half_before:.1}, {half_during:.1}; {before:.1}, {during:.1}, {ratio:.1} × {requests} - {errors}"
        );
    }

    /// What was resident before it, at most, and after it; and what may have been.
    pub(crate) fn memory(&mut self, [before, peak, after]: [Bytes; 3], [most, back]: [Bytes; 2]) {
        if peak > most {
            self.complain(format!("{peak} MiB were resident, from {before}; at most {most} should be"));
        }
        if after > back {
            self.complain(format!("{after} MiB are still resident ten seconds later, from {before}"));
        }
        self.memory = format!("{before}, {peak}, {after}");
    }
}

/// How many got what, and what the records say.
pub(crate) fn summary(replies: &[Reply], records: &[Record]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reply in replies {
        let status = reply.status.map_or("none".into(), |status| status.to_string());
        let cut = if reply.is_whole() { "" } else { " cut" };
        *counts.entry(format!("{status}{cut}")).or_default() += 1;
    }
    let mut outcomes: Vec<String> = records.iter().map(Record::outcome).collect();
    outcomes.sort();
    outcomes.dedup();
    let counts: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} × {what}")).collect();
    format!("{}; {}", counts.join(", "), outcomes.join(", "))
}
