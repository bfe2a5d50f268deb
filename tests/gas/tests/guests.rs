//! Whole components as toolchains make them, and every core module of the guests that are built.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::path::PathBuf;
use tollgate_derive::{Schedule, instrument};
use tollgate_gas_tests::{PLENTY, answer, call_everything, engine, folder_of_guests};

fn guests() -> Vec<PathBuf> {
    let folder = folder_of_guests().expect("built guests: run `cargo xtask guests`");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
    all.sort();
    all
}

fn guest(name: &str) -> Vec<u8> {
    let path = guests().into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
    std::fs::read(path.unwrap_or_else(|| panic!("{name} is not built"))).unwrap()
}

/// Calls every export of a component in both engines, and says how many calls were compared.
fn compare(name: &str) -> usize {
    let bytes = guest(name);
    let written = instrument::component(&bytes, &Schedule::default(), PLENTY).unwrap();
    let by_the_engine = call_everything(&engine(true), &bytes, true);
    let by_itself = call_everything(&engine(false), &written, false);
    assert_eq!(by_the_engine.len(), by_itself.len(), "{name}");
    let mut compared = 0;
    for (one, other) in by_the_engine.iter().zip(&by_itself) {
        assert_eq!((&one.name, &one.result), (&other.name, &other.result));
        if other.used.is_some() {
            assert_eq!(one, other);
            compared += 1;
        }
    }
    println!("{name}: {} -> {} bytes, {compared} of {} calls", bytes.len(), written.len(), by_itself.len());
    compared
}

#[test]
fn the_components_of_the_gate_use_the_same_gas_in_both() {
    for name in ["tollgate-policy", "tollgate-limiter", "tollgate-gate"] {
        assert!(compare(name) > 0, "{name}");
    }
}

#[test]
fn apps_use_the_same_gas_for_an_answer_in_both() {
    let (counting, plain) = (engine(true), engine(false));
    let work =
        ["hash", "sort", "matrix", "json", "words", "calls", "sieve"].map(|kind| format!("/?kind={kind}"));
    let asked =
        work.iter().map(|target| ("corpus", target.as_str())).chain([("hello", "/"), ("echo", "/a?b=c")]);
    for (name, target) in asked {
        let bytes = guest(name);
        let written = instrument::component(&bytes, &Schedule::default(), PLENTY).unwrap();
        let by_the_engine = answer(&counting, &bytes, target, true);
        let by_itself = answer(&plain, &written, target, false);
        assert_eq!(by_the_engine, by_itself, "{name} {target}");
        assert!(by_itself.1 > 1_000, "{name} {target}: {}", by_itself.1);
    }
}

#[test]
fn every_guest_that_toolchains_made_can_be_instrumented() {
    for path in guests() {
        let bytes = std::fs::read(&path).unwrap();
        let began = std::time::Instant::now();
        let written = instrument::component(&bytes, &Schedule::default(), PLENTY)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let growth = written.len() as f64 / bytes.len() as f64;
        println!(
            "{:>5.2} × {:>9} bytes in {:>5} ms {}",
            growth,
            bytes.len(),
            began.elapsed().as_millis(),
            path.display()
        );
    }
}
