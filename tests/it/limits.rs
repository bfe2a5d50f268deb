//! Every limit, with a guest that breaks it: what the client gets, what the record says, and that the host goes on.

use http::Request;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::{App, Case, Http2, Process, Tenant};

/// The story that all limits share: the breach is answered, recorded, and over; the next request is served.
#[track_caller]
fn breach(case: Case, path: &str, status: u16, fault: &str) -> testkit::Answer {
    let host = case.tenant(Tenant::new("quiet").app(App::guest("echo"))).start();
    let answer =
        host.ask(Request::get(path)).expect_problem(status, fault).expect_audit(&format!("failed:{fault}"));
    host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
    answer
}

#[test]
fn a_loop_is_stopped_by_fuel_and_says_so() {
    let answer = breach(Case::guest("spin_forever").limits("fuel = 1_000_000"), "/", 502, "out-of-fuel");
    let used = answer.record().used("fuel");
    assert!((900_000..=1_100_000).contains(&used), "{used}");
}

#[test]
fn a_loop_is_stopped_by_cpu_time_while_it_has_fuel() {
    let case =
        Case::guest("spin_forever").limits("fuel = 1_000_000_000_000\ngas = 2_000_000_000_000\ncpu-ms = 100");
    let answer = breach(case, "/", 504, "cpu-time");
    let cpu = answer.record().used("cpu_ns") / 1_000_000;
    assert!((100..400).contains(&cpu), "{cpu} ms");
    let fuel = answer.record().used("fuel");
    assert!(fuel > 50_000_000, "who is stopped is billed for what it did: {fuel}");
}

#[test]
fn a_sleeper_is_stopped_by_the_wall_clock() {
    for guest in ["sleep_forever", "wait_forever"] {
        let answer = breach(Case::guest(guest).limits("deadline-ms = 200"), "/", 504, "deadline");
        let wall = answer.record().used("wall_ns") / 1_000_000;
        assert!((200..2_000).contains(&wall), "{guest}: {wall} ms");
    }
}

#[test]
fn a_sleeper_is_stopped_by_the_host_wait_before_the_wall_clock() {
    let case = Case::guest("wait_forever").limits("deadline-ms = 20_000\nhost-wait-ms = 100");
    breach(case, "/", 504, "host-wait");
}

#[test]
fn a_start_function_that_loops_is_under_the_same_limits() {
    breach(Case::guest("spin_in_start").limits("fuel = 1_000_000"), "/", 502, "out-of-fuel");
    let case =
        Case::guest("spin_in_start").limits("fuel = 1_000_000_000_000\ngas = 2_000_000_000_000\ncpu-ms = 50");
    breach(case, "/", 504, "cpu-time");
}

#[test]
fn a_loop_in_the_allocator_or_after_the_return_is_under_the_same_limits() {
    breach(Case::guest("spin_in_realloc").limits("fuel = 1_000_000"), "/", 502, "out-of-fuel");
    breach(Case::guest("spin_in_post_return").limits("fuel = 1_000_000"), "/", 502, "out-of-fuel");
}

#[test]
fn one_memory_that_grows_is_stopped_at_the_limit() {
    let answer =
        Case::guest("grow_one_memory").limits("memory-bytes = \"16MiB\"").get("/").expect_status(200);
    let used = answer.record().used("memory_bytes");
    assert!((15 << 20..=16 << 20).contains(&used), "the guest was refused more, and went on: {used}");
}

#[test]
fn many_memories_have_one_limit_together() {
    let case = Case::guest("grow_many_memories").limits("memory-bytes = \"16MiB\"");
    let answer = breach(case, "/", 502, "out-of-memory");
    assert!(answer.record().used("memory_bytes") <= 16 << 20);
}

#[test]
fn a_deep_recursion_ends_as_a_stack_overflow() {
    breach(Case::guest("deep_recursion"), "/", 502, "stack-overflow");
}

#[test]
fn a_trap_before_the_head_is_a_502() {
    breach(Case::guest("trap_before_head"), "/", 502, "trap");
}

#[test]
fn a_trap_in_mid_body_breaks_the_connection_and_is_recorded() {
    let host = Case::guest("trap_mid_body").start();
    host.ask(Request::get("/")).expect_status(200).expect_cut().expect_audit("failed:trap");
    host.ask(Request::get("/")).expect_status(200).expect_cut();
}

#[test]
fn a_body_that_was_given_up_is_cut() {
    let answer = Case::guest("cut_body").get("/").expect_cut();
    assert!(answer.record().outcome().starts_with("failed:"), "{}", answer.record().0);
}

#[test]
fn calls_into_the_host_are_counted_and_bounded() {
    let case = Case::guest("log_flood").limits("host-calls = 1_000");
    breach(case, "/", 502, "host-calls");
}

