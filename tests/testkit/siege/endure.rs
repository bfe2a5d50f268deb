//! What shows with time only: load for long, and deploys by the hundred.

#![allow(clippy::print_stdout, reason = "whoever waits half an hour sees how it goes")]

use super::{CLIENTS, NEIGHBOUR, Siege, beside, is_panic, until};
use crate::attack::Attack;
use crate::files::{guest, key, sign_as_importing};
use crate::pulse::{Bytes, Pulse};
use crate::raw::Ask;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tollgate_runtime::Inspection;

/// Tenths by which what is held may be more in the end.
const MORE_TENTHS: u64 = 1;

/// How long it may take until what was held is given back.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub resident: Bytes,
    pub descriptors: usize,
    pub mappings: usize,
}

impl Held {
    /// What is more than it was before, by more than it may be.
    fn beyond(self, before: Self) -> Option<String> {
        let more = |now: u64, then: u64, slack: u64| now > then + then * MORE_TENTHS / 10 + slack;
        // A connection or two may be about to close.
        let beyond = more(self.resident.0, before.resident.0, 0)
            || more(self.descriptors as u64, before.descriptors as u64, 4)
            || more(self.mappings as u64, before.mappings as u64, 0);
        beyond.then(|| format!("held {before} before, and {self} after"))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB, {} descriptors, {} mappings", self.resident, self.descriptors, self.mappings)
    }
}

impl Siege {
    pub fn held(&self) -> Held {
        let proc = format!("/proc/{}", self.process.id());
        Held {
            resident: self.footprint.now(),
            descriptors: std::fs::read_dir(format!("{proc}/fd")).unwrap().count(),
            mappings: std::fs::read_to_string(format!("{proc}/maps")).unwrap().lines().count(),
        }
    }

    /// All attacks in any order, and the neighbour's honest load beside them, for so long. What is held after a tenth
    /// of the time is what must not grow.
    pub fn endure(&mut self, attacks: &[Attack], lasting: Duration) {
        let (address, said, began) = (self.process.address(), self.process.stderr_length(), Instant::now());
        let asks: Vec<Ask> = attacks
            .iter()
            .map(|attack| Ask {
                method: attack.method,
                host: attack.host(),
                target: self.upstream.named_in(attack.target),
                sending: attack.sending,
            })
            .collect();
        let (over, hostile) = (AtomicBool::new(false), AtomicU64::new(0));
        let (pulse, early) = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (asks, over, hostile) = (&asks, &over, &hostile);
                scope.spawn(move || {
                    let mut state = client + 1;
                    while !over.load(Relaxed) {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        asks[(state >> 33) as usize % asks.len()].alone(address);
                        hostile.fetch_add(1, Relaxed);
                    }
                });
            }
            let honest = scope.spawn(|| NEIGHBOUR.run(address, "quiet.test", |_| over.load(Relaxed)));
            let mut early = self.held();
            for tenth in 1..=10 {
                std::thread::sleep((lasting * tenth / 10).saturating_sub(began.elapsed()));
                let held = self.held();
                println!(
                    "after {:>6.0?}: {held}; {} hostile requests",
                    began.elapsed(),
                    hostile.load(Relaxed)
                );
                if tenth == 1 {
                    early = held;
                }
            }
            over.store(true, Relaxed);
            (honest.join().unwrap(), early)
        });
        self.note("endurance", said, &pulse);
        self.back_at("endurance", early);
        println!("in the end: {}; log: {} records", self.held(), self.process.log().verify().size);
    }

    /// Deploys an app and takes it away, so many times, while the neighbour is served. What is held after a tenth of
    /// them is what must not grow.
    pub fn cycles(&mut self, count: usize) {
        let (site, said) = (self.process.site(), self.process.stderr_length());
        let file = site.path().join("comes.wasm");
        std::fs::copy(guest("random_id"), &file).unwrap();
        let imports = Inspection::of(&std::fs::read(&file).unwrap()).unwrap().imports;
        sign_as_importing(
            &file,
            "test:guest",
            key(),
            imports.into_iter().map(|import| import.name).collect(),
        );
        let without = site.configuration();
        let with = format!(
            "{without}\n[tenants.evil.apps.comes]\ncomponent = \"comes.wasm\"\n\
             [[tenants.evil.routes]]\nname = \"comes\"\napp = \"comes\"\nhost = \"comes.evil.test\"\n"
        );
        let address = self.process.address();
        let status = || Ask::get("comes.evil.test", "/").alone(address).status;
        let take = |configuration: &str, wanted: u16| {
            site.configure(configuration);
            self.process.hang_up();
            until(Duration::from_secs(20), || (status() == Some(wanted)).then_some(()))
        };
        let mut missed = 0;
        let mut early = None;
        let began = Instant::now();
        let ((), pulse) = beside(address, || {
            for number in 0..count {
                missed +=
                    usize::from(take(&with, 200).is_none()) + usize::from(take(&without, 404).is_none());
                if number == count / 10 {
                    early = Some(self.held());
                }
            }
        });
        println!(
            "{count} cycles in {:.0?}; early: {}; late: {}",
            began.elapsed(),
            early.unwrap(),
            self.held()
        );
        if missed > 0 {
            self.complaints.push(format!("{missed} of {count} deploys did not take hold"));
        }
        self.note("deploys", said, &pulse);
        self.back_at("deploys", early.unwrap());
    }

    /// What the neighbour saw, and whether the host is whole.
    fn note(&mut self, what: &str, said: u64, pulse: &Pulse) {
        println!(
            "{what}: the neighbour had {} errors in {} requests, p50 {:.1?}, p99 {:.1?}",
            pulse.errors.len(),
            pulse.requests(),
            pulse.percentile(50),
            pulse.percentile(99)
        );
        if let Some(error) = pulse.errors.first() {
            self.complaints.push(format!("{what}: {} errors of the neighbour: {error}", pulse.errors.len()));
        }
        if !self.process.is_alive() {
            self.complaints.push(format!("{what}: the host's process is gone"));
        }
        if let Some(line) = self.process.stderr_since(said).lines().find(|line| is_panic(line)) {
            self.complaints.push(format!("{what}: a panic: {line}"));
        }
    }

    /// What is held must come back to what it was.
    fn back_at(&mut self, what: &str, before: Held) {
        let end = Instant::now() + BACK_WITHIN;
        while let Some(beyond) = self.held().beyond(before) {
            if Instant::now() > end {
                self.complaints.push(format!("{what}: {beyond}"));
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What was not as it should be.
    pub fn complaints(self) -> Vec<String> {
        self.complaints
    }
}
