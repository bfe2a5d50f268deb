//! Apps in a Fastly service, behind the gate: what they get, give and may do, and what becomes of the sandbox.

use super::origin;
use http::Request;
use http_body_util::Full;
use std::io::{Read, Write};
use std::net::TcpStream;
use testkit::{App, Case, Tenant, Viceroy, contains};

/// One tenant with this app in the service, and a small policy engine that permits everything.
fn in_the_service(app: App) -> Case {
    Case::new().tenant(Tenant::new("acme").own_policy("hostile-policy", "").app(app))
}

/// An app that does what its path says.
fn ways() -> App {
    App::guest("ways_02").grants("http = { allow = [] }")
}

#[test]
fn an_app_streams_both_ways_behind_the_gate() {
    let case = in_the_service(App::guest("echo_02"));
    let edge =
        case.limits("request-body-bytes = 2_000_000\nresponse-body-bytes = 2_000_000").write().at_the_edge();
    let body = "0123456789abcdef".repeat(50_000);
    let answer = edge.send(Request::post("/").body(Full::from(body.clone())).unwrap()).expect_status(200);
    assert!(answer.text().ends_with(&body), "{} bytes came back", answer.bytes());
    let record = answer.expect_audit("answered:200");
    let used = |name| record.record().used(name);
    assert_eq!((used("bytes_in"), used("bytes_out")), (body.len() as u64, record.bytes() as u64));
    assert_eq!(record.record().metadata("mode"), Some("fresh"));
}

#[test]
fn what_an_app_has_said_goes_out_when_it_waits() {
    let edge = in_the_service(ways()).write().at_the_edge();
    let mut stream = TcpStream::connect(edge.address()).unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut came = Vec::new();
    while !contains(&came, b"one\n") {
        let mut piece = [0; 4_096];
        let bytes = stream.read(&mut piece).unwrap();
        assert_ne!(bytes, 0, "it ended: {}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&piece[..bytes]);
    }
    assert!(!contains(&came, b"two\n"), "the second piece came with the first");
    stream.read_to_end(&mut came).unwrap();
    assert!(contains(&came, b"two\n"), "{}", String::from_utf8_lossy(&came));
}

#[test]
fn an_app_that_answers_badly_is_told_as_on_a_server() {
    let edge = in_the_service(ways()).limits("response-body-bytes = 1000").write().at_the_edge();
    for path in ["/short", "/long"] {
        edge.ask(Request::get(path)).expect_problem(502, "bad-response").expect_audit("failed:bad-response");
    }
    let large = edge.ask(Request::get("/large")).expect_problem(502, "response-too-large");
    large.expect_audit("failed:response-too-large");
    edge.ask(Request::get("/error")).expect_problem(502, "error-code").expect_audit("failed:error-code");
    let silent = in_the_service(App::guest("bombs_02")).write().at_the_edge();
    silent
        .ask(Request::get("/?kind=silent"))
        .expect_problem(502, "no-response")
        .expect_audit("failed:no-response");
    silent.ask(Request::get("/?kind=unfinished")).expect_problem(502, "trap").expect_audit("failed:trap");
}

#[test]
fn an_app_that_traps_takes_its_own_request_with_it() {
    // With the house's policy engine: the small one has a way of its own with `/trap`.
    let edge = Case::new().tenant(Tenant::new("acme").app(ways())).write().at_the_edge();
    assert_eq!(edge.ask(Request::get("/trap")).status(), 500);
    edge.ask(Request::get("/cut")).expect_status(200).expect_cut().expect_audit("interrupted");
    edge.ask(Request::get("/")).expect_status(200).expect_audit("answered:200");
    // Each has its one record, also where nobody was left to tell the client which it is.
    let resources: Vec<String> =
        edge.records().iter().map(|record| record.text("resource").to_owned()).collect();
    assert_eq!(resources, ["/", "/trap", "/cut"].map(|path| format!("acme/web/web acme.test {path}")));
}

#[test]
fn an_instance_serves_as_many_requests_as_its_mode_says() {
    let counted = |keys: &str| {
        let edge = in_the_service(ways().keys(keys)).write().at_the_edge();
        (0..5).map(|_| edge.ask(Request::get("/count")).expect_status(200).text()).collect::<String>()
    };
    assert_eq!(counted(""), "1\n1\n1\n1\n1\n");
    assert_eq!(counted("mode = \"serial\"\nreuse = 3"), "1\n2\n3\n1\n2\n");
}

#[test]
fn an_app_asks_the_origins_that_it_was_granted_and_as_often_as_it_may() {
    let origin = origin("hello");
    let app = App::guest("ways_02").grants(&format!(
        "http = {{ allow = [\"http://{}\"], networks = [\"127.0.0.0/8\"] }}",
        origin.address()
    ));
    // The origin's route is for `acme.test`, and the app asks for an address.
    let asked =
        |edge: &Viceroy, url: &str| edge.ask(Request::get(format!("/ask?to={url}"))).expect_status(200);
    let edge = in_the_service(app.clone()).write().at_the_edge();
    let there = asked(&edge, &format!("http://{}/x", origin.address()));
    assert!(there.text().starts_with("404 with "), "{}", there.text());
    assert_eq!(there.record().limit("outgoing-requests"), Some((1, 32)));
    for elsewhere in ["http://127.0.0.1:1/", "https://evil.example.com/", "http://u@127.0.0.1/"] {
        let text = asked(&edge, elsewhere).text();
        assert!(text.starts_with("ErrorCode::HttpRequest"), "{text}");
    }
    let edge = in_the_service(app.keys("limits = { outgoing-requests = 0 }")).write().at_the_edge();
    let none = asked(&edge, &format!("http://{}/x", origin.address()));
    assert_eq!(none.text(), "ErrorCode::ConnectionLimitReached\n");
}

#[test]
fn what_an_app_prints_are_lines_of_its_own_and_nobody_elses() {
    let edge = in_the_service(ways().keys("limits = { log-lines = 1 }")).write().at_the_edge();
    let answer = edge.ask(Request::get("/print")).expect_status(200);
    let lines = edge.lines("tollgate-output");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["text"], &line["stream"], &line["app"]),
        (&"a line".into(), &"stdout".into(), &"acme/web".into())
    );
    assert_eq!(line["request_id"], answer.request_id());
    assert_eq!(answer.record().limit("log-lines"), Some((2, 1)));
}

