//! The gate at the edge, in Viceroy: the same components and configuration, and the same answers as on a server.
//!
//! Each story has an origin, which is a host of its own that lets everybody in.

use http::Request;
use http_body_util::Full;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use testkit::{Answer, App, Case, Host, Site, Tenant, Viceroy, guest};
use tollgate_audit::{canonical, parse};
use tollgate_derive::Record;

/// SHA-256 of `secret-alice`, who is of the staff.
fn alice() -> String {
    let hash = tollgate_trust::Sha256::of(b"secret-alice");
    format!("[clients.alice]\ntoken-sha256 = \"{hash}\"\ngroups = [\"staff\"]")
}

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

/// What a client sees, but for what is of the moment: ids, the date, and the seconds until there is more.
fn seen(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let id = answer.request_id_or_none().unwrap_or_default();
    let plain = |text: &str| if id.is_empty() { text.to_owned() } else { text.replace(&id, "ID") };
    let headers =
        answer.headers().iter().filter(|(name, _)| !["date", "retry-after"].contains(&name.as_str()));
    let value = |name: &str, value: &str| match name {
        "ratelimit" => value.split(";t=").next().unwrap().to_owned(),
        _ => plain(value),
    };
    let headers =
        headers.map(|(name, text)| (name.to_string(), value(name.as_str(), text.to_str().unwrap())));
    (answer.status(), headers.collect(), plain(&answer.text()))
}

/// What a record says that does not depend on where the app ran and how long it took.
fn recorded(answer: &Answer) -> serde_json::Value {
    let mut record = answer.record().0.clone();
    let record_of = record.as_object_mut().unwrap();
    for key in ["time", "request_id", "trace_id", "usage", "limits", "metadata"] {
        assert!(record_of.remove(key).is_some(), "{key}");
    }
    record
}

fn as_alice(request: http::request::Builder) -> http::request::Builder {
    request.header("authorization", "Bearer secret-alice")
}

/// Makes a request, as one is needed for each side.
type Make = fn() -> http::request::Builder;

#[test]
fn the_same_request_is_answered_alike_on_a_server_and_at_the_edge() {
    let origin = origin("hello");
    let case = quota(behind_the_gate("hello", &origin).policy(RULES).tables(&alice()), 6);
    let case = case.route("headers = [\"x-plan\"]");
    let (server, edge) = (case.start(), case.write().at_the_edge());
    let get = || Request::get("/a/./b//../%63?x=1&y");
    let requests: [(&str, Make); 13] = [
        ("a plain one", || Request::get("/a/./b//../%63?x=1&y")),
        ("one by name", || as_alice(Request::get("/"))),
        ("a write by name", || as_alice(Request::put("/"))),
        ("a write by nobody", || Request::put("/")),
        ("a token that is wrong", || Request::delete("/").header("authorization", "Bearer secret-alicf")),
        ("a forbidden path", || as_alice(Request::get("/secret/plan"))),
        ("a forbidden path in disguise", || Request::get("/x/%2e%2e/%73ecret")),
        ("a host that is not there", || Request::get("/").header("host", "nobody.test")),
        ("a host in another spelling", || Request::get("/").header("host", "ACME.test.:80")),
        ("a path with two meanings", || Request::get("/a%2fb")),
        ("a path with a bad escape", || Request::get("/%zz")),
        ("a header that is not UTF-8", || {
            Request::get("/").header("x-plan", http::HeaderValue::from_bytes(b"\xff").unwrap())
        }),
        ("forged headers", || {
            Request::get("/").header("x-forwarded-for", "1.2.3.4").header("tollgate-request-id", "mine")
        }),
    ];
    for (name, request) in requests {
        let (here, there) = (server.ask(request()), edge.ask(request()));
        assert_eq!(seen(&here), seen(&there), "{name}");
    }
    // The server's listener says it in its own words.
    let two = || Request::get("/").header("host", "acme.test").header("host", "acme.test");
    assert_eq!((server.ask(two()).status(), edge.ask(two()).status()), (400, 400));
    // Once the bucket is empty.
    for _ in 0..3 {
        let (here, there) = (server.ask(get()), edge.ask(get()));
        assert_eq!(seen(&here), seen(&there));
    }
    let (here, there) = (server.ask(get()), edge.ask(get()));
    let limited = here.expect_problem(429, "rate-limited");
    assert_eq!(seen(&limited), seen(&there));
    let waits =
        [&limited, &there].map(|answer| answer.header("retry-after").unwrap().parse::<u64>().unwrap());
    assert!(waits[0].abs_diff(waits[1]) <= 30, "{waits:?}");
    for (name, request) in requests.into_iter().take(7) {
        assert_eq!(recorded(&server.ask(request())), recorded(&edge.ask(request())), "{name}");
    }
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

/// An origin that announces so many bytes, sends some of them and breaks off.
fn breaks_off(announced: usize, sent: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat()).unwrap();
        }
    });
    address
}

/// A service in front of an origin that announces so many bytes, sends fewer and breaks off.
fn before_one_that_breaks_off(announced: usize, sent: usize) -> testkit::Viceroy {
    let app = App::guest("hello").keys(&format!("origin = \"http://{}\"", breaks_off(announced, sent)));
    Case::new().tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(app)).write().at_the_edge()
}

#[test]
fn an_origin_that_breaks_off_never_looks_whole() {
    let edge = before_one_that_breaks_off(100_000, 20_000);
    edge.ask(Request::get("/")).expect_status(200).expect_cut().expect_audit("failed:bad-response");
}

#[test]
#[ignore = "was seen once to leave its client waiting, neither cut nor ended, with the record written: \
            --run-ignored only -E 'test(that_breaks_off_soon)'"]
fn an_origin_that_breaks_off_soon_never_looks_whole() {
    let edge = before_one_that_breaks_off(10, 5);
    let answer = edge.ask(Request::get("/"));
    // What had come is held back while it is read without a break, or is on its way already.
    match answer.status() {
        502 => answer.expect_problem(502, "bad-response"),
        _ => answer.expect_status(200).expect_cut(),
    }
    .expect_audit("failed:bad-response");
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

fn contains(whole: &[u8], part: &[u8]) -> bool {
    let head = &part[..16];
    let starts = whole.windows(16).enumerate().filter(|(_, window)| *window == head);
    starts.into_iter().any(|(at, _)| whole[at..].starts_with(part))
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
        "[tenants.acme.buckets.gas]: an origin's gas is not known here",
        "[tenants.acme.apps.web]: Fastly runs the gate and not the app",
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
#[ignore = "takes a while; says what a request costs in Viceroy"]
fn what_a_request_at_the_edge_costs() {
    let origin = origin("hello");
    let one = || behind_the_gate("hello", &origin).policy(RULES);
    // Of several tenants, no sandbox serves more than one request.
    let two = || one().tenant(Tenant::new("globex").app(App::guest("hello").keys(&runs_at(&origin))));
    for (kind, case) in [("a sandbox that is used again", one()), ("a sandbox for each", two())] {
        let edge: Viceroy = case.write().at_the_edge();
        for (what, method, status) in [("refusal", "PUT", 403), ("answer of an origin", "GET", 200)] {
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
