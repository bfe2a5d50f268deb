//! The whole line under load: signed app, gate with ten policies and two buckets, durable audit, all limits; beside
//! `wasmtime serve` 48 with the same component and the same load generator on the same cores.
//!
//! ```text
//! cargo install wasmtime-cli@48.0.8 --locked; apt-get install wrk
//! cargo xtask bench line [--wasmtime PATH]
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

use benchkit::{Figures, TEN_POLICIES, load, wasmtime_serve};
use testkit::{Case, guest};

const SECONDS: u32 = 5;
const ROUNDS: usize = 3;

fn main() {
    for (mode, keys, reuse) in [("fresh instance", "", 1), ("reuse", "mode = \"serial\"\nreuse = 128", 128)] {
        let component = guest("hello");
        let case = Case::guest("hello")
            .policy(&format!("{TEN_POLICIES}\n@id(\"all\") permit(principal, action, resource);"))
            .tables("[buckets.burst]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1m\"\nkey = [\"client-address\"]")
            .tables("[buckets.day]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1d\"\nkey = [\"tenant\"]")
            .route("buckets = [\"burst\", \"day\"]")
            .keys(keys);
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            let peer =
                wasmtime_serve(&component, reuse).map(|(_peer, address)| load(address, "acme.test", SECONDS));
            let host = case.spawn();
            let ours = load(host.address(), "acme.test", SECONDS);
            row(&format!("tollgate, {mode}"), ours);
            if let Some(peer) = peer {
                row(&format!("wasmtime serve, {mode}"), peer);
                pairs.push(ours.per_second / peer.per_second);
            }
        }
        pairs.sort_by(f64::total_cmp);
        match pairs.get(pairs.len() / 2) {
            Some(ratio) => {
                println!("{mode}: {:.0} % of wasmtime serve (median of {ROUNDS} pairs)", ratio * 100.0)
            }
            None => println!("{mode}: no `wasmtime` to compare with"),
        }
    }
}

fn row(name: &str, figures: Figures) {
    let Figures { per_second, p50_us, .. } = figures;
    println!("{name:<34} {per_second:>9.0} req/s   p50 {p50_us:>8.0} µs");
}
