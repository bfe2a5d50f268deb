//! Requests that go well, and those that no app sees.

use http::Request;
use testkit::{App, Case, Tenant};

#[test]
fn a_request_gets_the_apps_answer_and_one_record() {
    let answer = Case::guest("echo").get("/hello?x=1").expect_status(200).expect_audit("answered:200");
    assert!(answer.text().starts_with("GET "), "{}", answer.text());
    let record = answer.record();
    assert_eq!(record.text("tenant"), "acme");
    assert_eq!(record.text("action"), "GET");
    assert_eq!(record.text("resource"), "acme/web/web acme.test /hello");
    assert!(record.used("fuel") > 0 && record.used("gas") > record.used("fuel"), "{}", record.0);
    assert!(record.used("memory_bytes") >= 65_536);
    assert_eq!(record.metadata("mode"), Some("fresh"));
}

#[test]
fn two_tenants_have_their_own_hosts() {
    let host = Case::new()
        .tenant(Tenant::new("acme").app(App::guest("echo")))
        .tenant(Tenant::new("globex").app(App::guest("random_id")))
        .start();
    host.ask(Request::get("/")).expect_status(200).expect_in_body("GET ");
    let globex = host.ask(Request::get("/").header("host", "globex.test")).expect_status(200);
    assert_eq!(globex.record().text("tenant"), "globex");
}

#[test]
fn an_unknown_host_is_nobodys() {
    let host = Case::guest("echo").start();
    host.ask(Request::get("/").header("host", "other.test")).expect_problem(404, "no-route");
}

#[test]
fn the_guest_sees_the_path_that_the_gate_saw() {
    let host = Case::guest("echo").start();
    let answer = host.ask(Request::get("/a/%2e%2e/b/./%63?q=%2e"));
    assert!(answer.text().lines().next().unwrap().ends_with("/b/c?q=%2e"), "{}", answer.text());
}

#[test]
fn headers_that_pretend_to_come_from_the_host_are_dropped() {
    let host = Case::guest("echo").start();
    let answer = host.ask(
        Request::get("/")
            .header("x-forwarded-for", "6.6.6.6")
            .header("forwarded", "for=6.6.6.6")
            .header("x-forwarded-user", "6.6.6.6")
            .header("tollgate-tenant", "globex")
            .header("connection", "x-secret")
            .header("x-secret", "6.6.6.6"),
    );
    let text = answer.text();
    assert!(!text.contains("6.6.6.6") && !text.contains("globex"), "{text}");
    assert!(text.contains("x-forwarded-for: 127.0.0.1"), "{text}");
}

#[test]
fn bodies_stream_through_in_both_directions() {
    let host = Case::guest("bytes_in").start();
    let body = bytes::Bytes::from(vec![7_u8; 3_000_000]);
    let request = Request::post("/").body(http_body_util::Full::new(body)).unwrap();
    let answer = host.send(request).expect_status(200).expect_body("3000000 bytes\n");
    assert_eq!(answer.record().used("bytes_in"), 3_000_000);

    let answer = Case::guest("big_body").get("/?n=5000000").expect_status(200).expect_audit("answered:200");
    assert_eq!(answer.bytes(), 5_000_000);
    assert_eq!(answer.record().used("bytes_out"), 5_000_000);
}

#[test]
fn a_head_request_has_a_record_and_no_body() {
    let host = Case::guest("echo").start();
    host.ask(Request::head("/")).expect_status(200).expect_body("").expect_audit("answered:200");
}

#[test]
fn a_guest_that_writes_a_body_for_head_finds_somebody_who_takes_it() {
    let host = Case::guest("unread").start();
    host.ask(Request::get("/")).expect_status(200).expect_body("some bytes\nsome bytes\n");
    host.ask(Request::head("/")).expect_status(200).expect_body("").expect_audit("answered:200");
}

#[test]
fn the_app_sees_the_host_and_path_in_the_spelling_that_the_gate_saw() {
    let host = Case::guest("echo").any_host().start();
    let answer = host.ask(Request::get("/a//b/./c").header("host", "ACME.test.:8080"));
    let text = answer.expect_status(200).text();
    assert!(text.starts_with("GET http://acme.test:8080/a/b/c\n"), "{text}");
    host.ask(Request::get("/a%2fb")).expect_problem(400, "bad-request");
}

#[test]
fn a_fresh_instance_knows_nothing_of_the_last_request_and_a_serial_one_does() {
    let last = |answer: testkit::Answer| answer.text().trim().rsplit(' ').next().unwrap().to_owned();
    let fresh = Case::guest("random_id").start();
    for _ in 0..3 {
        assert_eq!(last(fresh.ask(Request::get("/"))), "0");
    }
    let serial = Case::guest("random_id").keys("mode = \"serial\"\nreuse = 2").start();
    let seen: Vec<String> = (0..3).map(|_| last(serial.ask(Request::get("/")))).collect();
    assert_eq!(seen, ["0", "1", "0"], "an instance answers twice and is then dropped");
}

