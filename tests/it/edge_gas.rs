//! Gas in a Cloudflare worker, counted by the apps' own code: what a record says must be what the server's says.

use http::Request;
use testkit::{Answer, App, Case, Tenant, Wanted, build_bundle};
use tollgate_derive::Schedule;

fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

/// What a run has taken, as its record says.
fn taken(answer: &Answer) -> [(&'static str, u64); 4] {
    ["fuel", "gas", "host_calls", "memory_bytes"].map(|name| (name, answer.record().used(name)))
}

#[test]
fn a_request_takes_the_same_fuel_and_gas_in_a_worker_as_on_the_server() {
    let app = |guest: &str| App::guest(guest).named(guest).route(&format!("path = \"/{guest}\""));
    let case =
        Case::new().tenant(Tenant::new("acme").app(app("hello")).app(app("hello-02")).app(app("corpus")));
    let (host, worker) = (case.start(), case.metered_worker());
    let work = ["hash", "sort", "matrix", "json", "words", "calls", "sieve"];
    let work = work.map(|kind| format!("/corpus?kind={kind}"));
    let others =
        ["/hello", "/hello/a/longer/path", "/hello-02", "/hello-02?a=b", "/corpus"].map(str::to_owned);
    for path in others.iter().chain(&work) {
        let (ours, theirs) = (host.ask(get(path)), worker.ask(get(path)));
        assert_eq!((theirs.status(), theirs.text()), (ours.status(), ours.text()), "{path}");
        assert_eq!(taken(&theirs), taken(&ours), "{path}");
        assert!(theirs.record().used("fuel") > 1_000, "{path}");
        for limit in ["fuel", "gas"] {
            assert_eq!(theirs.record().limit(limit), ours.record().limit(limit), "{path}");
        }
        assert_eq!(theirs.record().metadata("gas-schedule"), ours.record().metadata("gas-schedule"));
    }
}

#[test]
fn an_endless_loop_in_a_worker_is_out_of_fuel_as_on_the_server() {
    for (limits, code) in [("fuel = 20_000_000", "out-of-fuel"), ("gas = 20_000_000", "out-of-gas")] {
        let case = Case::guest("spin_forever").limits(limits);
        let (ours, theirs) = (case.start().get("/"), case.metered_worker().ask(get("/")));
        for answer in [&ours, &theirs] {
            assert_eq!(answer.record().outcome(), format!("failed:{code}"));
            // Which of its ticks finds that the gas is spent is the server's to say; by then most of it is fuel.
            let fuel = answer.record().used("fuel");
            assert!(fuel == 20_000_000 || (code == "out-of-gas" && fuel > 15_000_000), "{fuel}");
        }
        let problem = |answer: Answer| {
            answer.expect_problem(502, code).text().split("instance").next().map(str::to_owned)
        };
        assert_eq!(problem(theirs), problem(ours));
    }
}

#[test]
fn a_loop_after_the_head_cuts_the_response_of_a_worker() {
    let worker = Case::guest("spin_forever").limits("fuel = 20_000_000").metered_worker();
    worker.ask(get("/?in=body")).expect_cut().expect_audit("failed:out-of-fuel");
}

#[test]
fn a_start_that_never_ends_is_out_of_fuel_in_a_worker_too() {
    let case = Case::guest("spin_in_start").limits("fuel = 20_000_000");
    for answer in [case.start().get("/"), case.metered_worker().ask(get("/"))] {
        let answer = answer.expect_problem(502, "out-of-fuel").expect_audit("failed:out-of-fuel");
        assert_eq!(answer.record().used("fuel"), 20_000_000);
    }
}

#[test]
fn a_quota_of_gas_is_kept_in_a_worker_that_meters() {
    let case = Case::guest("work")
        .tables(
            "[buckets.gas]\nunit = \"gas\"\nquota = 100_000\nwindow = \"1h\"\nkey = [\"actor\"]\nreserve = 1",
        )
        .route("buckets = [\"gas\"]");
    let (host, worker) = (case.start(), case.metered_worker());
    for status in [200, 429] {
        let asked = || get("/?rounds=20000");
        assert_eq!((host.ask(asked()).status(), worker.ask(asked()).status()), (status, status));
    }
}

#[test]
fn a_metered_bundle_says_which_charges_are_inside_and_changes_nothing_but_apps() {
    let site = Case::guest("hello-02").write();
    let metered = Wanted { gas: true, ..Wanted::default() };
    let [one, two, plain] =
        [&metered, &metered, &Wanted::default()].map(|wanted| build_bundle(&site, wanted));
    assert!(one == two, "the same inputs give the same bytes");
    let gas = one.record().gas.clone().expect("its schedule");
    assert_eq!((gas.schedule.as_str(), gas.blake3), (Schedule::default().id(), Schedule::default().digest()));
    assert_eq!(one.record().options["tenants.acme.apps.web.start-limit"], "1000000000");
    for output in &one.record().outputs {
        let is_app = output.path.starts_with("app-");
        let is_same = plain.record().output(&output.path) == Some(output);
        let is_about_all = ["bundle.js", "workerd.capnp"].contains(&output.path.as_str());
        assert_eq!(is_same, !is_app && !is_about_all, "{}", output.path);
        assert!(!is_app || output.verbatim.is_empty(), "{}", output.path);
    }
}

#[test]
#[ignore = "says what counting costs in V8: --run-ignored only -E 'test(what_counting_costs)' --no-capture"]
fn what_counting_costs_in_a_worker() {
    let case = Case::guest("corpus");
    let workers = [case.worker(), case.metered_worker()];
    for kind in ["hash", "sort", "matrix", "json", "words", "calls", "sieve"] {
        let path = format!("/?kind={kind}&rounds=10");
        let [plain, metered] = [0, 1].map(|place| {
            let ask = || {
                let begun = std::time::Instant::now();
                assert_eq!(workers[place].asked(get(&path)), 200);
                begun.elapsed()
            };
            (0..20).map(|_| ask()).min().unwrap()
        });
        let ratio = metered.as_secs_f64() / plain.as_secs_f64();
        println!("{kind}: {plain:?} as signed, {metered:?} counting, {ratio:.2} x");
    }
}
