//! See `tollgate_fuzz::gate_inputs`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::gate_inputs::run(data));

#[cfg(not(fuzzing))]
fn main() {}
