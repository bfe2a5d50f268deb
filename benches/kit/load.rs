//! Load from a second process, and the peer to compare with.

use crate::machine::cpu_time;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Whom a load asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The host that requests name.
    pub host: &'static str,
    /// The path that they ask for.
    pub path: &'static str,
}

/// What a load run came to.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Requests answered in a second.
    pub per_second: f64,
    /// The median latency as the generator prints it, in microseconds.
    pub p50_us: f64,
    /// The latency below which 99 of 100 lie, in microseconds.
    pub p99_us: f64,
    /// Answers other than 2xx and 3xx, and connections that broke.
    pub bad: u64,
}

/// The closed loop: `wrk` with one thread, where each connection asks again once it was answered. A server that
/// stalls is asked less, so its latencies look better than a client would find them: see [`crate::open_loop`].
pub fn closed_loop(target: &Target, connections: usize, seconds: u32) -> Figures {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--latency"])
        .args(["-H", &format!("Host: {}", target.host)])
        .arg(format!("http://{}{}", target.address, target.path))
        .output()
        .expect("wrk: install it with `apt-get install wrk`");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let per_second = after("Requests/sec:").and_then(number).unwrap_or_else(|| panic!("wrk said: {text}"));
    let refused = after("Non-2xx or 3xx responses:").and_then(number).unwrap_or(0.0) as u64;
    let broken: u64 = after("Socket errors:").map_or(0, |text| {
        text.split(',').filter_map(|part| part.trim().rsplit(' ').next()?.parse::<u64>().ok()).sum()
    });
    let latency = |name: &str| after(name).and_then(microseconds).unwrap_or(0.0);
    Figures { per_second, p50_us: latency("50%"), p99_us: latency("99%"), bad: refused + broken }
}

fn number(text: &str) -> Option<f64> {
    text.trim_end_matches(|c: char| c.is_alphabetic()).parse().ok()
}

/// `wrk` prints `1.23ms`, `456.00us` or `1.02s`.
fn microseconds(text: &str) -> Option<f64> {
    let scale = match text.trim_start_matches(|c: char| !c.is_alphabetic()) {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number(text)? * scale)
}

/// An address of the loopback that nobody listens at.
pub(crate) fn free_address() -> Option<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()
}

/// A peer's process, ended when dropped.
pub struct Peer(Child);

impl Peer {
    /// Starts a server, and waits until it listens; none if the program is missing or ends before.
    pub fn start(mut command: Command, address: SocketAddr) -> Option<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut peer = Self(child);
        for _ in 0..2_000 {
            if TcpStream::connect(address).is_ok() {
                return Some(peer);
            }
            if !matches!(peer.0.try_wait(), Ok(None)) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// The processor time that all its threads have had, to a hundredth of a second.
    pub fn cpu(&self) -> Duration {
        cpu_time(self.0.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
