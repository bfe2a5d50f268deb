//! The shell: the core as a component of the world `gatekeeper`.

use std::cell::RefCell;

use crate::bindings::exports::tollgate::gate::admission::Guest;
use crate::bindings::tollgate::gate::{limiter, policy};
use crate::{
    Adjustment, Bucket, Charge, Diagnostic, Ending, Entry, Facts, Gate, GateConfig, Limiter, Permit, Policy,
    RateStatus, Refusal, TakeError, Verdict,
};

/// The policy engine that the import leads to.
struct Engine;

impl Policy for Engine {
    fn configure(&mut self, config: &[u8]) -> Result<(), Vec<Diagnostic>> {
        policy::configure(config)
    }

    fn decide(&mut self, facts: &Facts) -> Verdict {
        policy::decide(facts)
    }
}

/// The rate limiter that the import leads to.
struct Counters;

impl Limiter for Counters {
    fn configure(&mut self, buckets: &[Bucket], store: &str) -> Result<(), Vec<Diagnostic>> {
        limiter::configure(buckets, store)
    }

    fn take(&mut self, charges: &[Charge], now: u64) -> Result<Vec<RateStatus>, TakeError> {
        limiter::take(charges, now)
    }

    fn settle(&mut self, adjustments: &[Adjustment], now: u64) -> Result<(), String> {
        limiter::settle(adjustments, now)
    }
}

thread_local! {
    static GATE: RefCell<Gate<Engine, Counters>> = RefCell::new(Gate::new(Engine, Counters));
}

struct Component;

impl Guest for Component {
    fn configure(config: GateConfig) -> Result<(), Vec<Diagnostic>> {
        GATE.with_borrow_mut(|gate| gate.configure(config))
    }

    fn admit(facts: Facts) -> Result<Permit, Refusal> {
        GATE.with_borrow_mut(|gate| gate.admit(&facts))
    }

    fn settle(facts: Facts, ending: Ending) -> Entry {
        GATE.with_borrow_mut(|gate| gate.settle(facts, ending))
    }
}

#[allow(unsafe_code, reason = "generated from the WIT")]
mod exports {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
