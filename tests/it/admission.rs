//! The gate: who may pass, how often, and what is said of it.

use http::Request;
use testkit::{App, Case, Host, Tenant};

/// SHA-256 of `secret-alice`.
const ALICE: &str = "[clients.alice]\ntoken-sha256 = \"@ALICE@\"\ngroups = [\"staff\"]";

fn alice() -> String {
    let hash = tollgate_trust::Sha256::of(b"secret-alice").to_string();
    ALICE.replace("@ALICE@", &hash)
}

fn as_alice(path: &str) -> http::request::Builder {
    Request::get(path).header("authorization", "Bearer secret-alice")
}

const STAFF_ONLY: &str = r#"
@id("staff-may-read")
permit(principal in Group::"acme/staff", action in Action::"read", resource);
@id("nobody-may-see-secrets")
forbid(principal, action, resource) when { context.path like "/secret*" };
"#;

fn guarded() -> Host {
    Case::guest("echo").policy(STAFF_ONLY).tables(&alice()).start()
}

#[test]
fn a_known_client_passes_and_the_record_names_it_and_the_policy() {
    let answer = guarded().ask(as_alice("/")).expect_status(200).expect_audit("answered:200");
    assert_eq!(answer.record().policies(), ["staff-may-read"]);
    assert_eq!(answer.record().0["actor"]["id"], "alice");
}

#[test]
fn whoever_no_policy_permits_is_denied_with_a_problem_document() {
    let host = guarded();
    host.ask(Request::get("/")).expect_problem(403, "denied").expect_audit("denied");
    let wrong = Request::get("/").header("authorization", "Bearer secret-alicf");
    host.ask(wrong).expect_problem(403, "denied");
    host.ask(as_alice("/").method("POST")).expect_problem(403, "denied");
}

#[test]
fn a_forbidding_policy_wins_and_is_named_in_the_record_only() {
    let answer = guarded().ask(as_alice("/secret/plan")).expect_problem(403, "denied").expect_audit("denied");
    assert_eq!(answer.record().policies(), ["nobody-may-see-secrets"]);
    assert!(!answer.text().contains("nobody"), "the inside stays inside: {}", answer.text());
}

#[test]
fn a_path_in_another_spelling_is_no_way_around_a_policy() {
    let host = guarded();
    for path in ["/%73ecret/plan", "/x/../secret", "/./secret", "/x/%2e%2e/secret"] {
        host.ask(as_alice(path)).expect_problem(403, "denied");
    }
}

