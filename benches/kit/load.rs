//! Load from a second process, and the peer to compare with.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a load run came to.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Requests answered in a second.
    pub per_second: f64,
    /// The median latency as the generator prints it, in microseconds.
    pub p50_us: f64,
}

/// Runs `wrk` (Debian's package) with one thread and 32 connections for some seconds. Every response must be good.
pub fn load(address: SocketAddr, host: &str, seconds: u32) -> Figures {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", &format!("-d{seconds}s"), "--latency", "-H", &format!("Host: {host}")])
        .arg(format!("http://{address}/"))
        .output()
        .expect("wrk: install it with `apt-get install wrk`");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let number = |text: &str| text.trim_end_matches(|c: char| c.is_alphabetic()).parse::<f64>().ok();
    let per_second = after("Requests/sec:").and_then(number).unwrap_or_else(|| panic!("wrk said: {text}"));
    let p50 = after("50%").unwrap_or("0us");
    let scale = if p50.ends_with("us") {
        1.0
    } else if p50.ends_with("ms") {
        1e3
    } else {
        1e6
    };
    let bad = after("Non-2xx or 3xx responses:").and_then(number).unwrap_or(0.0) as u64;
    let broken = after("Socket errors:").map_or(0, |text| {
        text.split(',').filter_map(|part| part.trim().rsplit(' ').next()?.parse::<u64>().ok()).sum()
    });
    assert_eq!(bad + broken, 0, "a figure over refused requests says nothing: {text}");
    Figures { per_second, p50_us: number(p50).unwrap_or(0.0) * scale }
}

/// `wasmtime serve` with this component, if the `wasmtime` that `WASMTIME` names (or the one on the path) is there.
pub fn wasmtime_serve(component: &Path, reuse: u32) -> Option<(Peer, SocketAddr)> {
    let address = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
    let program = std::env::args().skip_while(|argument| argument != "--wasmtime").nth(1);
    let child = Command::new(program.unwrap_or_else(|| "wasmtime".into()))
        .args(["serve", "-Scli", "-O", "pooling-allocator", "--addr", &address.to_string()])
        .args(["--max-instance-reuse-count", &reuse.to_string()])
        .arg(component)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let peer = Peer(child);
    for _ in 0..2_000 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Some((peer, address));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    None
}

/// A peer's process, ended when dropped.
pub struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
