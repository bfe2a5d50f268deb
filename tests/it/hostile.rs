//! One host through every attack: the right answer, one record, a neighbour who notices nothing, and a process that is
//! whole and has its memory back.

mod attacks;
mod bombs;

use std::fs::read;
use std::time::Duration;
use testkit::{Attack, Case, Siege, Strictness, guest};

/// All of it against one process.
#[expect(clippy::print_stdout, reason = "the table is what a run is for")]
fn siege(keys: &str, attacks: Vec<Attack>, strictness: Strictness, bombs: Vec<(&str, Vec<u8>)>) {
    let attacks = chosen(attacks, |attack| attack.name);
    let bombs = chosen(bombs, |(name, _)| name);
    let mut siege = Siege::lay_with(keys, &attacks, strictness);
    println!(
        "attack | answers; records | ms beyond the limit | neighbour in ms: p50 before, during; p99 before, during, \
         ratio × requests - errors | MiB: before, peak, after"
    );
    for attack in &attacks {
        println!("{}", siege.run(attack));
    }
    for (name, component) in bombs {
        println!("{}", siege.deploy(name, &component, ""));
    }
    let complaints = siege.lift();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Those that `SIEGE_ROWS` names, separated by commas; all without it.
#[expect(clippy::disallowed_methods, reason = "a test runner passes on no arguments")]
fn chosen<T>(mut rows: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    if let Ok(names) = std::env::var("SIEGE_ROWS") {
        rows.retain(|row| names.split(',').any(|wanted| wanted == name(row)));
    }
    rows
}

#[test]
fn a_host_stands_every_attack_and_its_other_tenant_notices_nothing() {
    siege("", attacks::all(), Strictness::ordinary(), bombs::quick());
}

#[test]
fn a_host_stands_every_attack_in_mode_reset() {
    siege("mode = \"reset\"", attacks::all(), Strictness::ordinary(), Vec::new());
}

#[test]
fn a_host_stands_every_attack_in_mode_serial() {
    siege("mode = \"serial\"", attacks::all(), Strictness::ordinary(), Vec::new());
}

#[test]
fn a_host_stands_every_attack_in_mode_concurrent() {
    // One in each instance: else one that breaks a limit is the end of others. What comes after an answer is no part of
    // its request in this mode. `concurrent.rs` tells of both.
    let mut attacks = attacks::all();
    attacks.retain(|attack| attack.can_share() && !attack.name.ends_with("after-answer"));
    siege("mode = \"concurrent\"\nat-once = 1", attacks, Strictness::ordinary(), Vec::new());
}

#[test]
#[ignore = "measures times, so it needs the machine to itself: --run-ignored only -E 'test(siege_measured)' --no-capture"]
fn siege_measured() {
    siege("", attacks::all(), Strictness::measured(), [bombs::quick(), bombs::large()].concat());
}

#[test]
#[ignore = "takes minutes, as each file is refused only when a compiler has taken all that it may: \
            --run-ignored only -E 'test(files_that_take_all)' --no-capture"]
fn files_that_take_all_that_a_compiler_may_take_disturb_nobody() {
    let mut siege = Siege::lay(&[], Strictness::patient());
    for (name, component) in bombs::slow() {
        println!("{}", siege.deploy(name, &component, ""));
    }
    let complaints = siege.lift();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
#[ignore = "measures times, so it needs the machine to itself: --run-ignored only -E 'test(an_app_in_python)' --no-capture"]
fn an_app_in_python_is_deployed_and_its_neighbour_notices_nothing() {
    let within = Duration::from_secs(90);
    let mut siege = Siege::lay(&[], Strictness { deployed: within, ..Strictness::measured() });
    let keys = "grants = { files = \"none\", sockets = \"none\", http = { allow = [] } }\n\
                limits = { memory-bytes = \"96MiB\", fuel = 10_000_000_000, gas = 20_000_000_000, cpu-ms = 10_000 }";
    println!("{}", siege.deploy("python", &read(guest("hello-python")).unwrap(), keys));
    let complaints = siege.lift();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
#[ignore = "takes minutes: --run-ignored only -E 'test(five_hundred)' --no-capture"]
fn five_hundred_deploys_leave_nothing_behind() {
    let mut siege = Siege::lay(&[], Strictness::ordinary());
    siege.cycles(500);
    let complaints = siege.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
#[ignore = "takes half an hour: --run-ignored only -E 'test(half_an_hour)' --no-capture"]
fn half_an_hour_of_hostile_and_honest_load_leaves_nothing_behind() {
    let attacks = attacks::all();
    let mut siege = Siege::lay(&attacks, Strictness::ordinary());
    siege.endure(&attacks, Duration::from_secs(1_800));
    let complaints = siege.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_start_function_that_is_stopped_says_what_it_used() {
    let answer = Case::guest("spin_in_start").limits("fuel = 1_000_000").get("/");
    let record = answer.expect_audit("failed:out-of-fuel").record().clone();
    assert!(record.used("fuel") > 900_000 && record.used("gas") > 900_000, "{}", record.0);
}
