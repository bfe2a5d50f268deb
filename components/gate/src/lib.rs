//! The order of admission: policy, then limiter, once for all platforms.
//!
//! [`Gate`] is plain Rust over two small traits, [`Policy`] and [`Limiter`], so every rule here is tested natively.
//! For wasm, a thin shell turns it into a component of the world `gatekeeper`, whose imports are met by a policy
//! engine and a rate limiter at load. Whatever goes wrong on the way refuses the request.

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from the WIT"
)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/deps/keyvalue", "../../wit/platform", "../../wit/gate"],
        world: "tollgate:gate/gatekeeper",
        generate_all,
        additional_derives: [PartialEq, Eq],
    });
}

mod config;
mod gate;
mod headers;
mod key;

#[cfg(target_family = "wasm")]
mod component;

pub use bindings::exports::tollgate::gate::admission::{
    Denied, Ending, GateConfig, KeyField, Permit, Quota, Refusal, RefusedRate, RoutePlan,
};
pub use bindings::tollgate::gate::limiter::{Adjustment, Limited, TakeError};
pub use bindings::tollgate::gate::policy::{Reasons, Verdict};
pub use bindings::tollgate::gate::types::{
    Actor, ActorKind, Bucket, Charge, Diagnostic, Entry, Facts, Outcome, RateStatus, Unit, Usage,
};
pub use gate::{Gate, Limiter, Policy};
