//! The gate at the edge, in Viceroy, with origins and apps behind it. What it says alike with the other platforms is in
//! the conformance corpus.
//!
//! An origin is a host of its own that lets everybody in.

use http::Request;
use http_body_util::Full;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use testkit::{App, Case, Host, Site, Tenant, Viceroy, contains, guest};
use tollgate_audit::{canonical, parse};
use tollgate_derive::Record;

mod apps;

const RULES: &str = r#"
@id("anyone-may-read")
permit(principal, action in Action::"read", resource);
@id("staff-may-write")
permit(principal in Group::"acme/staff", action in Action::"write", resource);
@id("nobody-may-see-secrets")
forbid(principal, action, resource) when { context.path like "/secret*" };
"#;

/// Where apps run: for `acme.test` and `globex.test`.
fn origin(guest: &str) -> Host {
    Case::guest(guest).tenant(Tenant::new("globex").app(App::guest(guest))).start()
}

/// One tenant whose app runs there, as it is configured for a server and for the edge.
fn behind_the_gate(guest: &str, origin: &Host) -> Case {
    Case::guest(guest).keys(&runs_at(origin))
}

/// The same with a small policy engine that permits everything, which Viceroy compiles at once.
fn let_in(guest: &str, origin: &Host) -> Case {
    let app = App::guest(guest).keys(&runs_at(origin));
    Case::new().tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(app))
}

fn runs_at(origin: &Host) -> String {
    format!("origin = \"http://{}\"", origin.address())
}

/// A bucket of this many requests an hour for each actor, which may be counted at the edge.
fn quota(case: Case, quota: u64) -> Case {
    case.tables(&format!(
        "[buckets.burst]\nquota = {quota}\nwindow = \"1h\"\nkey = [\"actor\"]\nconsistency = \"approximate\""
    ))
    .route("buckets = [\"burst\"]")
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let origin = origin("hello");
    let edge = let_in("hello", &origin).route("headers = [\"x-plan\"]").write().at_the_edge();
    let two_hosts = Request::get("/").header("host", "acme.test").header("host", "acme.test");
    assert_eq!(edge.ask(two_hosts).status(), 400);
    let no_text = http::HeaderValue::from_bytes(b"\xff").unwrap();
    edge.ask(Request::get("/").header("x-plan", no_text)).expect_problem(400, "bad-request");
}

#[test]
fn an_origin_gets_what_an_app_gets_and_nothing_that_a_client_forged() {
    let origin = origin("echo");
    let edge = let_in("echo", &origin).write().at_the_edge();
    let request = Request::post("/x/../y?z=1")
        .header("x-mine", "kept")
        .header("x-forwarded-host", "evil.test")
        .header("connection", "x-dropped")
        .header("x-dropped", "1");
    let answer = edge.send(request.body(Full::from("a body")).unwrap()).expect_status(200);
    let text = answer.text();
    assert!(text.starts_with("POST http://acme.test/y?z=1\n"), "{text}");
    for line in ["x-mine: kept", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "content-length: 6"]
    {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    assert!(!text.contains("evil") && !text.contains("x-dropped"), "{text}");
    assert!(text.ends_with("\na body"), "{text}");
    let record = answer.record();
    assert_eq!((record.used("bytes_in"), record.used("bytes_out")), (6, text.len() as u64));
}

#[test]
fn each_request_is_one_record_in_the_form_of_every_other_platform() {
    let origin = origin("hello");
    let edge = behind_the_gate("hello", &origin).policy(RULES).write().at_the_edge();
    edge.ask(Request::get("/")).expect_status(200).expect_audit("answered:200");
    edge.ask(Request::put("/")).expect_problem(403, "denied").expect_audit("denied");
    edge.ask(Request::get("/").header("host", "nobody.test")).expect_problem(404, "no-route");
    let lines = edge.record_lines();
    assert_eq!(lines.len(), 2, "no tenant, no record: {lines:#?}");
    for line in lines {
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(canonical(&entry).unwrap(), line.as_bytes());
    }
}

#[test]
fn one_after_the_other_exactly_the_quota_passes() {
    let origin = origin("hello");
    let edge = quota(let_in("hello", &origin), 5).write().at_the_edge();
    for n in (0..5).rev() {
        let answer = edge.ask(Request::get("/")).expect_status(200);
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"burst\";r={n};t=")));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"burst\";q=5;w=3600"));
    }
    for _ in 0..3 {
        edge.ask(Request::get("/")).expect_problem(429, "rate-limited").expect_audit("limited");
    }
}