#[test]
fn calls_into_the_host_cost_gas() {
    let case = Case::guest("log_flood").limits("gas = 1_000_000\nfuel = 1_000_000_000");
    breach(case, "/", 502, "out-of-gas");
}

#[test]
fn a_flood_of_log_lines_is_dropped_and_counted() {
    let host = Case::guest("log_flood").limits("log-lines = 10").start();
    let answer = host.ask(Request::get("/?lines=50")).expect_status(200);
    assert_eq!(answer.record().metadata("log-lines-dropped"), Some("40"));
}

#[test]
fn each_run_of_a_reused_instance_has_its_own_lines_to_the_log() {
    let process =
        Case::guest("log_flood").keys("mode = \"serial\"\nreuse = 9").limits("log-lines = 3").spawn();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let answer = process.get("/?lines=5&bytes=7");
            assert_eq!(answer.status(), 200);
            answer.header("tollgate-request-id").unwrap().to_owned()
        })
        .collect();
    let (log, stderr) = (process.log(), process.stderr_with(6, "xxxxxxx"));
    for id in &ids {
        let record = log.records().into_iter().find(|record| record.text("request_id") == id).unwrap();
        assert_eq!(record.metadata("log-lines-dropped"), Some("2"), "{}", record.0);
        let lines = stderr.lines().filter(|line| line.contains("xxxxxxx") && line.contains(id.as_str()));
        assert_eq!(lines.count(), 3, "{stderr}");
    }
}

#[test]
fn a_request_body_over_the_limit_is_413_before_the_guest_runs() {
    let host = Case::guest("bytes_in").limits("request-body-bytes = 1000").start();
    let send = |n: usize| {
        let body = http_body_util::Full::new(bytes::Bytes::from(vec![0; n]));
        host.send(Request::post("/").body(body).unwrap())
    };
    send(1000).expect_status(200);
    let answer = send(1001).expect_problem(413, "body-too-large").expect_audit("refused:body-too-large");
    assert_eq!(answer.record().used("fuel"), 0);
}

#[test]
fn a_response_body_over_the_limit_is_cut_and_recorded() {
    let host = Case::guest("big_body").limits("response-body-bytes = 100_000").start();
    let answer = host.ask(Request::get("/?n=1000000")).expect_cut().expect_audit("failed:response-too-large");
    assert!(answer.bytes() <= 100_000);
    host.ask(Request::get("/?n=1000")).expect_status(200);
}

#[test]
fn a_response_that_announces_more_than_the_limit_is_none() {
    let answer = Case::guest("hello").limits("response-body-bytes = 3").get("/");
    answer.expect_problem(502, "response-too-large").expect_audit("failed:response-too-large");
}

#[test]
fn a_full_tenant_is_told_to_come_back_and_its_neighbour_is_served() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .limits("deadline-ms = 3_000")
                .totals("concurrent-requests = 1\nqueued-requests = 0")
                .app(App::guest("wait_forever")),
        )
        .tenant(Tenant::new("quiet").app(App::guest("echo")))
        .start();
    let statuses = std::thread::scope(|scope| {
        let both: Vec<_> =
            (0..2).map(|_| scope.spawn(|| host.ask(Request::get("/?ms=1000")).status())).collect();
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
        both.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let mut statuses = statuses;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

/// One request that waits in an app and holds its memory, while others ask; it can be known that it runs.
fn while_one_waits(host: &testkit::Host, then: impl FnOnce()) {
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(host.ask(Request::get("/?ms=2000")).status(), 200));
        let status = || serde_json::from_str::<serde_json::Value>(&host.admin("/status").text()).unwrap();
        while status()["tenants"]["acme"]["memory_bytes"]["used"] == 0 {}
        then();
    });
}

#[test]
fn memory_and_instances_of_a_tenant_have_a_total_over_all_its_apps() {
    for totals in ["instances = 1", "memory-bytes = \"300KiB\""] {
        let host = Case::new()
            .tenant(
                Tenant::new("acme")
                    .totals(totals)
                    .app(App::guest("wait_forever"))
                    .app(App::guest("echo").named("other").route("path = \"/other\"")),
            )
            .tenant(Tenant::new("quiet").app(App::guest("echo")))
            .start();
        while_one_waits(&host, || {
            let refused = host.ask(Request::get("/other")).expect_problem(503, "saturated");
            refused.expect_header("retry-after", "1").expect_audit("failed:saturated");
            host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
        });
        host.ask(Request::get("/other")).expect_status(200);
    }
}

/// What `/status` says of tenant `acme`: what is used, and the limit.
fn standing(status: &testkit::Answer, figure: &str) -> (u64, u64) {
    let status: serde_json::Value = serde_json::from_str(&status.text()).unwrap();
    let figure = &status["tenants"]["acme"][figure];
    let number = |name: &str| figure[name].as_u64().unwrap_or_else(|| panic!("{status}"));
    (number("used"), number("limit"))
}

