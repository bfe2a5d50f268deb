//! The gate and its apps as a Cloudflare worker, in the platform's own program. What it says alike with the other
//! platforms is in the conformance corpus.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testkit::{App, Case, Tenant, Wanted, Worker, build_bundle};
use tollgate_trust::Sha256;

const STAFF_ONLY: &str = r#"
@id("staff-may-act")
permit(principal in Group::"acme/staff", action, resource);
@id("nobody-may-see-secrets")
forbid(principal, action, resource) when { context.path like "/secret*" };
"#;

/// A client that is known, by `secret-alice`.
fn alice() -> String {
    let hash = Sha256::of(b"secret-alice").to_string();
    format!("[clients.alice]\ntoken-sha256 = \"{hash}\"\ngroups = [\"staff\"]")
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

fn as_alice(path: &str) -> http::request::Builder {
    Request::get(path).header("authorization", "Bearer secret-alice")
}

fn with_body(request: http::request::Builder, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    request.body(Full::new(body.into())).unwrap()
}

#[test]
fn of_sixty_at_once_exactly_the_quota_passes_a_worker() {
    let worker = Case::guest("hello-02").quota(10).worker();
    let statuses = std::thread::scope(|scope| {
        let all: Vec<_> = (0..60).map(|_| scope.spawn(|| worker.asked(get("/")))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 50, "{statuses:?}");
    assert_eq!(worker.log().verify().size, 60);
}

#[test]
fn counts_and_the_log_outlive_a_worker() {
    let worker = Case::guest("hello-02").quota(2).worker();
    worker.ask(get("/")).expect_status(200);
    worker.ask(get("/")).expect_status(200);
    let worker = Worker::again(worker.kill());
    worker.ask(get("/")).expect_problem(429, "rate-limited");
    assert_eq!(worker.log().verify().size, 3);
}

#[test]
fn one_tenants_flood_takes_nothing_from_the_other_in_a_worker() {
    let tenant = |name: &str| {
        Tenant::new(name)
            .tables("[buckets.burst]\nunit = \"requests\"\nquota = 1\nwindow = \"1h\"\nkey = [\"actor\"]")
            .app(App::guest("hello-02").route("buckets = [\"burst\"]"))
    };
    let worker = Case::new().tenant(tenant("acme")).tenant(tenant("globex")).worker();
    worker.ask(get("/")).expect_status(200);
    worker.ask(get("/")).expect_status(429);
    worker.ask(get("/").header("host", "globex.test")).expect_status(200);
}

#[test]
fn a_policy_engine_that_fails_closes_its_tenants_routes_in_a_worker_too() {
    let worker = Case::new()
        .tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(App::guest("hello-02")))
        .tenant(Tenant::new("quiet").app(App::guest("hello-02")))
        .worker();
    worker.ask(get("/")).expect_status(200);
    for way in ["/trap", "/grow"] {
        let answer = worker.ask(get(way)).expect_problem(503, "gate-failed");
        let reason = answer.expect_audit("refused:gate-failed");
        assert!(reason.record().metadata("gate-error").is_some(), "{way}");
        worker.ask(get("/").header("host", "quiet.test")).expect_status(200);
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while worker.asked(get("/")) != 200 {
        assert!(std::time::Instant::now() < end, "it is made anew");
    }
    worker.ask(get("/talk")).expect_problem(403, "denied");
}

#[test]
fn where_no_record_can_be_made_nothing_is_answered() {
    let worker = Case::guest("hello-02").policy(STAFF_ONLY).tables(&alice()).worker_with_key("no key at all");
    for request in [as_alice("/"), get("/"), as_alice("/secret")] {
        let answer = worker.unrecorded(request).expect_problem(503, "audit-unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(!answer.text().contains("hello"), "{}", answer.text());
    }
}

#[test]
fn a_bundle_is_the_same_each_time_and_names_the_signed_bytes() {
    let site = Case::guest("hello-02").quota(3).write();
    let [one, two] = [(); 2].map(|()| build_bundle(&site, &Wanted::default()));
    assert!(one == two, "the same inputs give the same bytes");
    let record = one.record();
    let paths: Vec<&String> = record.outputs.iter().map(|output| &output.path).collect();
    assert_eq!(paths, one.files().keys().collect::<Vec<_>>());
    assert!(record.outputs.iter().all(|output| output.sha256 == Sha256::of(&one.files()[&output.path])));
    let parts = [
        ("gate", "gate/gate.wasm"),
        ("tenants.acme.policy", "gate/policy.wasm"),
        ("limiter", "gate/limiter.wasm"),
        ("audit", "gate/audit.wasm"),
        ("tenants.acme.apps.web", "acme-web.wasm"),
    ];
    for (name, file) in parts {
        let signed = std::fs::read(site.path().join(file)).unwrap();
        let input = record.inputs.iter().find(|input| input.name == name).expect(name);
        assert_eq!(input.sha256, Sha256::of(&signed));
        assert!(input.release.is_some(), "{name}");
        let ranges = record.outputs.iter().flat_map(|output| &output.verbatim);
        let whole: Vec<_> = ranges.filter(|range| range.input == name).collect();
        assert!(!whole.is_empty(), "a module of {name} stands in what was signed");
        for range in whole {
            let core = record.outputs.iter().find(|output| output.verbatim.contains(range)).unwrap();
            let signed = &signed[range.offset as usize..][..range.bytes as usize];
            assert_eq!(signed, one.files()[&core.path].as_slice(), "{name}");
        }
    }
    let made =
        record.outputs.iter().filter(|output| output.path.ends_with(".wasm") && output.verbatim.is_empty());
    let made: Vec<&str> = made.filter_map(|output| output.path.split('/').nth(1)).collect();
    assert_eq!(
        made,
        ["gate.core8.wasm", "gate.glue1.wasm"],
        "what joins the gate's parts, and the glue's own"
    );
    assert_eq!(record.gas, None);
}

#[test]
fn what_the_platform_does_not_have_is_refused_when_the_bundle_is_made() {
    let refusal = |case: Case| testkit::try_bundle(&case.write(), &Wanted::default()).unwrap_err();
    let gas = Case::guest("hello-02").tables(
        "[buckets.gas]\nunit = \"gas\"\nquota = 10\nwindow = \"1h\"\nkey = [\"tenant\"]\nreserve = 1",
    );
    assert!(refusal(gas).contains("`gas` of tenant `acme` counts gas"));
    let files = Case::guest("files").grants("files = { directory = \".\" }");
    assert!(refusal(files).contains("this platform has no files"));
    let stores = Case::guest("counter");
    assert!(refusal(stores).contains("it was not granted: add `keyvalue"));
}

#[test]
fn an_origin_behind_the_gate_gets_what_was_let_in_and_nothing_else() {
    let origin = Case::guest("echo").any_host().start();
    let site = Case::guest("echo").policy(STAFF_ONLY).tables(&alice()).quota(2).write();
    let origins = [("acme/web", format!("http://{}", origin.address()))];
    let worker = Worker::start(site, &Wanted { origins: &origins, gas: false });
    worker.ask(get("/")).expect_problem(403, "denied");
    assert_eq!(origin.log().size(), 0, "it did not get there");
    let request = as_alice("/%61?b=c").method("POST").header("x-forwarded-for", "6.6.6.6");
    let answer = worker.send(with_body(request, "a body")).expect_status(200).expect_audit("answered:200");
    assert!(answer.text().ends_with("\n\na body"), "{}", answer.text());
    assert!(answer.text().contains("/a?b=c\n") && !answer.text().contains("6.6.6.6"), "{}", answer.text());
    worker.ask(as_alice("/")).expect_status(200);
    worker.ask(as_alice("/")).expect_problem(429, "rate-limited");
    assert_eq!(origin.log().size(), 2);
}

#[test]
fn apps_for_wasi_http_0_3_stream_both_ways_in_a_worker() {
    let case = Case::new().tenant(
        Tenant::new("acme")
            .app(App::guest("hello").named("hello").route("path = \"/hello\""))
            .app(App::guest("echo").named("echo").route("path = \"/echo\""))
            .app(App::guest("big_body").named("big").route("path = \"/big\"")),
    );
    let worker = case.worker();
    worker.ask(get("/hello")).expect_status(200).expect_body("hello from /hello (wasi:http 0.3, Rust)\n");
    let body = "0123456789abcdef".repeat(20_000);
    let answer = worker.send(with_body(Request::post("/echo"), body.clone())).expect_status(200);
    assert!(answer.text().ends_with(&body), "{} bytes came back", answer.bytes());
    assert_eq!(answer.expect_audit("answered:200").record().used("bytes_in"), body.len() as u64);
    let big = worker.ask(get("/big?n=3000000")).expect_status(200).expect_audit("answered:200");
    assert_eq!((big.bytes(), big.record().used("bytes_out")), (3_000_000, 3_000_000));
}

#[test]
fn a_response_that_breaks_off_in_a_worker_never_looks_whole() {
    let worker = Case::guest("trap_mid_body").worker();
    worker.ask(get("/")).expect_cut().expect_audit("failed:trap");
}

#[test]
fn an_app_that_fails_before_it_answers_is_a_problem_document_in_a_worker() {
    let case = Case::new().tenant(
        Tenant::new("acme")
            .app(App::guest("deep_recursion").named("recurses").route("path = \"/recurse\""))
            .app(
                App::guest("sleep_forever")
                    .named("sleeps")
                    .keys("limits = { deadline-ms = 300 }")
                    .route("path = \"/sleep\""),
            ),
    );
    let worker = case.worker();
    worker.ask(get("/recurse")).expect_problem(502, "stack-overflow").expect_audit("failed:stack-overflow");
    worker.ask(get("/sleep")).expect_problem(504, "deadline").expect_audit("failed:deadline");
}

#[test]
fn the_counter_counts_in_a_worker() {
    let worker = Case::guest("counter").grants("keyvalue = { default = \"sqlite\" }").worker();
    let statuses = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| worker.asked(Request::post("/")))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    assert_eq!(statuses, [200; 20]);
    worker.ask(get("/")).expect_status(200).expect_body("20\n");
}

#[test]
fn a_request_that_a_killed_worker_had_let_in_has_its_one_record() {
    let worker = Case::guest("sleep_forever").limits("deadline-ms = 5_000").worker();
    worker.begin(get("/"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let worker = Worker::again(worker.kill());
    // The gate waits until nobody can settle it any more.
    while !worker.log().has_begun() {
        assert!(std::time::Instant::now() < end, "it is recorded");
    }
    let records = worker.log().records();
    assert_eq!(records.iter().map(|record| record.outcome()).collect::<Vec<_>>(), ["interrupted"]);
}
