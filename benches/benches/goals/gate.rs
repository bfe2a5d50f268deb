//! Goal 4: processor time of an admission and of its settling, with ten policies and two buckets, on facts never seen
//! before. Latencies of admissions, and other policy sets, are in `admission.rs`.

use crate::report::{Bound, Verdict, median, micros, percentile, thread_cpu};
use benchkit::{TEN_POLICIES, block_on, rig};
use tollgate_runtime::FailureMode;

const COUNT: u64 = 20_000;

pub(crate) fn measure() -> Vec<Verdict> {
    let (admitting, settling): (Vec<f64>, Vec<f64>) = block_on(async {
        let rig = rig().await;
        let gate = rig.gate(TEN_POLICIES, 2).await;
        let mut took = Vec::new();
        for number in 0..COUNT + COUNT / 10 {
            let facts = rig.facts(number);
            // On this thread from beginning to end: nothing in it is handed to another.
            let began = thread_cpu();
            let permit = gate.admit(&facts, FailureMode::Closed).await;
            let admitted = thread_cpu();
            let Ok(permit) = permit else { panic!("refused") };
            let between = thread_cpu();
            rig.settle(&gate, &facts, permit).await;
            took.push((micros(admitted - began), micros(thread_cpu() - between)));
        }
        took.split_off(COUNT as usize / 10).into_iter().unzip()
    });
    let clock: Vec<f64> = (0..COUNT)
        .map(|_| {
            let began = thread_cpu();
            micros(thread_cpu() - began)
        })
        .collect();
    let clock = median(&clock);
    for (name, took) in [("admission", &admitting), ("settling", &settling)] {
        let (p50, p99) = (median(took) - clock, percentile(took, 99) - clock);
        println!("{name}, CPU: p50 {p50:.2} µs, p99 {p99:.2} µs (without the clock's own {clock:.2} µs)");
    }
    let both: Vec<f64> = admitting.iter().zip(&settling).map(|(admit, settle)| admit + settle).collect();
    let p50 = median(&both) - 2.0 * clock;
    vec![Verdict::new(4, "admission and settling: CPU, p50", p50, Bound::AtMost(5.0), "µs")]
}
