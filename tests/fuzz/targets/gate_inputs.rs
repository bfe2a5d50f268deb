//! libFuzzer's way into [`tollgate_fuzz::gate_inputs::run`].

#![allow(unexpected_cfgs, reason = "`fuzzing` is set by cargo-fuzz")]
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::gate_inputs::run(data));

#[cfg(not(fuzzing))]
fn main() {}
