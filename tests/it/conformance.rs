//! The conformance corpus (`tests/conformance/vectors`), against a server, a Cloudflare worker and a Fastly service: the
//! same configuration, the same signed bytes, the same requests in the same order.
//!
//! A platform that says something else than the file fails, unless the file admits it with a reason; and a difference
//! that is admitted and is not there fails, too.

use std::collections::BTreeMap;
use testkit::{
    Answer, Body, Case, Expect, Host, Platform, Vector, Vectors, Viceroy, Wanted, Worker, build_bundle,
    contains, guest,
};
use tollgate_derive::record::Record;
use tollgate_trust::{Blake3, Sha256};

/// A platform with the site of one file.
enum Running {
    Server(Host),
    Cloudflare(Worker),
    Fastly(Viceroy),
}

impl Running {
    fn send(&self, vector: &Vector) -> Answer {
        match self {
            Self::Server(host) => host.send(vector.request()),
            Self::Cloudflare(worker) => worker.send(vector.request()),
            Self::Fastly(service) => service.send(vector.request()),
        }
    }

    fn platform(&self) -> Platform {
        match self {
            Self::Server(_) => Platform::Server,
            Self::Cloudflare(_) => Platform::Cloudflare,
            Self::Fastly(_) => Platform::Fastly,
        }
    }
}

/// Headers of the connection, of the framing, and of the moment.
const OF_THE_MOMENT: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// Fields of a record that say the same everywhere, unless a difference is admitted.
const SAID_ALIKE: [&str; 6] = ["action", "actor", "client_address", "policies", "resource", "tenant"];

/// What was said, in the words of a file.
struct Said {
    status: u16,
    verdict: String,
    body: String,
    is_cut: bool,
    headers: BTreeMap<String, String>,
    record: serde_json::Value,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        let id = answer.request_id_or_none().filter(|id| !id.is_empty());
        let plain = |text: &str| id.as_ref().map_or_else(|| text.to_owned(), |id| text.replace(id, "ID"));
        let headers = answer.headers().iter().filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()));
        let value = |name: &str, text: &str| match name {
            // How many seconds are left depends on when it is asked.
            "ratelimit" => text.split(";t=").next().unwrap_or_default().to_owned(),
            "retry-after" if answer.status() == 429 => "SECONDS".to_owned(),
            _ => plain(text),
        };
        let headers = headers.map(|(name, text)| {
            (name.to_string(), value(name.as_str(), &String::from_utf8_lossy(text.as_bytes())))
        });
        let records = answer.records();
        assert!(records.len() <= 1, "{} records of one request", records.len());
        Self {
            status: answer.status(),
            verdict: records.first().map_or_else(|| "none".to_owned(), testkit::Record::outcome),
            body: untraced(&plain(&answer.text())),
            is_cut: matches!(answer.body(), Body::Cut(_)),
            headers: headers.collect(),
            record: records.first().map_or(serde_json::Value::Null, |record| record.0.clone()),
        }
    }

    /// Each thing that is not as expected.
    fn against(&self, expect: &Expect) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |what: &str, right: bool, is: String| {
            if !right {
                wrong.push(format!("{what} is {is}"));
            }
        };
        let Expect { status, verdict, problem, body, cut, headers, record, gas } = expect;
        check("the status", status.is_none_or(|status| status == self.status), self.status.to_string());
        check("the verdict", verdict.as_ref().is_none_or(|it| *it == self.verdict), self.verdict.clone());
        check("the body", body.as_ref().is_none_or(|it| *it == self.body), format!("{:?}", self.body));
        check("cut", self.is_cut == cut.unwrap_or(false), self.is_cut.to_string());
        let of_problem = problem.as_ref().is_none_or(|code| self.is_problem(code));
        check("the problem document", of_problem, format!("{:?}", self.body));
        check(
            "the headers",
            headers.as_ref().is_none_or(|it| *it == self.headers),
            format!("{:?}", self.headers),
        );
        for (key, value) in record {
            let right = serde_json::to_value(value).is_ok_and(|value| value == self.record[key.as_str()]);
            check(&format!("`{key}` of the record"), right, self.record[key.as_str()].to_string());
        }
        let used = &self.record["usage"]["gas"];
        check("the gas", gas.is_none_or(|gas| used.as_u64() == Some(gas)), used.to_string());
        wrong
    }

    fn is_problem(&self, code: &str) -> bool {
        let Ok(document) = serde_json::from_str::<serde_json::Value>(&self.body) else { return false };
        document["type"] == format!("https://tollgate.dev/problems/{code}")
            && document["status"] == self.status
            && self.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json")
            && self.headers.get("cache-control").is_some_and(|cached| cached == "no-store")
    }
}

/// With `TRACE` for the ids of a trace, which are new for each request.
fn untraced(body: &str) -> String {
    let Some((before, rest)) = body.split_once("traceparent: ") else { return body.to_owned() };
    let after = rest.find('\n').map_or("", |end| &rest[end..]);
    format!("{before}traceparent: TRACE{after}")
}

