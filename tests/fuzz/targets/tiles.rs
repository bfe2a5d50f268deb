//! See `tollgate_fuzz::tiles`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::tiles::run(data));

#[cfg(not(fuzzing))]
fn main() {}