#[test]
fn what_a_policy_sees_is_whole_or_the_request_is_refused() {
    let rule = "permit(principal, action, resource);
        forbid(principal, action, resource) when { context has query && context.query like \"*debug=1*\" };
        forbid(principal, action, resource) when { context.headers.hasTag(\"x-role\") && context.headers.getTag(\"x-role\") like \"*guest*\" };";
    let host = Case::guest("echo").policy(rule).route("headers = [\"x-many\", \"x-role\"]").start();
    host.ask(Request::get("/?a=1").header("x-role", "admin")).expect_status(200);
    host.ask(Request::get(format!("/?{}&debug=1", "a".repeat(9_000)))).expect_problem(403, "denied");
    let role =
        |value: &[u8]| Request::get("/").header("x-role", http::HeaderValue::from_bytes(value).unwrap());
    host.ask(role(b"guest")).expect_problem(403, "denied");
    host.ask(role(b"guest\xff")).expect_problem(400, "bad-request");
    host.ask(role(&[b"a".repeat(9_000).as_slice(), b"guest"].concat())).expect_problem(400, "bad-request");
    let many = (0..70).fold(role(b"guest"), |request, _| request.header("x-many", "1"));
    host.ask(many).expect_problem(400, "bad-request");
    let hidden = role(b"guest").header("connection", "x-role");
    assert!(!host.ask(hidden).expect_status(200).text().contains("x-role"), "the app does not see it either");
}

#[test]
fn a_policy_engine_that_imports_more_than_its_facts_is_refused() {
    let host = Case::new()
        .tenant(Tenant::new("acme").own_policy("tollgate-limiter", "").app(App::guest("echo")))
        .tenant(Tenant::new("globex").app(App::guest("echo")))
        .start();
    let troubles = host.running().troubles().join("\n");
    assert!(
        troubles.contains("imports `wasi:keyvalue/") && troubles.contains("a policy engine may import only"),
        "{troubles}"
    );
    host.ask(Request::get("/").header("host", "globex.test")).expect_status(200);
}

#[test]
fn counts_on_disk_work_as_those_in_memory() {
    let host = Case::guest("echo").quota(1).gate("store = \"sqlite\"").start();
    host.ask(Request::get("/")).expect_status(200);
    host.ask(Request::get("/")).expect_problem(429, "rate-limited");
}

#[test]
fn over_quota_is_429_with_the_rate_headers_and_a_record() {
    let host = Case::guest("echo").quota(2).start();
    let first = host.ask(Request::get("/")).expect_status(200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"burst\";q=2;w=60"));
    assert!(
        first.header("ratelimit").unwrap().starts_with("\"burst\";r=1;t="),
        "{:?}",
        first.header("ratelimit")
    );
    host.ask(Request::get("/")).expect_status(200);
    let third = host.ask(Request::get("/")).expect_problem(429, "rate-limited").expect_audit("limited");
    let wait: u64 = third.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(third.header("ratelimit").unwrap().starts_with("\"burst\";r=0;t="));
    assert_eq!(third.record().metadata("bucket"), Some("burst"));
}

#[test]
fn each_actor_has_a_count_of_its_own() {
    let host = Case::guest("echo").quota(1).tables(&alice()).start();
    host.ask(Request::get("/")).expect_status(200);
    host.ask(Request::get("/")).expect_status(429);
    host.ask(as_alice("/")).expect_status(200);
}

#[test]
fn one_tenants_flood_takes_nothing_from_the_other() {
    let tenant = |name: &str| {
        Tenant::new(name)
            .tables("[buckets.burst]\nunit = \"requests\"\nquota = 1\nwindow = \"1h\"\nkey = [\"actor\"]")
            .app(App::guest("echo").route("buckets = [\"burst\"]"))
    };
    let host = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).start();
    host.ask(Request::get("/")).expect_status(200);
    for _ in 0..5 {
        host.ask(Request::get("/")).expect_status(429);
    }
    host.ask(Request::get("/").header("host", "globex.test")).expect_status(200);
}

#[test]
fn of_many_at_once_exactly_the_quota_passes() {
    let host = Case::guest("echo").quota(10).start();
    let statuses = std::thread::scope(|scope| {
        let all: Vec<_> = (0..30).map(|_| scope.spawn(|| host.ask(Request::get("/")).status())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 20, "{statuses:?}");
}

#[test]
fn more_requests_than_the_gate_has_instances_wait_for_their_turn() {
    // One instance for each gate, and a pool of sixteen for all: to make one for each request would exhaust it.
    let host = Case::guest("echo").capacity("instances = 64\ngate-instances = 1").start();
    let statuses = std::thread::scope(|scope| {
        let one = || (0..5).map(|_| host.ask(Request::get("/")).status()).collect::<Vec<_>>();
        let all: Vec<_> = (0..30).map(|_| scope.spawn(one)).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[test]
fn more_tenants_than_gates_can_be_kept_warm_are_all_served() {
    let tenants = (0..40).map(|n| Tenant::new(&format!("t{n}")).app(App::guest("echo")));
    let host = tenants.fold(Case::new(), Case::tenant).capacity("instances = 64\ngate-instances = 1").start();
    assert_eq!(host.running().troubles(), [""; 0]);
    for round in 0..2 {
        for n in 0..40 {
            let answer = host.ask(Request::get("/").header("host", format!("t{n}.test")));
            assert_eq!(answer.status(), 200, "round {round}, tenant {n}: {}", answer.text());
        }
    }
}

#[test]
fn gas_is_reserved_at_the_door_and_settled_with_what_was_used() {
    let host = Case::guest("echo")
        .tables("[buckets.gas]\nunit = \"gas\"\nquota = 10_000_000\nwindow = \"1h\"\nkey = [\"tenant\"]\nreserve = 9_000_000")
        .route("buckets = [\"gas\"]")
        .start();
    // Were the reserve not given back, the second would find 1,000,000 where it needs 9,000,000.
    for _ in 0..5 {
        host.ask(Request::get("/")).expect_status(200);
    }
}

#[test]
fn a_policy_that_errs_denies() {
    let erring = "@id(\"too-big\") permit(principal, action, resource) when { context.receivedAt + 9223372036854775807 > 0 };";
    let host = Case::guest("echo").policy(erring).start();
    let answer = host.ask(Request::get("/")).expect_problem(403, "denied").expect_audit("denied");
    assert!(answer.record().metadata("policy-error").is_some(), "{}", answer.record().0);
}

/// A tenant whose policy engine does as the path says, and one that has nothing to do with it.
fn with_a_hostile_policy(failure: &str) -> Host {
    let route = format!("failure = \"{failure}\"");
    Case::new()
        .tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(App::guest("echo").route(&route)))
        .tenant(Tenant::new("quiet").app(App::guest("echo")))
        .start()
}

/// Asks until the pause after a failure is over.
fn served_again(host: &Host) -> bool {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::time::Instant::now() < end {
        if host.ask(Request::get("/")).status() == 200 {
            return true;
        }
    }
    false
}

#[test]
fn a_policy_engine_that_fails_closes_its_own_tenants_routes_and_is_made_anew() {
    let host = with_a_hostile_policy("closed");
    host.ask(Request::get("/")).expect_status(200);
    for way in ["trap", "loop", "grow"] {
        let answer = host.ask(Request::get(format!("/{way}"))).expect_problem(503, "gate-failed");
        let reason =
            answer.expect_audit("refused:gate-failed").record().metadata("gate-error").unwrap().to_owned();
        assert!((1..=512).contains(&reason.chars().count()), "{way}: {reason}");
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
        assert!(served_again(&host), "after {way}");
    }
    let talk = host.ask(Request::get("/talk")).expect_problem(403, "denied");
    let said: usize = talk.record().policies().iter().map(|policy| policy.len()).sum();
    assert!(said <= 512, "{said} bytes in the record");
}

#[test]
fn a_policy_engine_that_fails_opens_a_route_that_says_so_and_the_record_tells() {
    let host = with_a_hostile_policy("open");
    for way in ["trap", "loop", "grow"] {
        let answer =
            host.ask(Request::get(format!("/{way}"))).expect_status(200).expect_audit("answered:200");
        assert_eq!(answer.record().metadata("gate"), Some("failed-open"), "{way}");
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
    }
    // It said no, and was not down: also an open route holds to that.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while host.ask(Request::get("/")).record().metadata("gate").is_some() {
        assert!(std::time::Instant::now() < end, "it is made anew");
    }
    host.ask(Request::get("/talk")).expect_status(403);
}

#[test]
fn many_requests_to_a_policy_engine_that_loops_leave_the_other_tenant_its_gate() {
    let host = with_a_hostile_policy("closed");
    let statuses = std::thread::scope(|scope| {
        let loops: Vec<_> =
            (0..16).map(|_| scope.spawn(|| host.ask(Request::get("/loop")).status())).collect();
        for _ in 0..20 {
            host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
        }
        loops.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(served_again(&host));
}

#[test]
fn a_policy_engine_that_can_not_be_configured_takes_its_own_tenant_away() {
    for way in ["trap", "loop"] {
        let host = Case::new()
            .tenant(Tenant::new("acme").own_policy("hostile-policy", way).app(App::guest("echo")))
            .tenant(Tenant::new("quiet").app(App::guest("echo")))
            .start();
        assert!(host.running().troubles().join("\n").contains("acme"), "{way}");
        host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
    }
}

#[test]
fn a_tenants_own_load_never_opens_its_gate() {
    let host = Case::new()
        .tenant(
            Tenant::new("acme")
                .limits("cpu-ms = 300\nfuel = 100_000_000_000\ngas = 200_000_000_000")
                .app(App::guest("spin_forever").route("path = \"/spin\""))
                .app(App::guest("echo").named("open").route("path = \"/open\"\nfailure = \"open\"")),
        )
        .tenant(Tenant::new("quiet").app(App::guest("echo")))
        .start();
    std::thread::scope(|scope| {
        let spinning: Vec<_> =
            (0..40).map(|_| scope.spawn(|| host.ask(Request::get("/spin")).status())).collect();
        for _ in 0..10 {
            host.ask(Request::get("/").header("host", "quiet.test")).expect_status(200);
            let answer = host.ask(Request::get("/open"));
            assert_eq!(answer.record().metadata("gate"), None, "{}", answer.record().0);
        }
        let statuses: Vec<u16> = spinning.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| [503, 504].contains(status)), "{statuses:?}");
    });
}
