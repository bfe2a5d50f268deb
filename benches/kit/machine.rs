//! What a figure was measured on.

use std::process::Command;
use std::time::Duration;

/// The machine, at the time of the call.
#[derive(Debug, Clone)]
pub struct Machine {
    /// How many threads it runs at one time.
    pub cores: usize,
    /// The processor, as it names itself.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// How much waited to run in the last minute, five, and fifteen.
    pub load: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let named = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: named(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.into()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load_average(),
        }
    }
}

/// How much waits to run: the kernel's three averages.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The processor time that a process's threads have had, to a hundredth of a second.
pub fn cpu_time(process: u32) -> Duration {
    Duration::from_millis((process_figure(process, 14) + process_figure(process, 15)) * 10)
}

/// A figure of the kernel's account of a process, by its number in proc(5); those from the fourth on.
pub fn process_figure(process: u32, number: usize) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process that runs");
    // After the name, which may hold anything, comes the third.
    let figures = stat.rsplit_once(") ").map_or("", |(_, figures)| figures);
    figures.split(' ').nth(number - 3).and_then(|figure| figure.parse().ok()).expect("a figure")
}

/// The version of `wrk`, which it says with its usage.
pub fn wrk_version() -> String {
    let output = Command::new("wrk").arg("-v").output().expect("wrk: install it with `apt-get install wrk`");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    text.split_whitespace().nth(1).unwrap_or("of unknown version").to_owned()
}

/// The version of a crate that this build has, from the lock file.
pub fn locked(name: &str) -> String {
    let lock = std::fs::read_to_string(crate::results::folder().join("../Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.split('"').nth(1));
    version.unwrap_or("of unknown version").to_owned()
}
