//! How the benchmarks measure and print: medians and percentiles of many samples, and ratios to a baseline that ran
//! in the same process a moment before. Machines are noisy: a ratio says more than a time, and nothing here passes or
//! fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark stops here"
)]
#![allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]

mod bare;
mod load;
pub mod machine;
mod open_loop;
pub mod peers;
pub mod results;
mod rig;

pub use bare::bare_hyper;
pub use load::{Figures, Peer, Target, closed_loop};
pub use open_loop::{Paced, open_loop};
pub use rig::{Rig, rig};

use std::time::{Duration, Instant};
use wasmtime_wasi_http::WasiHttpHooks;

/// The engine's own behaviour for outgoing requests: none is sent.
pub struct NoHooks;

impl WasiHttpHooks for NoHooks {
    fn send_request(
        &mut self,
        _: http::Request<wasmtime_wasi_http::WasiBody>,
        _: Option<wasmtime_wasi_http::RequestOptions>,
        _: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Sent {
        Box::new(std::future::ready(Err(wasmtime_wasi_http::Error::HttpRequestDenied)))
    }
}

type Sent = Box<
    dyn Future<
            Output = Result<
                (
                    http::Response<wasmtime_wasi_http::WasiBody>,
                    Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
                ),
                wasmtime_wasi_http::Error,
            >,
        > + Send,
>;

/// Ten policies as a tenant has them: groups, paths, methods, addresses, headers.
pub const TEN_POLICIES: &str = r#"
@id("staff-read") permit(principal in Group::"acme/staff", action in Action::"read", resource);
@id("staff-write") permit(principal in Group::"acme/staff", action in Action::"write", resource) when { context.path like "/drafts/*" };
@id("public") permit(principal, action in Action::"read", resource) when { context.path like "/public/*" };
@id("health") permit(principal, action == Action::"GET", resource) when { context.path == "/health" };
@id("robots") permit(principal in Group::"acme/robots", action == Action::"POST", resource) when { context.path like "/hooks/*" };
@id("admins") permit(principal in Group::"acme/admins", action, resource);
@id("no-secrets") forbid(principal, action, resource) when { context.path like "*/.env" };
@id("no-admin-from-outside") forbid(principal, action, resource) when { context.path like "/admin/*" && !context.clientAddress.isInRange(ip("10.0.0.0/8")) };
@id("no-anonymous-writes") forbid(principal is Anonymous, action in Action::"write", resource);
@id("https-only-for-login") forbid(principal, action, resource) when { context.path == "/login" && context.scheme == "http" };
"#;

/// Samples of one thing, sorted.
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Runs `work` often: first `count / 10` times to warm up, then `count` times for the record.
    pub async fn take(count: usize, mut work: impl AsyncFnMut()) -> Self {
        for _ in 0..count / 10 {
            work().await;
        }
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            work().await;
            samples.push(start.elapsed());
        }
        samples.sort_unstable();
        Self(samples)
    }

    /// The sample below which this share of all lie.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }

    /// The middle.
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// One row: name, p50, p99, and the ratio of the medians to the baseline's.
    pub fn print(&self, name: &str, baseline: Option<&Self>) {
        let us = |d: Duration| d.as_nanos() as f64 / 1_000.0;
        let ratio =
            baseline.map_or(String::new(), |b| format!("{:>7.2} ×", us(self.median()) / us(b.median())));
        println!(
            "{name:<44} p50 {:>10.2} µs   p99 {:>10.2} µs {ratio}",
            us(self.median()),
            us(self.percentile(99))
        );
    }
}

/// A runtime like the server's.
pub fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}
