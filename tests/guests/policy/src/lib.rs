//! A policy engine that permits everything, but for these paths: at `/trap` it traps, at `/loop` it decides for ever, at
//! `/grow` it takes all memory that it gets and traps then, at `/talk` it gives more reasons than anybody can read. A
//! configuration of `trap` or `loop` is met in the same way.

use tollgate_sdk::policy::{self, Diagnostic, Facts, Policy, Verdict};

struct Hostile;

impl Policy for Hostile {
    fn configure(config: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        act(std::str::from_utf8(config).unwrap_or_default());
        Ok(Self)
    }

    fn decide(&self, facts: &Facts) -> Verdict {
        if facts.path == "/talk" {
            return policy::deny("because ".repeat(100_000));
        }
        act(facts.path.trim_start_matches('/'));
        policy::allow("default")
    }
}

fn act(what: &str) {
    match what {
        "trap" => panic!("as told"),
        "loop" => {
            let mut state = 1_u64;
            loop {
                state = std::hint::black_box(state).wrapping_mul(6_364_136_223_846_793_005);
            }
        }
        "grow" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 1 << 20]);
            }
        }
        _ => {}
    }
}

tollgate_sdk::policy!(Hostile);
