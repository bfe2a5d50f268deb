//! Deployments to other platforms, by the real binary against stand-ins of the vendors' APIs (`testkit/vendor.rs`).

mod cloudflare;
mod fastly;

use http::Request;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Fault, TOKEN, Vendor};

/// The platforms.
const BOTH: [&str; 2] = ["cloudflare", "fastly"];

fn vendor(name: &str) -> Vendor {
    if name == "fastly" { Vendor::fastly() } else { Vendor::cloudflare() }
}

/// Lines of `deploy.toml` that give traffic in shares, where that can be.
fn in_shares(name: &str) -> &'static str {
    match name {
        "cloudflare" => "canary = [{ percent = 10, hold = \"0s\" }, { percent = 50, hold = \"0s\" }]",
        _ => "",
    }
}

/// A place where `one` is live.
fn with_one(name: &str, vendor: &Vendor) {
    vendor.places(in_shares(name));
    vendor.bundle("one", "answers 200 hello one");
    vendor.deploy("one").succeeds();
    assert_eq!(vendor.live(), "hello one", "{name}");
    vendor.calls();
}

/// Calls that change something. Showing a version on the staging network changes nothing that clients meet.
fn changes(vendor: &Vendor) -> Vec<String> {
    vendor.calls().into_iter().filter(|call| !call.starts_with("GET ")).collect()
}

fn uploads(calls: &[String]) -> usize {
    calls
        .iter()
        .filter(|call| call.starts_with("POST") && call.contains("/versions?") || call.ends_with("/package"))
        .count()
}

#[test]
fn a_bundle_that_is_live_is_found_and_nothing_is_uploaded_or_changed() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.deploy("one").succeeds().says("it is this bundle, and has all traffic");
        assert_eq!(changes(&vendor), [""; 0], "{name}");
        // The platform knows it, so a machine without the journal does too.
        std::fs::remove_dir_all(vendor.path().join("deploy-state")).unwrap();
        vendor.deploy("one").succeeds();
        assert_eq!(changes(&vendor), [""; 0], "{name}, without a journal");
    }
}

#[test]
fn a_version_that_fails_before_it_has_traffic_never_gets_any() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("bad", "answers 500 oops");
        let ran = vendor.deploy("bad").fails_with("has all traffic again");
        assert!(ran.text.contains("GET /: status 500 in place of 200"), "{}", ran.text);
        let history = vendor.history();
        assert_eq!(history.last().map(String::as_str), Some("hello one"), "{name}: {history:?}");
        let exposed = history.iter().any(|traffic| traffic == "oops" || traffic.contains("oops 1"));
        assert!(!exposed, "{name}: {history:?}");
        // It is over: the next one is deployed as if nothing had been.
        vendor.bundle("two", "answers 200 hello two");
        vendor.deploy("two").succeeds();
        assert_eq!(vendor.live(), "hello two", "{name}");
    }
}

#[test]
fn a_version_that_fails_once_it_has_traffic_loses_it_by_itself() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("bad", "answers 200 hello bad\nfails-with-traffic");
        vendor.deploy("bad").fails_with("has all traffic again").says("going back");
        assert_eq!(vendor.live(), "hello one", "{name}");
        vendor.run(&["status"]).succeeds().says("failed, back to");
    }
}

#[test]
fn some_errors_are_borne_and_more_are_not() {
    let checks = format!("checks = [{}]", "{ path = \"/\" }, ".repeat(40));
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        let lines = match name {
            "cloudflare" => in_shares(name),
            // What is shown must pass all checks; here only the rate is the story.
            _ => "staging = false",
        };
        vendor.places_with(&format!("{checks}\nmax-errors-percent = 10"), lines);
        vendor.bundle("bad", "answers 200 hello bad\nfails-with-traffic");
        vendor.deploy("bad").fails_with("checks failed");
        assert_eq!(vendor.live(), "hello one", "{name}");
        if name == "fastly" {
            vendor.bundle("shaky", "answers 200 hello shaky\nfails-each 20");
            vendor.deploy("shaky").succeeds();
            assert_eq!(vendor.live(), "hello shaky");
            vendor.bundle("worse", "answers 200 hello worse\nfails-each 5");
            vendor.deploy("worse").fails_with("status 500 in place of 200");
            assert_eq!(vendor.live(), "hello shaky");
        }
    }
}

