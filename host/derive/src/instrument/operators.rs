//! Which operators guests may use, as the engine is configured for them.

use wasmparser::{Operator, WasmFeatures};

/// What the engine lets guests use (`host/runtime/src/engine.rs`): WebAssembly 3.0 without garbage collection, typed
/// function references, exceptions, threads and 64-bit memories; and components, with async.
pub(crate) fn guest_features() -> WasmFeatures {
    let off = WasmFeatures::GC
        | WasmFeatures::GC_TYPES
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::THREADS
        | WasmFeatures::MEMORY64;
    (WasmFeatures::WASM3 - off) | WasmFeatures::COMPONENT_MODEL | WasmFeatures::CM_ASYNC
}

macro_rules! names {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The operator's name, and the proposal that it came with.
        pub(crate) fn describe(operator: &Operator<'_>) -> (&'static str, &'static str) {
            match operator {
                $(Operator::$op { .. } => (stringify!($op), stringify!($proposal)),)*
                _ => ("an operator", "unknown"),
            }
        }
    };
}

wasmparser::for_each_operator!(names);

/// Proposals that guests may use, by the names that the parser gives them.
const ALLOWED: [&str; 8] = [
    "mvp",
    "sign_extension",
    "saturating_float_to_int",
    "bulk_memory",
    "reference_types",
    "tail_call",
    "simd",
    "relaxed_simd",
];

/// The name and the proposal of an operator that guests may not use.
pub(crate) fn refused(operator: &Operator<'_>) -> Option<(&'static str, &'static str)> {
    let (name, proposal) = describe(operator);
    (!ALLOWED.contains(&proposal)).then_some((name, proposal))
}
