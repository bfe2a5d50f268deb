//! A changed configuration takes hold without a lost request; a bad one does not take hold.

use http::Request;
use testkit::Case;

#[test]
fn a_changed_file_takes_hold_and_a_bad_one_does_not() {
    let host = Case::guest("echo").start();
    host.ask(Request::get("/")).expect_status(200);
    let good = host.site().configuration();

    host.site().configure(&good.replace("host = \"acme.test\"", "host = \"moved.test\""));
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_problem(404, "no-route");
    host.ask(Request::get("/").header("host", "moved.test")).expect_status(200);

    host.site().configure(&good.replace("[host]", "[hots]"));
    let error = host.block_on(host.running().reload()).unwrap_err().to_string();
    assert!(error.contains("did you mean"), "{error}");
    host.ask(Request::get("/").header("host", "moved.test")).expect_status(200);
}

#[test]
fn a_key_that_is_removed_takes_its_apps_away_and_a_mistake_does_not() {
    let host = Case::guest("echo").start();
    let (good, trust) = (host.site().configuration(), host.site().path().join("trust.toml"));
    host.site().configure(&good.replace("acme-web.wasm", "not-there.wasm"));
    let error = host.block_on(host.running().reload()).unwrap_err().to_string();
    assert!(error.contains("not-there.wasm"), "{error}");
    host.ask(Request::get("/")).expect_status(200);

    host.site().configure(&good);
    let rules = std::fs::read_to_string(&trust).unwrap();
    std::fs::write(&trust, rules.replace("\"test:*\"", "\"other:*\"")).unwrap();
    host.block_on(host.running().reload()).unwrap();
    host.ask(Request::get("/")).expect_problem(503, "app-refused").expect_audit("refused:app-refused");
}

#[test]
fn no_request_is_dropped_while_the_house_is_changed() {
    let host = Case::guest("echo").start();
    let file = host.site().configuration();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..25).map(|_| host.ask(Request::get("/")).status()).collect::<Vec<_>>())
            })
            .collect();
        for round in 0..4 {
            host.site().configure(&format!("{file}\n# round {round}\n"));
            host.block_on(host.running().reload()).unwrap();
        }
        for client in clients {
            assert!(client.join().unwrap().iter().all(|status| *status == 200));
        }
    });
}