#[test]
fn of_sixty_at_once_no_more_than_the_declared_bound_pass() {
    let origin = origin("hello");
    let edge = quota(let_in("hello", &origin), 10).write().at_the_edge();
    let statuses = std::thread::scope(|scope| {
        let all: Vec<_> = (0..60).map(|_| scope.spawn(|| edge.ask(Request::get("/")).status())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    let count = |status| statuses.iter().filter(|seen| **seen == status).count();
    println!(
        "of 60 at once with a quota of 10: {} passed, {} limited, {} not decided",
        count(200),
        count(429),
        count(503)
    );
    assert!((10..=20).contains(&count(200)), "approximate is at most twice the quota: {statuses:?}");
    assert_eq!(count(200) + count(429) + count(503), 60, "{statuses:?}");
    // Who lost too many races was refused, and the count is what it was.
    edge.ask(Request::get("/")).expect_problem(429, "rate-limited");
}

#[test]
fn tenants_of_one_service_have_policies_and_counts_of_their_own() {
    let origin = origin("hello");
    let tenant = |name: &str| {
        Tenant::new(name)
            .tables("[buckets.burst]\nquota = 1\nwindow = \"1h\"\nkey = []\nconsistency = \"approximate\"")
            .app(App::guest("hello").keys(&runs_at(&origin)).route("buckets = [\"burst\"]"))
    };
    let reading = "permit(principal, action in Action::\"read\", resource);";
    let case = Case::new().tenant(tenant("acme")).tenant(tenant("globex").policy(reading));
    let edge = case.write().at_the_edge();
    let globex = |request: http::request::Builder| request.header("host", "globex.test");
    edge.ask(globex(Request::put("/"))).expect_problem(403, "denied");
    edge.ask(Request::put("/")).expect_status(200);
    edge.ask(Request::get("/")).expect_problem(429, "rate-limited");
    edge.ask(globex(Request::get("/"))).expect_status(200);
    edge.ask(globex(Request::get("/"))).expect_problem(429, "rate-limited");
}

#[test]
fn bodies_stream_within_their_limits() {
    let origin = origin("big_body");
    let case = let_in("big_body", &origin);
    let edge = case.limits("request-body-bytes = 1000\nresponse-body-bytes = 300_000").write().at_the_edge();
    let answer = edge.ask(Request::get("/?n=250000&piece=1000")).expect_status(200);
    assert_eq!(answer.bytes(), 250_000);
    assert_eq!(answer.expect_audit("answered:200").record().used("bytes_out"), 250_000);
    let too_long = edge.ask(Request::get("/?n=400000&piece=1000")).expect_status(200).expect_cut();
    assert!(too_long.bytes() <= 300_000 + (64 << 10));
    assert_eq!(
        too_long.expect_audit("failed:response-too-large").record().limit("response-body-bytes").unwrap().1,
        300_000
    );
    let body = Full::from(vec![b'x'; 1_001]);
    edge.send(Request::post("/").body(body).unwrap()).expect_problem(413, "body-too-large");
}

/// An origin that says this after the status line, and breaks off.
fn breaks_off(says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{says}").as_bytes()).unwrap();
        }
    });
    address
}

/// A service in front of such an origin.
fn before_one_that_breaks_off(says: &'static str) -> Viceroy {
    let app = App::guest("hello").keys(&format!("origin = \"http://{}\"", breaks_off(says)));
    Case::new().tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(app)).write().at_the_edge()
}

#[test]
fn an_origin_that_breaks_off_never_looks_whole() {
    for says in
        ["content-length: 100000\r\n\r\nand so on", "transfer-encoding: chunked\r\n\r\n5\r\nhalf\n\r\n"]
    {
        let edge = before_one_that_breaks_off(says);
        for _ in 0..20 {
            // It may break off before the head has left, too.
            edge.ask(Request::get("/")).expect_cut();
            assert_eq!(edge.records().last().unwrap().outcome(), "failed:bad-response");
        }
    }
}

#[test]
fn an_origin_that_breaks_off_soon_is_told_as_one_every_time() {
    let edge = before_one_that_breaks_off("content-length: 10\r\n\r\nshort");
    // One sandbox answers all of them: what was lost in it once would be waited for.
    for _ in 0..100 {
        let answer = edge.ask(Request::get("/")).expect_problem(502, "bad-response");
        answer.expect_audit("failed:bad-response");
    }
}

#[test]
fn an_origin_that_is_not_there_is_502_and_recorded() {
    let origin = origin("hello");
    let case = let_in("hello", &origin);
    drop(origin.stop());
    let edge = case.write().at_the_edge();
    let answer = edge.ask(Request::get("/")).expect_problem(502, "origin-unreachable");
    answer.expect_audit("failed:origin-unreachable");
}

#[test]
fn a_part_that_traps_takes_its_own_request_with_it_and_nobody_gets_past() {
    let origin = origin("hello");
    let edge = let_in("hello", &origin).write().at_the_edge();
    edge.ask(Request::get("/")).expect_status(200);
    let before = origin.log().size();
    let trapped = edge.ask(Request::get("/trap"));
    assert_eq!(trapped.status(), 500);
    assert_eq!(origin.log().size(), before, "the origin was not asked");
    edge.ask(Request::get("/")).expect_status(200);
}

