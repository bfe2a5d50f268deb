//! Nothing of one tenant reaches another: not its memory, its keys, its counts, its names, nor what its requests take.

use http::Request;
use testkit::{App, Case, Host, Tenant};

fn ask(host: &Host, tenant: &str, path: &str) -> testkit::Answer {
    host.ask(Request::get(path).header("host", format!("{tenant}.test")))
}

/// Two tenants in a pool so small that each gets the slot that the other just left.
fn two_in_few_slots(guest: &str, mode: &str, limits: &str) -> Host {
    let tenant = |name: &str| Tenant::new(name).limits(limits).app(App::guest(guest).keys(mode));
    let capacity = "instances = 3\ngate-instances = 2\nmemory-bytes = \"48MiB\"";
    Case::new().tenant(tenant("acme")).tenant(tenant("globex")).capacity(capacity).start()
}

/// Every mode, and whether an instance of it has nothing of its own tenant's requests before, either.
const MODES: [(&str, bool); 4] = [
    ("mode = \"fresh\"", true),
    ("mode = \"reset\"", true),
    ("mode = \"serial\"\nreuse = 2", false),
    ("mode = \"concurrent\"\nat-once = 2\nreuse = 2", false),
];

/// How many marks were found, and what was not zero where nothing had been written.
fn found(answer: testkit::Answer) -> (u32, String) {
    let text = answer.expect_status(200).text();
    let (marks, dirty) = text.trim().split_once(" marks, ").unwrap();
    (marks.parse().unwrap(), dirty.to_owned())
}

#[test]
fn a_slot_that_changes_tenants_has_nothing_of_the_one_before() {
    // Below what a slot keeps resident, a little above, and far above: they are cleared in different ways.
    for (mode, forgets) in MODES {
        let host = two_in_few_slots("scribble", mode, "memory-bytes = \"48MiB\"");
        for round in 0..8_u64 {
            // An instance that is used twice holds what both have asked for.
            for bytes in [64 << 10, 256 << 10, if forgets { 40 << 20 } else { 20 << 20 }] {
                let seed = 1_000 + round;
                let marked = ask(&host, "acme", &format!("/?op=fill&seed={seed}&bytes={bytes}"));
                marked.expect_status(200).expect_body("marked\n");
                for (tenant, clean) in [("globex", true), ("acme", forgets)] {
                    let (marks, dirty) =
                        found(ask(&host, tenant, &format!("/?op=search&seed={seed}&bytes={bytes}")));
                    // The mark that it looks for may stand in its own stack.
                    assert!(marks < 8 || !clean, "{mode}, {tenant}, {bytes}: {marks} marks");
                    assert!(dirty == "0 dirty" || !forgets, "{mode}, {tenant}, {bytes}: {dirty}");
                }
            }
        }
    }
}

#[test]
fn a_slot_is_clean_also_after_a_run_that_was_stopped() {
    for (mode, forgets) in MODES {
        let host = two_in_few_slots("scribble", mode, "memory-bytes = \"48MiB\"\nfuel = 3_000_000");
        for round in 1_000..1_008 {
            // It runs out of fuel with its memory half marked.
            ask(&host, "acme", &format!("/?op=fill&seed={round}&bytes=33554432"))
                .expect_problem(502, "out-of-fuel");
            for tenant in ["globex", "acme"] {
                let (marks, dirty) =
                    found(ask(&host, tenant, &format!("/?op=search&seed={round}&bytes=65536")));
                assert!(marks < 8, "{mode}, {tenant}: {marks} marks");
                assert!(dirty == "0 dirty" || !forgets, "{mode}, {tenant}: {dirty}");
            }
        }
    }
}

#[test]
fn a_reused_instance_is_used_for_its_own_tenant_only() {
    let host = two_in_few_slots("random_id", "mode = \"serial\"", "memory-bytes = \"48MiB\"");
    for round in 0..5 {
        for tenant in ["acme", "globex"] {
            let text = ask(&host, tenant, "/").expect_status(200).text();
            assert!(text.trim().ends_with(&format!(" {round}")), "{tenant}: {text}");
        }
    }
}

#[test]
fn no_choice_of_names_or_keys_reaches_into_another_tenants_store() {
    for backend in ["memory", "sqlite"] {
        let tenant = |name: &str, stores: &str| {
            Tenant::new(name).app(App::guest("kv_ops").grants(&format!("keyvalue = {{ {stores} }}")))
        };
        // Joined with any separator, `a` and `b-c` read like `a-b` and `c`.
        let host = Case::new()
            .tenant(tenant("a", &format!("b-c = \"{backend}\", default = \"{backend}\"")))
            .tenant(tenant("a-b", &format!("c = \"{backend}\", default = \"{backend}\"")))
            .start();
        ask(&host, "a", "/?op=set&store=b-c&key=k&value=secret").expect_body("done\n");
        ask(&host, "a", "/?op=set&key=k&value=secret").expect_body("done\n");
        for store in ["c", "default"] {
            for key in ["k", "../a/k", "a%00k", "%00a%00b-c%00k", "a/b-c/k", "%2F..%2Fk", "%25", "a-b/c/k"] {
                let found = ask(&host, "a-b", &format!("/?op=exists&store={store}&key={key}"));
                found.expect_body("false\n");
            }
            ask(&host, "a-b", &format!("/?op=keys&store={store}")).expect_body("\n");
        }
        for store in ["b-c", "limits", "a%2Fdefault", "..", ""] {
            let refused = ask(&host, "a-b", &format!("/?op=keys&store={store}"));
            assert_ne!(refused.status(), 200, "{store}: {}", refused.text());
            assert!(!refused.text().contains("secret"));
        }
    }
}

