//! See `tollgate_fuzz::component`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::component::run(data));

#[cfg(not(fuzzing))]
fn main() {}
