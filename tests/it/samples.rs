//! Real guests that nobody shaped for this host: JavaScript, Python, Spin, and the samples in Rust.

use http::Request;
use testkit::{App, Case, Tenant};

#[test]
fn a_javascript_app_answers() {
    Case::guest("hello-js")
        .grants("files = \"none\"\nsockets = \"none\"\nhttp = { allow = [] }")
        .limits("memory-bytes = \"96MiB\"")
        .get("/")
        .expect_status(200)
        .expect_audit("answered:200");
}

#[test]
fn a_javascript_app_that_exports_the_handler_itself_is_used_again() {
    let host = Case::guest("handler-js")
        .grants("files = \"none\"\nsockets = \"none\"\nhttp = { allow = [] }")
        .limits("memory-bytes = \"96MiB\"")
        .keys("mode = \"serial\"")
        .start();
    let instance = || {
        let answer = host.ask(Request::get("/")).expect_status(200);
        answer.record().metadata("instance").unwrap().to_owned()
    };
    assert_eq!([instance(), instance(), instance()], ["fresh", "warm", "warm"]);
}

#[test]
fn a_python_app_answers() {
    Case::guest("hello-python")
        .grants("files = \"none\"\nsockets = \"none\"\nhttp = { allow = [] }")
        .limits("memory-bytes = \"96MiB\"\nfuel = 10_000_000_000\ngas = 20_000_000_000\ncpu-ms = 10_000")
        .get("/")
        .expect_status(200)
        .expect_audit("answered:200");
}

#[test]
fn a_spin_app_answers() {
    Case::guest("spin-hello").get("/").expect_status(200).expect_audit("answered:200");
}

#[test]
fn an_app_for_wasi_http_0_2_answers() {
    Case::guest("hello-02").get("/").expect_status(200).expect_audit("answered:200");
}

#[test]
fn the_counter_counts() {
    let host = Case::guest("counter").grants("keyvalue = { default = \"sqlite\" }").start();
    for _ in 0..3 {
        host.ask(Request::post("/")).expect_status(200);
    }
    host.ask(Request::get("/")).expect_status(200).expect_in_body("3");
}

#[test]
fn a_tenants_own_policy_engine_decides() {
    let tenant =
        Tenant::new("acme").own_policy("tenant-policy", "closed /internal\n").app(App::guest("echo"));
    let host = Case::new().tenant(tenant).start();
    host.ask(Request::get("/open")).expect_status(200).expect_audit("answered:200");
    host.ask(Request::get("/internal/x")).expect_problem(403, "denied").expect_audit("denied");
}
