//! A host process, what it takes to start, and what the kernel says of its memory and its processor time.

use benchkit::machine::{cpu_time, process_figure};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use testkit::{Site, binary};

/// A host that runs; ended when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it said that it is ready.
    pub(crate) took: Duration,
}

impl Running {
    /// Starts a host on a site, within some seconds.
    pub(crate) fn start(site: &Site) -> Self {
        Self::start_with(site, None, Duration::from_secs(120)).expect("a host that is ready in time")
    }

    /// The same, with traces going to an address; none if it is not ready in time.
    pub(crate) fn start_with(site: &Site, traces: Option<SocketAddr>, within: Duration) -> Option<Self> {
        let mut command = Command::new(binary());
        command.args(["up", "--json", "--config"]).arg(site.file());
        if let Some(traces) = traces {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{traces}"));
        }
        let began = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(site.path().join("stderr")).unwrap())
            .spawn()
            .expect("the host's binary");
        let (sender, line) = mpsc::channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut first = String::new();
            let read = BufReader::new(out).read_line(&mut first);
            let _ = sender.send(read.map(|_| (first, Instant::now())));
        });
        let mut running = Self { child, address: SocketAddr::from(([0; 4], 0)), took: Duration::ZERO };
        let (ready, when) = line.recv_timeout(within).ok()?.expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap_or_else(|_| {
            panic!("not ready: {}", std::fs::read_to_string(site.path().join("stderr")).unwrap())
        });
        assert_eq!(ready["refused"].as_array().map(Vec::len), Some(0), "{}", ready["refused"]);
        running.address = ready["listen"].as_str().unwrap().parse().unwrap();
        running.took = when - began;
        Some(running)
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }

    /// The files and sockets that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Its memory once it no longer shrinks, as far as that is within five seconds.
    pub(crate) fn settled(&self) -> Memory {
        let end = Instant::now() + Duration::from_secs(5);
        let (mut least, mut since) = (self.memory(), Instant::now());
        while since.elapsed() < Duration::from_secs(2) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.memory();
            if now.anon < least.anon - least.anon / 100 {
                (least, since) = (now, Instant::now());
            }
        }
        self.memory()
    }

    /// The most of anonymous memory that was seen while `work` went on.
    pub(crate) fn most_during<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
        let id = self.child.id();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    most.fetch_max(Memory::of(id).anon, Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let done = work();
            over.store(true, Relaxed);
            done
        });
        (done, most.load(Relaxed))
    }

    /// The processor time that all its threads have had, to a hundredth of a second.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time(self.child.id())
    }

    /// Pages that it has come to need, and that were in memory or made.
    pub(crate) fn faults(&self) -> u64 {
        process_figure(self.child.id(), 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident bytes: the process's own, and those of files that it has mapped (its program, compiled code).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) anon: u64,
    pub(crate) file: u64,
}

impl Memory {
    fn of(id: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
        };
        Self { anon: field("RssAnon:"), file: field("RssFile:") + field("RssShmem:") }
    }

    pub(crate) fn all(self) -> u64 {
        self.anon + self.file
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
