//! A changed configuration takes hold without a lost request; a bad one does not take hold.

use http::Request;
use std::time::{Duration, Instant};
use testkit::{App, Case, Tenant};

#[test]
fn a_changed_file_takes_hold_and_a_bad_one_does_not() {
    let host = Case::guest("echo").start();
    host.ask(Request::get("/")).expect_status(200);
    let good = host.site().configuration();

    host.site().configure(&good.replace("host = \"acme.test\"", "host = \"moved.test\""));
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_problem(404, "no-route");
    host.ask(Request::get("/").header("host", "moved.test")).expect_status(200);

    host.site().configure(&good.replace("[host]", "[hots]"));
    let error = host.block_on(host.running().reload()).unwrap_err().to_string();
    assert!(error.contains("did you mean"), "{error}");
    host.ask(Request::get("/").header("host", "moved.test")).expect_status(200);
}

#[test]
fn a_key_that_is_removed_takes_its_apps_away_and_a_mistake_does_not() {
    let host = Case::guest("echo").start();
    let (good, trust) = (host.site().configuration(), host.site().path().join("trust.toml"));
    host.site().configure(&good.replace("acme-web.wasm", "not-there.wasm"));
    let error = host.block_on(host.running().reload()).unwrap_err().to_string();
    assert!(error.contains("not-there.wasm"), "{error}");
    host.ask(Request::get("/")).expect_status(200);

    let rules = std::fs::read_to_string(&trust).unwrap();
    host.site().configure(&format!("{good}\n[tenants.acme.apps.more]\ncomponent = \"not-there.wasm\"\n"));
    std::fs::write(&trust, rules.replace("\"test:*\"", "\"other:*\"")).unwrap();
    // There is a mistake beside it, which is no reason to go on with what is trusted no more.
    host.block_on(host.running().reload()).unwrap_err();
    host.ask(Request::get("/")).expect_problem(503, "app-refused").expect_audit("refused:app-refused");
    host.site().configure(&good);
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_problem(503, "app-refused").expect_audit("refused:app-refused");
}

#[test]
fn who_is_trusted_no_more_is_out_of_service_before_anything_is_loaded() {
    let host = Case::new()
        .tenant(Tenant::new("acme").app(App::guest("echo")))
        .tenant(Tenant::new("other").own_policy("hostile-policy", "").app(App::guest("work")))
        .start();
    host.ask(Request::get("/")).expect_status(200);
    let trust = host.site().path().join("trust.toml");
    let rules = std::fs::read_to_string(&trust).unwrap();
    std::fs::write(&trust, rules.replace("\"test:*\"", "\"other:*\"")).unwrap();
    // It may still be being written.
    host.block_on(host.running().look_at_trust());
    host.ask(Request::get("/")).expect_status(200);
    host.block_on(host.running().look_at_trust());
    host.ask(Request::get("/")).expect_problem(503, "app-refused").expect_audit("refused:app-refused");
    let withdrawn = |host: &testkit::Host| {
        let records = host.log().records();
        let acts = records.into_iter().filter(|record| record.text("action") == "admin.withdraw");
        acts.map(|record| format!("{} {}", record.text("resource"), record.outcome())).collect::<Vec<_>>()
    };
    let all = withdrawn(&host);
    assert!(all.contains(&"app acme/web refused:untrusted".to_owned()), "{all:?}");
    // Once.
    host.block_on(host.running().look_at_trust());
    host.block_on(host.running().look_at_trust());
    assert_eq!(withdrawn(&host), all);
    // What comes back has to be loaded, as anything has.
    std::fs::write(&trust, rules).unwrap();
    host.block_on(host.running().look_at_trust());
    host.block_on(host.running().look_at_trust());
    host.ask(Request::get("/")).expect_status(503);
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_status(200);
}

#[test]
fn a_mistake_elsewhere_keeps_nobody_in_service_who_is_trusted_no_more() {
    let host = Case::guest("echo").start();
    let (good, trust) = (host.site().configuration(), host.site().path().join("trust.toml"));
    let rules = std::fs::read_to_string(&trust).unwrap();
    // First a reload that fails for another reason: what runs on is still known by its papers.
    host.site().configure(&format!("{good}\n[tenants.acme.apps.more]\ncomponent = \"not-there.wasm\"\n"));
    host.block_on(host.running().reload()).unwrap_err();
    host.ask(Request::get("/")).expect_status(200);
    std::fs::write(&trust, rules.replace("\"test:*\"", "\"other:*\"")).unwrap();
    host.site().configure(&good.replace("[host]", "[hots]"));
    let error = host.block_on(host.running().reload()).unwrap_err().to_string();
    assert!(error.contains("did you mean"), "{error}");
    host.ask(Request::get("/")).expect_problem(503, "app-refused");
}