#[test]
fn a_tenants_stores_have_a_total_together_also_after_a_restart() {
    let tenant = |name: &str| {
        let grants = "keyvalue = { default = \"sqlite\", cache = \"memory\" }";
        Tenant::new(name).totals("storage-bytes = \"22KiB\"").app(App::guest("kv_ops").grants(grants))
    };
    let process = Case::new().tenant(tenant("acme")).tenant(tenant("quiet")).spawn();
    let set = |process: &testkit::Process, tenant: &str, store: &str, key: &str| {
        let value = "x".repeat(6_000);
        let query = format!("/?op=set&store={store}&key={key}&value={value}");
        process.ask(Request::get(query).header("host", format!("{tenant}.test")))
    };
    for (store, key) in [("default", "a"), ("cache", "b"), ("default", "c")] {
        set(&process, "acme", store, key).expect_status(200).expect_body("done\n");
    }
    for store in ["default", "cache"] {
        set(&process, "acme", store, "d").expect_status(500).expect_in_body("stores are full: 22528 bytes");
    }
    // Key, value, and 96 for each of three entries.
    assert_eq!(standing(&process.admin("/status"), "storage_bytes"), (3 * (1 + 6_000 + 96), 22_528));
    set(&process, "quiet", "cache", "d").expect_status(200);

    // What was in memory is gone, and what was in the database is counted.
    let process = testkit::Process::again(process.kill());
    assert_eq!(standing(&process.admin("/status"), "storage_bytes"), (2 * (1 + 6_000 + 96), 22_528));
    set(&process, "acme", "cache", "b").expect_status(200);
    set(&process, "acme", "cache", "d").expect_status(500);
    process.get("/?op=delete&key=a").expect_body("done\n");
    set(&process, "acme", "cache", "d").expect_status(200);
    let table = process.run(&["doctor"]);
    assert!(table.contains("17.9k/22.0k"), "{table}");
}

#[test]
fn a_tenant_whose_gas_of_the_hour_is_spent_is_told_when_to_come_back() {
    let host = Case::new()
        .tenant(Tenant::new("quiet").app(App::guest("echo")))
        .tenant(Tenant::new("acme").totals("gas-per-hour = 1_000").app(App::guest("echo")))
        .start();
    // Whoever is in when the gas goes out is served; and only an hour that ends just now lets in one more.
    let first = host.ask(Request::get("/")).expect_status(200);
    assert!(first.record().used("gas") > 1_000, "{}", first.record().0);
    let next = (0..2).map(|_| host.ask(Request::get("/"))).find(|answer| answer.status() != 200).unwrap();
    let refused = next.expect_problem(429, "gas-spent").expect_audit("refused:gas-spent");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(refused.record().limit("gas-per-hour"), Some((first.record().used("gas"), 1_000)));
    assert_eq!((refused.record().used("gas"), refused.record().used("fuel")), (0, 0));
    assert_eq!(standing(&host.admin("/status"), "gas_this_hour"), (first.record().used("gas"), 1_000));
    host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);

    // More gas in the configuration is more gas at once.
    let more = host.site().configuration().replace("gas-per-hour = 1_000", "gas-per-hour = 1_000_000_000");
    host.site().configure(&more);
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_status(200);
}

#[test]
fn gas_of_the_hour_stays_used_when_the_host_is_started_again() {
    let tenant = Tenant::new("acme").totals("gas-per-hour = 1_000_000_000").app(App::guest("echo"));
    let hour = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 3_600;
    let begun = hour();
    let host = Case::new().tenant(tenant).start();
    let gas = host.ask(Request::get("/")).expect_status(200).record().used("gas");
    let site = host.stop();
    let again = Process::again(site);
    let (used, limit) = standing(&again.admin("/status"), "gas_this_hour");
    if hour() == begun {
        assert_eq!(used, gas);
    }
    assert_eq!(limit, 1_000_000_000);
}

#[test]
fn what_a_tenant_keeps_idle_makes_room_for_what_it_is_asked_for() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .totals("instances = 1")
                .app(App::guest("random_id").keys("mode = \"serial\""))
                .app(App::guest("echo").named("other").route("path = \"/other\"")),
        )
        .start();
    for path in ["/", "/other", "/", "/other"] {
        host.ask(Request::get(path)).expect_status(200);
    }
}

