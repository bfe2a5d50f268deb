//! The host's one set of bindings, made from `wit/`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "made from the WIT, which has the documentation"
)]

wasmtime::component::bindgen!({
    path: ["../../wit/deps/keyvalue", "../../wit/deps/config", "../../wit/platform", "../../wit/gate", "wit"],
    world: "tollgate:host-bindings/host",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "wasi:keyvalue/store.bucket": crate::handles::OpenBucket,
        "wasi:keyvalue/atomics.cas": crate::handles::CasHandle,
    },
    require_store_data_send: true,
});

pub use exports::tollgate::gate::admission;
pub use exports::tollgate::gate::audit;
pub use tollgate::gate::types::{Actor, ActorKind, Diagnostic, Entry, Facts, Outcome, Usage};
