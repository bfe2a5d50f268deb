//! The bodies of the fuzz targets: plain functions of bytes, which panic where a promise is broken.
//!
//! `cargo xtask fuzz` runs them under libFuzzer, with coverage to guide it; the test in here replays the corpora that
//! are kept in `corpus/`, one folder for each target, in the everyday test run. A reproducer that a run has found
//! belongs there too, once it is mended.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise stops here"
)]

#[cfg(feature = "engine")]
pub mod component;
#[cfg(feature = "engine")]
pub mod config;
pub mod envelope;
#[cfg(feature = "engine")]
pub mod facts;
pub mod gate_inputs;
mod input;
#[cfg(feature = "engine")]
pub mod route;
pub mod tiles;

/// A target: bears any bytes, or panics.
pub type Target = fn(&[u8]);

/// Every target by name.
#[cfg(feature = "engine")]
pub const TARGETS: [(&str, Target); 7] = [
    ("component", component::run),
    ("config", config::run),
    ("envelope", envelope::run),
    ("facts", facts::run),
    ("gate_inputs", gate_inputs::run),
    ("route", route::run),
    ("tiles", tiles::run),
];

#[cfg(all(test, feature = "engine"))]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_file_of_every_corpus_is_borne() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        assert_eq!(files(&corpora).len(), TARGETS.len(), "one folder for each target");
        for (name, run) in TARGETS {
            let files = files(&corpora.join(name));
            assert!(!files.is_empty(), "`{name}` has no seeds");
            for file in files {
                let bytes = fs::read(&file).unwrap();
                let borne = std::panic::catch_unwind(|| run(&bytes));
                assert!(borne.is_ok(), "{}", file.display());
            }
        }
    }

    #[test]
    fn every_target_has_its_binary() {
        let binaries = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
        let mut found: Vec<_> = files(&binaries)
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, TARGETS.map(|(name, _)| name));
    }

    #[test]
    fn no_target_minds_noise() {
        // A generator of its own (xorshift), so that each run sees the same.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        for length in 0..64 {
            let noise: Vec<u8> = (0..length * 4).map(|_| byte()).collect();
            for (name, run) in TARGETS {
                assert!(std::panic::catch_unwind(|| run(&noise)).is_ok(), "{name}: {noise:?}");
            }
        }
    }

    #[test]
    fn an_origin_with_a_control_character_is_shown_on_one_line() {
        let app = "[tenants.acme.apps.web]\ncomponent = \"web.wasm\"\n";
        let grants = "[tenants.acme.apps.web.grants]\nhttp = { allow = [\"https://a\\u0000b\"] }\n";
        config::run(format!("{app}{grants}").as_bytes());
    }
}