/// A site with everything at the edge, bundled.
fn bundled() -> Site {
    let case = quota(Case::guest("hello").keys("origin = \"https://origin.example\"").policy(RULES), 5);
    let site = case.write();
    let built = site.build();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    site
}

#[test]
fn a_bundle_is_the_same_bytes_each_time_and_says_what_it_is_made_of() {
    let site = bundled();
    let files = ["bin/main.wasm", "fastly.toml", "derivation.json"];
    let first = files.map(|file| site.bundled(file));
    assert!(site.build().status.success());
    assert!(files.map(|file| site.bundled(file)) == first, "two runs differ");

    let wasm = &first[0];
    let record = Record::parse(&first[2]).unwrap();
    let main = record.output("bin/main.wasm").unwrap();
    for part in ["gate", "policy", "limiter"] {
        let bytes = std::fs::read(guest(&format!("tollgate-{part}"))).unwrap();
        assert!(contains(wasm, &bytes), "the {part} does not stand in it as it was signed");
        let told = record.inputs.iter().find(|input| input.name == part).unwrap();
        assert_eq!(told.sha256, tollgate_trust::Sha256::of(&bytes));
        assert_eq!(told.blake3, tollgate_trust::Blake3::of(&bytes));
        let range = main.verbatim.iter().find(|range| range.input == part).expect(part);
        assert_eq!(&wasm[range.at as usize..][..range.bytes as usize], bytes.as_slice(), "{part}");
    }
    assert_eq!(main.sha256, tollgate_trust::Sha256::of(wasm));
    assert!(record.inputs.iter().any(|input| input.name == "tenants.acme.apps.web"));
    let manifest: toml::Table = String::from_utf8(first[1].clone()).unwrap().parse().unwrap();
    assert_eq!(manifest["setup"]["backends"]["acme_web"]["address"].as_str(), Some("origin.example"));
}

#[test]
fn what_the_edge_can_not_keep_is_refused_when_it_is_built() {
    let gas = "[buckets.gas]\nunit = \"gas\"\nquota = 1000\nwindow = \"1h\"\nreserve = 10\nconsistency = \"approximate\"";
    let exact = "[buckets.burst]\nquota = 1\nwindow = \"1h\"";
    let site = Case::guest("hello").tables(&format!("{gas}\n{exact}")).route("failure = \"open\"").write();
    let built = site.build();
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(!built.status.success());
    for problem in [
        "[tenants.acme.buckets.burst]: counts on Fastly are not exact",
        "[tenants.acme.buckets.gas]: nothing is metered on Fastly",
        "[tenants.acme.apps.web]: it is written for wasi:http 0.3",
        "[tenants.acme.routes.web]: a gate that traps",
    ] {
        assert!(said.contains(problem), "no `{problem}` in: {said}");
    }
    assert!(!site.path().join("dist").exists());
}

#[test]
fn a_part_that_nobody_signed_or_that_imports_too_much_is_not_bundled() {
    let unsigned = bundled();
    std::fs::write(unsigned.path().join("gate/gate.wasm"), b"\0asm").unwrap();
    let said = String::from_utf8_lossy(&unsigned.build().stderr).into_owned();
    assert!(said.contains("`gate.gate`"), "{said}");

    let tenant = Tenant::new("acme")
        .own_policy("tollgate-limiter", "")
        .app(App::guest("hello").keys("origin = \"https://origin.example\""));
    let said = String::from_utf8_lossy(&Case::new().tenant(tenant).write().build().stderr).into_owned();
    assert!(said.contains("a policy engine may import only"), "{said}");
}

#[test]
#[ignore = "says what a request costs in Viceroy: --run-ignored only -E 'test(what_a_request_at)' --no-capture"]
fn what_a_request_at_the_edge_costs() {
    let origin = origin("hello");
    let one = || behind_the_gate("hello", &origin).policy(RULES);
    // Of several tenants, no sandbox serves more than one request.
    let two = || one().tenant(Tenant::new("globex").app(App::guest("hello").keys(&runs_at(&origin))));
    // The same app in the service.
    let app = |keys: &str| Case::guest("hello-02").keys(keys).policy(RULES);
    for (kind, case) in [
        ("a sandbox that is used again", one()),
        ("a sandbox for each", two()),
        ("an app in a sandbox that is used again", app("mode = \"serial\"")),
        ("an app in a sandbox for each", app("")),
    ] {
        let edge: Viceroy = case.write().at_the_edge();
        for (what, method, status) in [("refusal", "PUT", 403), ("answer", "GET", 200)] {
            let ask = || edge.ask(Request::builder().uri("/").method(method)).status();
            assert_eq!(ask(), status);
            let (before, start) = (edge.cpu(), std::time::Instant::now());
            for _ in 0..200 {
                assert_eq!(ask(), status);
            }
            let (wall, cpu) = (start.elapsed() / 200, (edge.cpu() - before) / 200);
            println!("{kind}, one {what}: {wall:?} wall, {cpu:?} of Viceroy's CPU time");
        }
    }
}
