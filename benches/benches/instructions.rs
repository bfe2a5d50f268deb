//! Instructions that stages of a request take, counted by callgrind. Unlike times they are the same on every run, so
//! continuous integration holds them to `benches/instructions.toml`: more than a twentieth above a figure there fails.
//!
//! ```text
//! cargo xtask bench instructions            # compares; needs `valgrind`
//! cargo xtask bench instructions --write    # takes the new figures
//! ```
//!
//! The figures are of the native builds of what runs inside components, as tests build it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops and prints here"
)]

#[path = "instructions/stages.rs"]
mod stages;

use benchkit::results;
use stages::STAGES;
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

/// How often a stage is done in the shorter run, and in the longer one: what both take before and after is not counted.
const TIMES: [u64; 2] = [50, 250];

/// How far a figure may be from what is written down.
const TOLERANCE: f64 = 0.05;

/// Has this program do one stage so many times, and nothing else.
const STAGE: &str = "--stage";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, times, ..] = arguments.as_slice()
        && flag == STAGE
    {
        let (_, stage) = STAGES.iter().find(|(stage, _)| stage == name).expect("a stage");
        stage(times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let counted: BTreeMap<&str, u64> = STAGES.iter().map(|(name, _)| (*name, count(name))).collect();
    let file = results::folder().join("instructions.toml");
    if arguments.iter().any(|argument| argument == "--write") {
        let lines = counted.iter().map(|(name, count)| format!("{name} = {count}\n"));
        let head = "# Instructions for one time: `cargo xtask bench instructions --write`.\n";
        std::fs::write(&file, head.to_owned() + &lines.collect::<String>()).unwrap();
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(&file).expect("benches/instructions.toml");
    let expected: BTreeMap<String, u64> = toml::from_str(&text).expect("names and numbers");
    let mut code = ExitCode::SUCCESS;
    for (name, count) in counted {
        let expected =
            *expected.get(name).unwrap_or_else(|| panic!("no figure for `{name}` in {}", file.display()));
        let change = count as f64 / expected as f64 - 1.0;
        let word = match change {
            change if change > TOLERANCE => {
                code = ExitCode::FAILURE;
                "MORE: make it less, or say why and `--write`"
            }
            change if change < -TOLERANCE => "less: keep it by `--write`",
            _ => "as it was",
        };
        println!("{name:<10} {count:>12} instructions, {:>+6.1} % of {expected:>12}  {word}", change * 100.0);
    }
    code
}

/// Instructions for one time.
fn count(stage: &str) -> u64 {
    let [few, many] = TIMES.map(|times| counted(stage, times));
    (many - few) / (TIMES[1] - TIMES[0])
}

/// Instructions of a whole process.
fn counted(stage: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args([STAGE, stage, &times.to_string()])
        .output()
        .expect("valgrind: install it with `apt-get install valgrind`");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.filter(|_| output.status.success()).unwrap_or_else(|| panic!("valgrind said: {said}"))
}