#[test]
fn a_running_host_hears_within_five_seconds_that_a_key_is_gone() {
    let host = Case::guest("echo").spawn();
    host.ask(Request::get("/")).expect_status(200);
    let trust = host.site().path().join("trust.toml");
    let rules = std::fs::read_to_string(&trust).unwrap();
    let changed = Instant::now();
    std::fs::write(&trust, rules.replace("\"test:*\"", "\"other:*\"")).unwrap();
    while host.ask(Request::get("/")).status() == 200 {
        assert!(changed.elapsed() < Duration::from_secs(5), "it is still served");
    }
    host.ask(Request::get("/")).expect_problem(503, "app-refused");
}

/// Descriptors and mappings of this process, which the host is in.
fn held() -> (usize, usize) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    (descriptors, mappings)
}

#[test]
fn apps_that_come_and_go_leave_nothing_behind_and_disturb_nobody() {
    let apps = |second: &str| {
        Case::new()
            .tenant(Tenant::new("acme").app(App::guest("echo")))
            .tenant(Tenant::new("guest").app(App::guest(second).keys("mode = \"serial\"\nreuse = 9")))
    };
    let host = apps("random_id").start();
    let (one, other) = (host.site().configuration(), apps("work").write());
    for part in ["guest-web.wasm", "guest-web.wasm.dsse.json"] {
        let to = host.site().path().join(format!("other-{part}"));
        std::fs::copy(other.path().join(part), to).unwrap();
    }
    let other = one.replace("\"guest-web.wasm\"", "\"other-guest-web.wasm\"");
    let deploy = |configuration: &str| {
        host.site().configure(configuration);
        host.block_on(host.running().reload()).unwrap();
        host.ask(Request::get("/?rounds=1").header("host", "guest.test")).expect_status(200);
        host.ask(Request::get("/")).expect_status(200);
    };
    let cycle = || {
        deploy(&other);
        deploy(&one);
    };
    // The pool's slots are cut to size as they are first used.
    (0..25).for_each(|_| cycle());
    let before = held();
    (0..25).for_each(|_| cycle());
    let is_back = |now: (usize, usize)| now.0 <= before.0 + 3 && now.1 <= before.1 + before.1 / 10;
    let mut after = held();
    // The host may still be closing the connections of those who asked last.
    for _ in 0..200 {
        if is_back(after) {
            break;
        }
        host.ask(Request::get("/")).expect_status(200);
        after = held();
    }
    assert!(is_back(after), "{before:?}, then {after:?}");
}

#[test]
fn no_request_is_dropped_while_the_house_is_changed() {
    let host = Case::guest("echo").start();
    let file = host.site().configuration();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..25).map(|_| host.ask(Request::get("/")).status()).collect::<Vec<_>>())
            })
            .collect();
        for round in 0..4 {
            host.site().configure(&format!("{file}\n# round {round}\n"));
            host.block_on(host.running().reload()).unwrap();
        }
        for client in clients {
            assert!(client.join().unwrap().iter().all(|status| *status == 200));
        }
    });
}

#[test]
fn a_reload_leaves_alone_what_has_not_changed() {
    let host = Case::guest("random_id").keys("mode = \"serial\"\nreuse = 99").start();
    let file = host.site().configuration();
    // How many requests the instance has answered before.
    let answered = || -> u32 {
        let text = host.ask(Request::get("/")).expect_status(200).text();
        text.trim().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let reload = |configuration: &str| {
        host.site().configure(configuration);
        host.block_on(host.running().reload()).unwrap();
    };
    assert_eq!((answered(), answered()), (0, 1));
    reload(&format!("{file}\n[tenants.other]\npolicy = {{ text = \"\" }}\n"));
    assert_eq!(answered(), 2, "another tenant came, and the instance is still there");
    reload(&file.replace("reuse = 99", "reuse = 98"));
    assert_eq!(answered(), 0, "the app is another one, and begins anew");
}
