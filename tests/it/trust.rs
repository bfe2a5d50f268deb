//! Components that must not load, in a host that runs on.

use http::Request;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::SystemTime;
use testkit::{App, Case, Tenant, binary};

fn beside_a_good_one(bad: App) -> testkit::Host {
    Case::new()
        .tenant(Tenant::new("acme").app(bad))
        .tenant(Tenant::new("globex").app(App::guest("echo")))
        .start()
}

#[track_caller]
fn refused_while_the_rest_runs(bad: App, says: &[&str]) {
    let host = beside_a_good_one(bad);
    let troubles = host.running().troubles().join("\n");
    for part in says {
        assert!(troubles.contains(part), "no `{part}` in:\n{troubles}");
    }
    host.ask(Request::get("/")).expect_problem(503, "app-refused").expect_audit("refused:app-refused");
    host.ask(Request::get("/").header("host", "globex.test")).expect_status(200);
}

#[test]
fn an_unsigned_component_is_refused_with_the_command_that_signs_it() {
    refused_while_the_rest_runs(App::guest("echo").unsigned(), &["not signed", "tollgate sign"]);
}

#[test]
fn a_tampered_component_is_refused_and_said_to_be_changed() {
    refused_while_the_rest_runs(App::guest("echo").tampered(), &["changed after it was signed"]);
}

#[test]
fn a_component_that_would_take_many_slots_of_the_pool_is_refused() {
    refused_while_the_rest_runs(
        App::guest("nine_memories"),
        &["does not compile", "9 Wasm linear memories", "maximum of 8"],
    );
}

#[test]
fn a_component_with_an_import_that_its_signature_does_not_list_is_refused() {
    refused_while_the_rest_runs(
        App::guest("echo").signed_as_importing(&[]),
        &["imports `wasi:", "which its signature does not list", "tollgate sign"],
    );
}

#[test]
fn an_ungranted_import_is_refused_with_the_line_that_grants_it() {
    refused_while_the_rest_runs(
        App::guest("ungranted_import"),
        &[
            "imports `wasi:sockets/",
            "not granted",
            "add `sockets = \"none\"` under [tenants.acme.apps.web.grants]",
        ],
    );
}

#[test]
fn a_component_that_wants_more_than_its_limit_at_the_start_is_refused_before_it_is_compiled() {
    refused_while_the_rest_runs(App::guest("start_with_much"), &["memory at the start", "limit"]);
}

#[test]
fn code_that_was_checked_is_kept_for_the_next_start_and_what_a_dead_process_left_goes() {
    let site = Case::guest("hello").write();
    let cache = site.path().join("state/cache");
    // Its own, and not that of all tests.
    std::fs::remove_file(&cache).unwrap();
    let files = || -> BTreeMap<String, SystemTime> {
        let entries = std::fs::read_dir(&cache).unwrap().map(Result::unwrap);
        let told = entries.map(|entry| {
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().modified().unwrap())
        });
        told.collect()
    };
    let check = || {
        let ran = Command::new(binary()).args(["check", "--keep-code", "--config"]).arg(site.file()).output();
        assert!(ran.as_ref().unwrap().status.success(), "{}", String::from_utf8_lossy(&ran.unwrap().stderr));
    };
    check();
    let kept = files();
    let code = kept.keys().filter(|name| name.ends_with(".cwasm")).count();
    assert_eq!(code, 3, "of the app, the gate and the audit log: {kept:?}");
    let (dead, alive) = (format!("a.{}-0.tmp", u32::MAX), format!("b.{}-0.tmp", std::process::id()));
    for name in [&dead, &alive] {
        std::fs::write(cache.join(name), "").unwrap();
    }
    check();
    let mut now = files();
    assert!(now.remove(&dead).is_none() && now.remove(&alive).is_some(), "{now:?}");
    assert_eq!(now, kept, "nothing was compiled again");
}