#[test]
fn a_start_function_that_has_worked_is_not_run_again_for_want_of_room() {
    // Nine memories in all. Two instances wait with one each, so the eighth that `acme` wants is one too many, and its
    // first module has worked by then.
    let keeps = |name: &str| App::guest("random_id").named(name).keys("mode = \"serial\"");
    let host = Case::new()
        .tenant(
            Tenant::new("quiet")
                .app(keeps("one").route("path = \"/one\""))
                .app(keeps("two").route("path = \"/two\"")),
        )
        .tenant(Tenant::new("acme").app(App::guest("work_in_start")))
        .capacity("instances = 3\ngate-instances = 2")
        .start();
    for path in ["/one", "/two"] {
        host.ask(Request::get(path).header("host", "quiet.test")).expect_status(200);
    }
    let refused = host.ask(Request::get("/")).expect_problem(503, "saturated");
    let fuel =
        refused.expect_header("retry-after", "1").expect_audit("failed:saturated").record().used("fuel");
    assert!(fuel > 1_000_000, "the work was done, and is on the bill: {fuel}");
    // What waited has made room: the same work, once, and then the guest's own turn.
    let run = host.ask(Request::get("/")).expect_problem(502, "trap");
    let more = run.record().used("fuel") - fuel;
    assert!(more < 100, "{more} beside the {fuel} of the work");
}

#[test]
fn a_host_at_the_end_of_its_memory_takes_no_more_requests() {
    let process = Case::guest("echo").capacity("instances = 64\nprocess-bytes = \"1MiB\"").spawn();
    // It looks a few times a second; the first look is before the first request.
    let answer = process.get("/");
    answer.expect_problem(503, "saturated").expect_header("retry-after", "1");
}

#[test]
fn a_client_that_takes_no_response_holds_its_place_no_longer_than_the_deadline() {
    // What is small and whole is over before anybody reads it.
    for (guest, outcome) in [("big_body", "failed:deadline"), ("unread", "answered:200")] {
        let host = Case::guest(guest)
            .limits("deadline-ms = 700")
            .totals("concurrent-requests = 1\nqueued-requests = 1\nqueue-wait = \"20s\"")
            .start();
        let mut idler = Http2::connect(host.address(), 0);
        idler.get(1, "/?n=100000");
        let first = host.first_record();
        assert_eq!(first.outcome(), outcome, "{guest}: {}", first.0);
        host.ask(Request::get("/?n=10")).expect_status(200);
    }
}

#[test]
fn a_connection_whose_streams_stand_still_is_ended() {
    let host = Case::guest("big_body").host("[host.listener]\nwrite-pause = \"300ms\"").start();
    let mut idler = Http2::connect(host.address(), 10);
    idler.get(1, "/?n=100000");
    idler.wait_for_close();
    host.ask(Request::get("/?n=10")).expect_status(200);
    host.admin("/metrics").expect_in_body("connections_stalled 1");
}

#[test]
fn values_by_the_thousand_are_no_way_into_the_hosts_memory() {
    let host = Case::guest("kv_ops")
        .grants("keyvalue = { default = \"memory\" }")
        .limits("memory-bytes = 16777216")
        .start();
    let ask = |query: &str| host.ask(Request::get(format!("/?{query}")));
    ask(&format!("op=set&key=big&value={}", "x".repeat(8_000))).expect_status(200);
    for _ in 0..7 {
        ask("op=double&key=big").expect_status(200);
    }
    let thousand = vec!["big"; 1_000].join(",");
    ask(&format!("op=get_many&key={thousand}")).expect_status(500).expect_in_body("bytes");
    ask("op=hoard&key=big&delta=900").expect_status(500).expect_in_body("memory limit");
    ask("op=hoard&key=small&delta=900").expect_status(200);
}

#[test]
fn what_goes_on_after_the_answer_is_under_the_same_limits() {
    for (then, limits, fault) in [
        ("spin", "fuel = 5_000_000", "out-of-fuel"),
        ("trap", "", "trap"),
        ("wait", "deadline-ms = 300", "deadline"),
    ] {
        let host = Case::guest("after_response").limits(limits).start();
        let answer =
            host.ask(Request::get(format!("/?then={then}"))).expect_status(200).expect_body("answered\n");
        answer.expect_audit(&format!("failed:{fault}"));
    }
}

#[test]
fn more_headers_than_a_response_may_have_are_the_guests_fault() {
    let host = Case::guest("many_headers").start();
    host.ask(Request::get("/?n=10")).expect_status(200);
    let answer = host.ask(Request::get("/"));
    assert!(answer.record().outcome().starts_with("failed:"), "{}", answer.record().0);
    host.ask(Request::get("/?n=10")).expect_status(200);
}

#[test]
fn tasks_without_end_are_bounded() {
    let host = Case::guest("many_tasks").limits("deadline-ms = 2_000").start();
    let answer = host.ask(Request::get("/"));
    assert!(answer.record().outcome().starts_with("failed:"), "{}", answer.record().0);
    assert_ne!(answer.record().outcome(), "failed:host-fault");
    host.ask(Request::get("/?n=1")).expect_status(200);
}