/// Each thing that a platform says otherwise than the file has it. What a record says of who did what is held against
/// the server's.
fn judged(vector: &Vector, platform: Platform, said: &Said, server: &Said) -> Vec<String> {
    let (expect, difference) = vector.expected(platform);
    let mut wrong = said.against(&expect);
    for key in SAID_ALIKE.into_iter().filter(|key| !expect.record.contains_key(*key)) {
        if expect.verdict.as_deref() != Some("none") && said.record[key] != server.record[key] {
            wrong.push(format!("`{key}` of the record is {}", said.record[key]));
        }
    }
    if let Some(difference) = difference.filter(|_| said.against(&vector.expect).is_empty()) {
        wrong.push(format!("it does not differ any more, though `{}`", difference.because));
    }
    wrong
}

/// Holds one file against all three.
#[track_caller]
fn conforms(subject: &str) {
    let vectors = Vectors::read(subject);
    let case = vectors.case();
    let platforms = [
        Running::Server(case.start()),
        Running::Cloudflare(case.worker()),
        Running::Fastly(case.write().at_the_edge()),
    ];
    let mut wrong = Vec::new();
    for vector in &vectors.request {
        let said = platforms.each_ref().map(|running| Said::of(&running.send(vector)));
        let [server, ..] = &said;
        for (running, said) in platforms.iter().zip(&said) {
            let place = format!("{subject}: `{}` on {:?}", vector.name, running.platform());
            let judged = judged(vector, running.platform(), said, server);
            wrong.extend(judged.into_iter().map(|it| format!("{place}: {it}")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} things are not as {subject}.toml has them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_difference_must_be_written_down_and_must_be_there() {
    let text = r#"
name = "a request"
send = { target = "/" }
expect = { status = 200, verdict = "answered:200" }
differs = [{ on = "fastly", because = "of a reason", expect = { status = 500, verdict = "none" } }]
"#;
    let vector: Vector = toml::from_str(text).unwrap();
    let said = |status: u16, verdict: &str| Said {
        status,
        verdict: verdict.to_owned(),
        body: String::new(),
        is_cut: false,
        headers: BTreeMap::new(),
        record: serde_json::Value::Null,
    };
    let (good, bad) = (said(200, "answered:200"), said(500, "none"));
    let judged = |platform, said| judged(&vector, platform, said, &good);
    assert_eq!(judged(Platform::Server, &good), Vec::<String>::new());
    assert_eq!(judged(Platform::Cloudflare, &bad), ["the status is 500", "the verdict is none"]);
    assert_eq!(judged(Platform::Fastly, &bad), Vec::<String>::new());
    let gone = judged(Platform::Fastly, &good);
    assert!(gone.last().unwrap().contains("does not differ any more, though `of a reason`"), "{gone:?}");
    let misspelt = text.replace("verdict = \"none\"", "veredict = \"none\"");
    assert!(toml::from_str::<Vector>(&misspelt).unwrap_err().to_string().contains("veredict"));
}

/// One story for each file, and one that there is no file without.
macro_rules! corpus {
    ($($story:ident: $subject:literal,)*) => {
        $(
            #[test]
            fn $story() {
                conforms($subject);
            }
        )*

        #[test]
        fn every_file_of_the_corpus_has_its_story() {
            let mut told = vec![$($subject.to_owned()),*];
            told.sort();
            assert_eq!(Vectors::subjects(), told);
        }
    };
}

corpus! {
    who_may_do_what_is_the_same_everywhere: "access",
    hosts_and_paths_have_one_spelling_everywhere: "spelling",
    a_request_finds_the_same_route_everywhere: "routes",
    quotas_and_limits_are_told_alike_everywhere: "limits",
    apps_get_and_give_the_same_everywhere: "apps",
}

#[test]
fn the_same_signed_bytes_run_on_all_three() {
    let site = two_apps().write();
    let parts = [
        ("gate", "gate/gate.wasm"),
        ("policy", "gate/policy.wasm"),
        ("limiter", "gate/limiter.wasm"),
        ("hello", "acme-hello.wasm"),
        ("echo", "acme-echo.wasm"),
    ];
    let signed = parts.map(|(role, file)| (role, std::fs::read(site.path().join(file)).unwrap()));
    assert_eq!(signed[3].1, std::fs::read(guest("hello-02")).unwrap());

    let cloudflare = build_bundle(&site, &Wanted::default());
    let built = site.build();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let fastly = Record::parse(&site.bundled("derivation.json")).unwrap();
    let service = site.bundled("bin/main.wasm");
    for (role, bytes) in &signed {
        let digest = Sha256::of(bytes);
        let has = |record: &Record| record.inputs.iter().any(|input| input.sha256 == digest);
        assert!(has(cloudflare.record()), "{role} on Cloudflare");
        assert!(has(&fastly), "{role} on Fastly");
        assert!(contains(&service, bytes), "{role} does not stand in the Fastly service as it was signed");
    }
    // A server says in each record what it ran.
    let server = two_apps().start();
    for (path, bytes) in [("/hello", &signed[3].1), ("/echo", &signed[4].1)] {
        let answer = server.ask(http::Request::get(path)).expect_status(200);
        assert_eq!(answer.record().metadata("component"), Some(Blake3::of(bytes).to_string().as_str()));
    }
}

fn two_apps() -> Case {
    let app = |name: &str, guest: &str| {
        testkit::App::guest(guest).named(name).route(&format!("path = \"/{name}\""))
    };
    Case::new().tenant(testkit::Tenant::new("acme").app(app("hello", "hello-02")).app(app("echo", "echo_02")))
}