#[test]
fn a_reset_instance_knows_nothing_of_the_last_request_and_costs_what_a_fresh_one_does() {
    let ask = |guest: &str, mode: &str| {
        let host = Case::guest(guest).keys(&format!("mode = \"{mode}\"")).start();
        (0..6).map(|_| host.ask(Request::get("/?rounds=9")).expect_status(200)).collect::<Vec<_>>()
    };
    for answer in ask("random_id", "reset") {
        assert!(answer.text().trim().ends_with(" 0"), "{}", answer.text());
    }
    let (fresh, reset) = (ask("work", "fresh"), ask("work", "reset"));
    for answer in &reset {
        for what in ["fuel", "gas", "memory_bytes"] {
            assert_eq!(answer.record().used(what), fresh[0].record().used(what), "{what}");
        }
        assert_eq!(answer.record().metadata("mode"), Some("reset"));
    }
    let prepared = reset.iter().filter(|answer| answer.record().metadata("instance") == Some("prepared"));
    assert!(prepared.count() >= 2, "two are made when the app is loaded");
}

#[test]
fn an_app_whose_start_is_not_the_same_twice_is_no_app_to_reset() {
    let host = Case::guest("random_start").keys("mode = \"reset\"").start();
    let troubles = host.running().troubles().join("\n");
    assert!(troubles.contains("made twice, it was not the same"), "{troubles}");
    let fresh = Case::guest("random_start").start();
    fresh.ask(Request::get("/")).expect_problem(502, "trap");
}

#[test]
fn the_same_work_on_a_fresh_instance_costs_the_same() {
    let host = Case::guest("work").start();
    let cost = || {
        let answer = host.ask(Request::get("/?rounds=2000")).expect_status(200);
        (answer.record().used("fuel"), answer.record().used("gas"))
    };
    let first = cost();
    assert_eq!(first, cost());
    assert_eq!(first, cost());
}

#[test]
fn every_kind_of_work_comes_out_the_same_for_the_same_fuel() {
    let host = Case::guest("corpus").limits("fuel = 10_000_000_000\ngas = 20_000_000_000").start();
    for kind in ["hash", "sort", "matrix", "json", "words", "calls", "sieve"] {
        let once = |rounds: u32| {
            let target = format!("/?kind={kind}&rounds={rounds}");
            let answer = host.ask(Request::get(target)).expect_status(200);
            (answer.text(), answer.record().used("fuel"))
        };
        let one = once(1);
        assert_eq!(one, once(1), "{kind}");
        assert!(once(2).1 > one.1 + one.1 / 2, "{kind}: twice the work is no less than half as much again");
    }
}

#[test]
fn the_longest_path_wins_and_methods_are_told_apart() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .app(App::guest("echo").named("all"))
                .app(App::guest("random_id").named("ids").route("path = \"/ids\"\nmethods = [\"GET\"]")),
        )
        .start();
    assert!(!host.ask(Request::get("/ids/7")).text().starts_with("GET"));
    assert!(host.ask(Request::post("/ids/7")).text().starts_with("POST"));
    assert!(host.ask(Request::get("/idsx")).text().starts_with("GET"));
}

#[test]
fn health_and_metrics_are_on_the_admin_address_alone() {
    let host = Case::guest("echo").start();
    host.ask(Request::get("/"));
    host.admin("/live").expect_status(200);
    host.admin("/ready").expect_status(200);
    host.admin("/metrics")
        .expect_status(200)
        .expect_in_body("tenant=\"acme\"")
        .expect_in_body("tollgate_tenant_running{tenant=\"acme\"} ")
        .expect_in_body("tollgate_tenant_running_limit{tenant=\"acme\"} 100\n");
    host.ask(Request::get("/metrics")).expect_in_body("GET ");
}

#[test]
fn the_doctor_tells_how_a_host_stands_and_no_secret() {
    let case = Case::guest("echo").tables(
        "[clients.alice]\ntoken-sha256 = \"@HASH@\""
            .replace("@HASH@", &tollgate_trust::Sha256::of(b"secret-alice").to_string())
            .as_str(),
    );
    let process = case.grants("config = { password = \"swordfish\" }").spawn();
    process.get("/").expect_status(200);
    let report = process.run(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&report).expect(&report);
    assert_eq!(json["status"]["tenants"]["acme"]["since_start"]["requests"], 1);
    assert_eq!(json["findings"], serde_json::json!([]));
    for secret in ["swordfish", "secret-alice", "token", "PRIVATE"] {
        assert!(!report.contains(secret), "`{secret}` in {report}");
    }
    assert!(process.run(&["doctor"]).contains("well"), "and in words");
}
