//! How a host and its well-behaved tenant are, while something is done to it: latencies and errors of a paced load,
//! and the memory of the process and its children.

use crate::raw::{Ask, Connection};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A load of requests at a steady pace, each on one of a few connections that are kept.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub connections: usize,
    /// Between two requests of one connection.
    pub every: Duration,
}

/// What a load has seen.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    /// From when a request was due to the last byte of its answer, sorted.
    latencies: Vec<Duration>,
    pub errors: Vec<String>,
}

impl Pace {
    /// Asks until `enough` says so of the requests made so far.
    pub fn run(self, address: SocketAddr, host: &str, enough: impl Fn(usize) -> bool + Sync) -> Pulse {
        let began = Instant::now();
        let made = AtomicU64::new(0);
        let mut pulse = Pulse::default();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..self.connections)
                .map(|number| {
                    let (made, enough) = (&made, &enough);
                    let offset = self.every * number as u32 / self.connections as u32;
                    scope.spawn(move || self.one(address, host, began + offset, made, enough))
                })
                .collect();
            for one in all {
                let one = one.join().unwrap();
                pulse.latencies.extend(one.latencies);
                pulse.errors.extend(one.errors);
            }
        });
        pulse.latencies.sort_unstable();
        pulse
    }

    fn one(
        self,
        address: SocketAddr,
        host: &str,
        began: Instant,
        made: &AtomicU64,
        enough: &(impl Fn(usize) -> bool + Sync),
    ) -> Pulse {
        // A client of a host is seldom on its machine: what it waits for a core there is no time of the host's.
        tollgate_runtime::in_short_slices();
        let mut pulse = Pulse::default();
        let ask = Ask::get(host, "/neighbour?x=1");
        let mut connection = None;
        let mut due = began;
        while !enough(made.fetch_add(1, Relaxed) as usize) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut kept = match connection.take() {
                Some(kept) => kept,
                None => match Connection::open(address) {
                    Ok(open) => open,
                    Err(error) => {
                        pulse.errors.push(format!("no connection: {error}"));
                        return pulse;
                    }
                },
            };
            let reply = kept.ask(&ask);
            if reply.status == Some(200) && reply.is_whole() && reply.text().starts_with("GET ") {
                pulse.latencies.push(due.elapsed());
                connection = Some(kept);
            } else {
                pulse.errors.push(format!("{:?} {:.200}, hung: {}", reply.status, reply.text(), reply.hung));
            }
            // Who is late does not ask for what was missed: the load stays as small as it is meant to be.
            due = (due + self.every).max(Instant::now());
        }
        pulse
    }
}

impl Pulse {
    /// With another's latencies and errors, too.
    pub fn and(mut self, other: &Self) -> Self {
        self.latencies.extend(&other.latencies);
        self.errors.extend_from_slice(&other.errors);
        self.latencies.sort_unstable();
        self
    }

    /// How many times as long as the other's its 99th percentile is.
    pub fn slower_than(&self, other: &Self) -> f64 {
        self.percentile(99).as_secs_f64() / other.percentile(99).as_secs_f64().max(1e-6)
    }

    pub fn requests(&self) -> usize {
        self.latencies.len() + self.errors.len()
    }

    /// So many percent were no slower than this.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
    }
}

/// Bytes, printed as mebibytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0 as f64 / f64::from(1 << 20))
    }
}

/// The memory of a process and its children.
pub struct Footprint {
    id: u32,
}

impl Footprint {
    pub fn of(id: u32) -> Self {
        Self { id }
    }

    /// What the process has resident now.
    pub fn now(&self) -> Bytes {
        Bytes(field(self.id, "VmRSS:"))
    }

    /// What stays resident once the process has given back what it took to start.
    pub fn least_soon(&self) -> Bytes {
        let (mut least, mut since) = (self.now(), Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.now();
            if now.0 < least.0 - least.0 / 50 {
                (least, since) = (now, Instant::now());
            }
        }
        least
    }

    /// The most that the process and its children had resident together while `work` went on, as far as it was seen.
    pub fn most_during<T>(&self, work: impl FnOnce() -> T) -> (T, Bytes) {
        // Makes the kernel forget the most of before.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.id), "5");
        let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    most.fetch_max(self.tree(), Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let done = work();
            over.store(true, Relaxed);
            done
        });
        (done, Bytes(most.load(Relaxed).max(self.tree())))
    }

    fn tree(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten();
        let children = threads
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
            .map(|id| field(id, "VmRSS:"))
            .sum::<u64>();
        field(self.id, "VmHWM:") + children
    }

    /// Waits until no more than this is resident, and returns what was in the end.
    pub fn settle(&self, most: Bytes, within: Duration) -> Bytes {
        let end = Instant::now() + within;
        loop {
            let now = self.now();
            if now <= most || Instant::now() > end {
                return now;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A line of the kernel's account of a process, in bytes; 0 when the process is gone.
fn field(id: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}
