//! See `tollgate_fuzz::route`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tollgate_fuzz::route::run(data));

#[cfg(not(fuzzing))]
fn main() {}
