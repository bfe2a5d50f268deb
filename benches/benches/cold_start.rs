//! From the start of the process to the first answer, with compiled code in the cache; beside `wasmtime serve`, which
//! compiles anew.
//!
//! `cargo xtask bench cold_start [--wasmtime PATH]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

use benchkit::peers::{Serve, wasmtime};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::{Case, Process, guest};

const ROUNDS: usize = 10;

fn main() {
    let case = Case::guest("hello");
    drop(case.spawn());
    let ours = times(|| {
        let site = case.write();
        let start = Instant::now();
        let host = Process::again(site);
        first_answer(host.address());
        start.elapsed()
    });
    println!("tollgate: start to first answer      p50 {:>7.1} ms", ours.as_secs_f64() * 1e3);
    let component = guest("hello");
    if wasmtime(&component, Serve::Fresh).is_some() {
        let peer = times(|| {
            let start = Instant::now();
            let (_peer, address) = wasmtime(&component, Serve::Fresh).unwrap();
            first_answer(address);
            start.elapsed()
        });
        let ratio = ours.as_secs_f64() / peer.as_secs_f64();
        println!(
            "wasmtime serve: start to first answer p50 {:>6.1} ms   ratio {ratio:.2}",
            peer.as_secs_f64() * 1e3
        );
    }
}

fn times(work: impl Fn() -> Duration) -> Duration {
    let mut all: Vec<_> = (0..ROUNDS).map(|_| work()).collect();
    all.sort_unstable();
    all[ROUNDS / 2]
}

fn first_answer(address: SocketAddr) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
