//! Goal 4: processor time of an admission, with ten policies and two buckets, on facts never seen before. Latencies and
//! other policy sets are in `admission.rs`. The gate's settling is not open to a benchmark, so what is here is less than
//! the goal is about.

use crate::report::{Bound, Verdict, median, micros, percentile, thread_cpu};
use benchkit::{TEN_POLICIES, block_on, rig};
use tollgate_runtime::FailureMode;

const COUNT: u64 = 20_000;

pub(crate) fn measure() -> Vec<Verdict> {
    let admissions = block_on(async {
        let rig = rig().await;
        let gate = rig.gate(TEN_POLICIES, 2).await;
        let mut took = Vec::new();
        for number in 0..COUNT + COUNT / 10 {
            let facts = rig.facts(number);
            // On this thread from beginning to end: nothing in it is handed to another.
            let began = thread_cpu();
            assert!(gate.admit(&facts, FailureMode::Closed).await.is_ok());
            took.push(micros(thread_cpu() - began));
        }
        took.split_off(COUNT as usize / 10)
    });
    let clock: Vec<f64> = (0..COUNT)
        .map(|_| {
            let began = thread_cpu();
            micros(thread_cpu() - began)
        })
        .collect();
    let clock = median(&clock);
    let (p50, p99) = (median(&admissions) - clock, percentile(&admissions, 99) - clock);
    println!("admission, CPU: p50 {p50:.2} µs, p99 {p99:.2} µs (without the clock's own {clock:.2} µs)");
    vec![Verdict::new(4, "admission alone, without settling: CPU, p50", p50, Bound::AtMost(5.0), "µs")]
}
