//! What admission costs: facts → gate (policy engine, limiter) → permit, through the composed components.
//!
//! `cargo xtask bench admission`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

use benchkit::{Samples, TEN_POLICIES, block_on, rig};
use tollgate_runtime::FailureMode;

const COUNT: usize = 50_000;

fn main() {
    block_on(async {
        let rig = rig().await;
        for (name, policies, buckets) in [
            ("one policy, no bucket", "permit(principal, action, resource);", 0),
            ("ten policies, no bucket", TEN_POLICIES, 0),
            ("ten policies, two buckets", TEN_POLICIES, 2),
        ] {
            let gate = rig.gate(policies, buckets).await;
            let same = rig.facts(0);
            let repeated = Samples::take(COUNT, async || {
                let permit = gate.admit(&same, FailureMode::Closed).await;
                assert!(permit.is_ok());
            })
            .await;
            repeated.print(&format!("{name}: the same facts"), None);
            // Made before the clock runs: how the line comes by its facts is in the bench of the line.
            let facts: Vec<_> =
                (0..COUNT as u64 + COUNT as u64 / 10).map(|number| rig.facts(number)).collect();
            let mut facts = facts.iter();
            let fresh = Samples::take(COUNT, async || {
                let permit = gate.admit(facts.next().unwrap(), FailureMode::Closed).await;
                assert!(permit.is_ok());
            })
            .await;
            fresh.print(&format!("{name}: facts never seen before"), Some(&repeated));
        }
    });
}