#[test]
fn one_command_gives_the_version_before_all_traffic_again() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("two", "answers 200 hello two");
        vendor.deploy("two").succeeds();
        let began = Instant::now();
        vendor.run(&["rollback"]).succeeds().says("has all traffic");
        let took = began.elapsed();
        println!("{name}: rolled back in {} ms", took.as_millis());
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert_eq!(vendor.live(), "hello one", "{name}");
        vendor.run(&["rollback"]).fails_with("name one with `--to`");
        vendor.run(&["status"]).succeeds().says("rolled back from");
    }
}

#[test]
fn a_deployment_that_was_stopped_is_given_up_by_a_rollback() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("two", "answers 200 hello two");
        vendor.bundle("three", "answers 200 hello three");
        let shifts = |call: &str| {
            call.starts_with("POST") && call.contains("/deployments") || call.ends_with("/activate")
        };
        vendor.fault_at(shifts, Fault::HangAfter);
        assert!(vendor.deploy_killed("two"));
        vendor.deploy("three").fails_with("another deployment is on its way there");
        vendor.run(&["status"]).succeeds().says("the same command goes on with it");
        vendor.run(&["rollback"]).succeeds();
        assert_eq!(vendor.live(), "hello one", "{name}");
        vendor.deploy("three").succeeds();
        assert_eq!(vendor.live(), "hello three", "{name}");
    }
}

#[test]
fn killed_at_every_call_and_started_again_it_ends_as_if_nothing_had_been() {
    for name in BOTH {
        for after in [false, true] {
            let fault = if after { Fault::HangAfter } else { Fault::Hang };
            for nth in 0.. {
                let vendor = vendor(name);
                with_one(name, &vendor);
                vendor.bundle("two", "answers 200 hello two");
                vendor.fault(nth, fault);
                let killed = vendor.deploy_killed("two");
                let mut calls = vendor.calls();
                if killed {
                    vendor.deploy("two").succeeds();
                    calls.extend(vendor.calls());
                }
                let story = format!("{name}, {fault:?} at call {nth}: {calls:#?}");
                assert_eq!(vendor.live(), "hello two", "{story}");
                let told = vendor.run(&["status", "--json"]).succeeds().text;
                assert!(told.contains("\"unfinished\": null"), "{story}: {told}");
                let at = calls.get(nth).filter(|_| killed).map_or("", String::as_str);
                expect_no_waste(name, &calls, at, after);
                if !killed {
                    assert!(nth > 5, "{story}");
                    break;
                }
            }
        }
    }
}

/// What was done is not done again, but for the call that was under way, if it was not done.
#[track_caller]
fn expect_no_waste(name: &str, calls: &[String], at: &str, after: bool) {
    match name {
        "cloudflare" => {
            let was_cut = !after && uploads(&[at.to_owned()]) == 1;
            assert_eq!(uploads(calls), 1 + usize::from(was_cut), "{calls:#?}");
        }
        // A clone says whose it is only after the next call; a package is put, which may be done twice.
        _ => {
            let clones = calls.iter().filter(|call| call.ends_with("/clone")).count();
            let was_nameless = at.ends_with("/clone") || !after && at.ends_with("/version/3");
            assert!(clones == 1 || clones == 2 && was_nameless, "{calls:#?}");
        }
    }
}

#[test]
fn faults_of_the_platform_are_lived_through() {
    for name in BOTH {
        let faults = [Fault::Busy, Fault::Slow, Fault::Error, Fault::ErrorAfter, Fault::Cut, Fault::CutAfter];
        for fault in faults {
            let vendor = vendor(name);
            with_one(name, &vendor);
            vendor.bundle("two", "answers 200 hello two");
            // Far enough apart that a step gets through between two of them.
            for (place, nth) in (0..60).step_by(13).enumerate() {
                vendor.fault(nth + place, fault);
            }
            vendor.deploy("two").succeeds();
            assert_eq!(vendor.live(), "hello two", "{name}, {fault:?}");
        }
    }
}

#[test]
fn a_platform_that_asks_for_a_pause_gets_it() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("two", "answers 200 hello two");
        vendor.fault(4, Fault::BusyForASecond);
        vendor.deploy("two").succeeds();
        assert!(vendor.pause_after(4) >= Duration::from_secs(1), "{name}: {:?}", vendor.pause_after(4));
    }
}

#[test]
fn a_platform_that_stays_busy_is_given_up_and_gone_on_with_later() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        with_one(name, &vendor);
        vendor.bundle("two", "answers 200 hello two");
        for nth in 4..60 {
            vendor.fault(nth, Fault::Busy);
        }
        vendor.deploy("two").fails_with("takes no more requests at the moment");
        vendor.calls();
        vendor.deploy("two").succeeds().says("going on");
        assert_eq!(vendor.live(), "hello two", "{name}");
    }
}

