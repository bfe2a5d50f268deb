//! Modules without sense, made from random bytes with all that guests may use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use arbitrary::Unstructured;
use tollgate_gas_tests::{assert_same, engine};
use wasm_smith::{Config, Module};
use wasmtime::Module as Compiled;

/// What the generator may use: as much as guests may, and nothing that waits for a host. Most modules with references
/// have some that guests may not use, and most that may trap do, so each kind is made beside its opposite.
fn config(seed: u64) -> Config {
    Config {
        bulk_memory_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: seed % 4 == 3,
        simd_enabled: true,
        relaxed_simd_enabled: true,
        tail_call_enabled: true,
        extended_const_enabled: true,
        sign_extension_ops_enabled: true,
        saturating_float_to_int_enabled: true,
        gc_enabled: false,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        shared_everything_threads_enabled: false,
        disallow_traps: seed.is_multiple_of(2),
        max_imports: 0,
        max_memories: 2,
        max_memory32_bytes: 1 << 20,
        max_tables: 3,
        max_table_elements: 1_000,
        table_max_size_required: true,
        memory_max_size_required: true,
        min_funcs: 2,
        max_funcs: 8,
        max_instructions: 300,
        export_everything: true,
        ..Config::default()
    }
}

/// Bytes without pattern, the same for the same seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(16_384).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test runner passes on no arguments")]
fn modules_without_sense_use_the_same_gas_in_both() {
    let rounds =
        std::env::var("TOLLGATE_GAS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let from = std::env::var("TOLLGATE_GAS_FROM").ok().and_then(|from| from.parse().ok()).unwrap_or(0);
    let (counting, plain) = (engine(true), engine(false));
    let (mut compared, mut made) = (0, 0);
    for seed in from..from + rounds {
        let noise = noise(seed);
        let Ok(mut module) = Module::new(config(seed), &mut Unstructured::new(&noise)) else { continue };
        if module.ensure_termination(2_000).is_err() {
            continue;
        }
        let bytes = module.to_bytes();
        // With references come references to what only a host has; guests may not use those.
        if Compiled::validate(&counting, &bytes).is_err() {
            continue;
        }
        made += 1;
        compared += assert_same(&format!("seed {seed}"), &bytes, &counting, &plain);
    }
    println!("{made} modules, {compared} numbers compared");
    assert!(compared > made, "{made} modules gave {compared} numbers");
}
