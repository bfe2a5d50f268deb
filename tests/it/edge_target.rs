//! `tollgate check --target`: what a platform can run and keep, told before anything is built for it.

use serde_json::Value;
use std::process::Output;
use testkit::{Case, Site, binary, guest};
use tollgate_derive::Target;
use tollgate_derive::report::offers;
use tollgate_runtime::Inspection;

fn check(arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(binary());
    command.args(["check", "--target"]).args(arguments).output().expect("the host's binary")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_report_for_the_server_promises_what_the_host_links() {
    for import in [
        "wasi:http/types@0.2.6",
        "wasi:http/types@0.3.0",
        "wasi:http/types@0.9.0",
        "wasi:http/client@0.3.0",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:http/handler@0.3.0",
        "wasi:io/streams@0.2.6",
        "wasi:cli/stdout@0.3.0",
        "wasi:clocks/wall-clock@0.2.6",
        "wasi:random/random@0.1.0",
        "wasi:filesystem/types@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:keyvalue/watch@0.2.0-draft2",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:config/store@0.2.0",
        "fastly:compute/log@0.1.0",
        "acme:own/thing@1.0.0",
    ] {
        let bytes = wat::parse_str(format!(r#"(component (import "{import}" (instance)))"#)).unwrap();
        let known = Inspection::of(&bytes).unwrap().imports[0].known;
        assert_eq!(offers(Target::Server, import).is_enough(), known, "{import}");
    }
}

#[test]
fn a_component_is_held_against_what_each_platform_has() {
    let path = |name: &str| guest(name).display().to_string();
    for (name, target, fits, line) in [
        ("hello-02", "server", true, "server: fits"),
        ("hello-02", "cloudflare", true, "cloudflare: fits"),
        ("hello-02", "fastly", true, "fastly: fits"),
        ("hello", "cloudflare", true, "wasi:http/types@0.3.0"),
        ("hello", "fastly", false, "NO. It is there in another version"),
        ("files", "cloudflare", false, "NO. The platform has no files"),
        ("counter", "fastly", false, "NO. Apps on Fastly have no store"),
    ] {
        let output = check(&[target, &path(name)]);
        assert_eq!(output.status.code(), Some(i32::from(!fits)), "{name} on {target}: {}", told(&output));
        assert!(told(&output).contains(line), "{}", told(&output));
    }
}

#[test]
fn a_configuration_is_held_against_a_platform_with_its_quotas_and_routes() {
    let case = Case::guest("hello-02").quota(5).route("failure = \"open\"");
    let site: Site = case.write();
    let file = site.file().display().to_string();
    let on = |target: &str| check(&[target, "--config", &file, "--json"]);
    let [server, cloudflare, fastly] = ["server", "cloudflare", "fastly"].map(on);
    assert!(server.status.success() && cloudflare.status.success());
    assert_eq!(fastly.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&fastly.stdout).unwrap();
    assert_eq!((&report["fits"], &report["components"][0]["fits"]), (&false.into(), &true.into()));
    let asked = |place: &str| {
        let all = report["settings"].as_array().unwrap();
        all.iter().find(|asked| asked["place"] == place).unwrap_or_else(|| panic!("no {place} in {report}"))
    };
    let bucket = asked("tenants.acme.buckets.burst");
    assert_eq!((&bucket["demand"], &bucket["offer"]), (&"exact-counts".into(), &"missing".into()));
    assert!(bucket["note"].as_str().unwrap().contains("consistency"), "{bucket}");
    assert_eq!(asked("tenants.acme.routes.web")["offer"], "missing");
}

#[test]
fn an_app_that_runs_at_its_origin_may_import_what_fastly_does_not_have() {
    let fits = |case: Case| {
        let site = case.write();
        check(&["fastly", "--config", &site.file().display().to_string()]).status.success()
    };
    assert!(!fits(Case::guest("hello")));
    assert!(fits(Case::guest("hello").keys("origin = \"https://origin.example\"")));
}

#[test]
fn what_is_not_a_component_can_not_be_told_about() {
    let output = check(&["server", "/dev/null"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't be measured"));
    assert_eq!(check(&["mars", "/dev/null"]).status.code(), Some(2));
}