#[test]
fn where_somebody_else_deploys_meanwhile_nothing_of_theirs_is_touched() {
    for name in BOTH {
        let mut stopped = 0;
        for nth in 0.. {
            let vendor = vendor(name);
            with_one(name, &vendor);
            vendor.bundle("two", "answers 200 hello two");
            vendor.fault(nth, Fault::Meanwhile);
            let ran = vendor.deploy("two");
            let history = vendor.history();
            let Some(theirs) = history.iter().position(|traffic| traffic == "somebody else's") else {
                ran.succeeds();
                break;
            };
            let (after, calls) = (&history[theirs + 1..], vendor.calls());
            if after.is_empty() {
                // They came last, or were seen. Then it stays so until somebody settles it.
                if !ran.succeeded() {
                    ran.fails_with("somebody else is deploying there");
                    stopped += 1;
                    vendor.deploy("two").fails_with("somebody else is deploying there");
                }
            } else {
                // Between a look and the change that follows there is a moment that no platform closes.
                let is_change = |call: &String| !call.starts_with("GET ");
                let moment = calls.iter().skip(nth + 1).take(2).any(is_change);
                assert!(moment, "{name}, call {nth}: {history:?}\n{calls:#?}");
            }
        }
        assert!(stopped >= 3, "{name}: {stopped}");
    }
}

#[test]
fn a_token_is_in_no_output_and_no_file_whatever_fails() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        let mut said = String::new();
        vendor.bundle("one", "answers 200 hello one");
        said += &vendor.deploy("one").succeeds().text;
        vendor.bundle("two", "answers 200 hello two");
        for nth in 0..60 {
            vendor.fault(nth, Fault::Error);
        }
        // The stand-in quotes what it was sent, token and all.
        let ran = vendor.deploy("two").fails_with("has a fault (status 500)").says("[token]");
        said += &ran.text;
        vendor.calls();
        said += &vendor.run(&["status"]).succeeds().text;
        let mut wrong = vendor.command(&["deploy", "two"]);
        let wrong = wrong.env(vendor.variable(), "another-t0ken").output().unwrap();
        let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(!wrong.status.success() && text.contains("refuses the token"), "{text}");
        assert!(text.contains(vendor.variable()), "{text}");
        said += &text;
        for entry in std::fs::read_dir(vendor.path().join("deploy-state")).unwrap() {
            said += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        assert!(!said.contains(TOKEN) && !said.contains("another-t0ken"), "{name}: {said}");
    }
}

#[test]
fn a_token_in_a_file_is_taken_if_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let vendor = Vendor::fastly();
    vendor.places("token-file = \"token\"");
    let file = vendor.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let run = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = vendor.command(&["status"]);
        command.env_clear().output().unwrap()
    };
    assert!(run(0o600).status.success());
    let exposed = run(0o644);
    assert!(String::from_utf8_lossy(&exposed.stderr).contains("chmod 600"), "{exposed:?}");
}

#[test]
fn a_bundle_that_was_changed_since_it_was_built_goes_nowhere() {
    for (name, vendor) in BOTH.map(|name| (name, vendor(name))) {
        let file = if name == "fastly" { "bin/main.wasm" } else { "worker.js" };
        let bundle = vendor.bundle("one", "answers 200 hello one");
        std::fs::write(bundle.join(file), "answers 200 something else").unwrap();
        vendor.deploy("one").fails_with("is not what the bundle's record says");
        assert_eq!(vendor.calls(), [""; 0], "{name}");
    }
}

#[test]
fn two_at_once_from_one_machine_are_one_too_many() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    vendor.fault(0, Fault::Hang);
    let mut first = vendor.command(&["deploy", "two"]).stdout(Stdio::null()).spawn().unwrap();
    vendor.expect_hang();
    vendor.deploy("two").fails_with("another `tollgate` is deploying there");
    first.kill().unwrap();
    first.wait().unwrap();
    vendor.deploy("two").succeeds();
}

#[test]
fn a_platform_that_an_environment_is_not_on_is_named_with_the_way_out() {
    let vendor = Vendor::cloudflare();
    let other = Command::new(testkit::binary())
        .args(["status", "--target", "fastly", "--env", "test"])
        .current_dir(vendor.path())
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        text.contains("`test` in `deploy.toml` is not on fastly: add [environments.test.fastly]"),
        "{text}"
    );
}

/// A request to an API itself.
fn raw(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}