#[test]
fn what_an_app_asks_and_can_not_have_is_refused_when_it_is_built() {
    let refused = |case: Case, reason: &str| {
        let said = String::from_utf8_lossy(&case.write().build().stderr).into_owned();
        assert!(said.contains(reason), "no `{reason}` in: {said}");
    };
    let with = |keys: &str| in_the_service(App::guest("hello-02").keys(keys));
    refused(with("limits = { fuel = 5_000, cpu-ms = 20 }"), "`fuel` can't be set here");
    refused(with("limits = { fuel = 5_000, cpu-ms = 20 }"), "`cpu-ms` can't be set here");
    refused(with("mode = \"concurrent\""), "one instance has one request at a time here");
    let many = "http = { allow = [\"https://*.example.com\"] }";
    refused(
        in_the_service(App::guest("hello-02").grants(many)),
        "`https://*.example.com:443` stands for many",
    );
    let closed = "clocks = false\nhttp = { allow = [] }";
    refused(in_the_service(App::guest("ways_02").grants(closed)), "was not granted: add `clocks = true`");
    let files = App::guest("hello-js").grants("files = \"none\"\nsockets = \"none\"\nhttp = { allow = [] }");
    refused(in_the_service(files), "which the Fastly adapter does not have");
    let tenant = |name: &str| Tenant::new(name).app(App::guest("hello-02"));
    refused(
        Case::new().tenant(tenant("acme")).tenant(tenant("globex")),
        "a sandbox holds the apps of one tenant",
    );
}