#[test]
fn a_full_store_is_its_own_tenants_trouble() {
    let tenant = |name: &str| {
        Tenant::new(name).app(App::guest("kv_ops").grants("keyvalue = { default = \"memory\" }"))
    };
    let host = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).start();
    ask(&host, "acme", "/?op=incr&key=n&delta=9223372036854775807").expect_status(200);
    ask(&host, "acme", "/?op=incr&key=n").expect_status(500);
    ask(&host, "globex", "/?op=incr&key=n").expect_body("1\n");
}

#[test]
fn the_same_bytes_for_two_tenants_share_code_and_nothing_else() {
    let tenant = |name: &str| {
        let grants = format!(
            "config = {{ whose = \"{name}\" }}\nenvironment = {{ WHOSE = \"{name}\" }}\nfiles = \"none\""
        );
        Tenant::new(name)
            .app(App::guest("config_dump").grants(&format!("config = {{ whose = \"{name}\" }}")))
            .app(App::guest("env_dump").named("env").grants(&grants).route("path = \"/env\""))
    };
    let host = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).start();
    for (own, others) in [("acme", "globex"), ("globex", "acme")] {
        ask(&host, own, "/").expect_body(&format!("whose={own}\n"));
        let environment = ask(&host, own, "/env").expect_status(200).text();
        assert!(
            environment.contains(&format!("WHOSE={own}")) && !environment.contains(others),
            "{environment}"
        );
    }
    let digests: Vec<String> = ["acme", "globex"]
        .map(|tenant| ask(&host, tenant, "/").record().metadata("component").unwrap().to_owned())
        .into();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn texts_of_errors_name_neither_another_tenant_nor_what_is_inside() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .policy("@id(\"inside-rule\") forbid(principal, action, resource);")
                .app(App::guest("echo")),
        )
        .tenant(Tenant::new("globex").limits("fuel = 100_000").app(App::guest("spin_forever")))
        .start();
    let texts = [
        ask(&host, "acme", "/").expect_status(403),
        ask(&host, "globex", "/").expect_status(502),
        ask(&host, "nobody", "/").expect_status(404),
        host.ask(Request::get("/a%2fb")).expect_status(400),
    ]
    .map(|answer| format!("{:?} {}", answer.header("server"), answer.text()));
    for text in texts {
        for inside in ["acme", "globex", "inside-rule", "wasm", "spin_forever", "/tmp", "web"] {
            assert!(!text.contains(inside), "`{inside}` in {text}");
        }
    }
}

#[test]
fn a_host_that_nobody_has_is_answered_as_a_path_that_nobody_has() {
    let host = Case::guest("echo").route("path = \"/only\"").start();
    let shape = |answer: testkit::Answer| {
        let text = answer.expect_problem(404, "no-route").text();
        text.rsplit_once("\"instance\"").unwrap().0.to_owned()
    };
    assert_eq!(shape(ask(&host, "acme", "/other")), shape(ask(&host, "nobody", "/other")));
}

#[test]
fn what_one_tenant_runs_changes_no_others_bill() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .limits("cpu-ms = 50\nfuel = 100_000_000_000\ngas = 200_000_000_000")
                .app(App::guest("spin_forever")),
        )
        .tenant(Tenant::new("globex").app(App::guest("work")))
        .start();
    let bill = || {
        let answer = ask(&host, "globex", "/?rounds=500").expect_status(200);
        let record = answer.record();
        (record.used("gas"), record.used("fuel"), record.used("memory_bytes"), record.used("host_calls"))
    };
    let quiet = bill();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(ask(&host, "acme", "/").status(), 504));
        }
        for _ in 0..5 {
            assert_eq!(bill(), quiet);
        }
    });
}

#[test]
fn connections_to_an_upstream_are_not_shared_between_tenants() {
    let upstream = Case::guest("echo").any_host().start();
    let origin = format!("http://{}", upstream.address());
    let tenant = |name: &str| {
        let grants = format!("http = {{ allow = [\"{origin}\"], networks = [\"127.0.0.0/8\"] }}");
        Tenant::new(name).app(App::guest("egress").grants(&grants))
    };
    let host = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).start();
    let accepted = || {
        let metrics = upstream.admin("/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with("tollgate_connections_accepted")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    for (tenant, connections) in [("acme", 1), ("acme", 1), ("globex", 2), ("acme", 2), ("globex", 2)] {
        assert!(
            ask(&host, tenant, &format!("/?url={origin}/")).expect_status(200).text().starts_with("200 ")
        );
        assert_eq!(accepted(), connections, "{tenant}");
    }
}
