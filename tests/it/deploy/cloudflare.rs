//! What is Cloudflare's alone: shares of traffic, classes of Durable Objects, secrets in versions.

use super::{changes, in_shares, raw, uploads, with_one};
use testkit::{App, Case, Fault, Tenant, Vendor, Wanted, Worker, build_bundle};

#[test]
fn the_first_deployment_brings_classes_secrets_and_all_traffic_at_once() {
    let vendor = Vendor::cloudflare();
    vendor.bundle("one", "answers 200 hello one");
    std::fs::write(vendor.path().join("audit.key"), "a secret\n").unwrap();
    let ran = vendor.run(&["deploy", "one", "--secret", "AUDIT_KEY=audit.key"]).succeeds();
    assert!(!ran.text.contains("a secret"), "{}", ran.text);
    assert_eq!(vendor.history(), ["hello one"]);
    let changes = changes(&vendor);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("PUT ") && changes[0].contains("/scripts/shop?"), "{changes:?}");
    vendor.run(&["secrets", "list"]).succeeds().says("AUDIT_KEY");
}

#[test]
fn a_version_is_shown_to_nobody_and_then_given_its_shares() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds().says("shifted 10 %").says("shifted 100 %");
    let shares = [
        "hello one",
        "hello one 100, hello two 0",
        "hello one 90, hello two 10",
        "hello one 50, hello two 50",
        "hello two",
    ];
    let plain: Vec<String> = vendor.history().iter().map(|traffic| traffic.replace(" %", "")).collect();
    assert_eq!(plain, shares);
}

#[test]
fn an_answer_of_the_old_version_is_not_taken_for_one_of_the_new() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.lag(2);
    vendor.bundle("bad", "answers 500 oops");
    vendor.deploy("bad").fails_with("status 500 in place of 200");
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds();
    assert_eq!(vendor.live(), "hello two");
}

#[test]
fn a_bundle_that_was_live_before_is_found_and_not_sent_again() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds();
    vendor.calls();
    vendor.deploy("one").succeeds().says("nothing to upload");
    assert_eq!(uploads(&vendor.calls()), 0);
    assert_eq!(vendor.live(), "hello one");
}

#[test]
fn after_a_secret_has_changed_a_version_from_before_is_not_taken_again() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    let mut command = vendor.command(&["secrets", "put", "AUDIT_KEY"]);
    std::fs::write(vendor.path().join("new.key"), "a new secret\n").unwrap();
    let key = std::fs::File::open(vendor.path().join("new.key")).unwrap();
    let put = command.stdin(key).output().unwrap();
    assert!(put.status.success(), "{put:?}");
    vendor.calls();
    vendor.deploy("one").succeeds();
    assert_eq!(uploads(&vendor.calls()), 1, "the version from before has the old secret");
    vendor.places(in_shares("cloudflare"));
    // While a newer version waits, the platform sets no secret.
    vendor.bundle("bad", "answers 500 oops");
    vendor.deploy("bad").fails_with("has all traffic again");
    let key = std::fs::File::open(vendor.path().join("new.key")).unwrap();
    let put = vendor.command(&["secrets", "put", "AUDIT_KEY"]).stdin(key).output().unwrap();
    let text = String::from_utf8_lossy(&put.stderr).into_owned();
    assert!(text.contains("the newest version of the worker does not have all traffic"), "{text}");
}

#[test]
fn without_a_journal_the_platform_says_which_version_came_before() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds();
    std::fs::remove_dir_all(vendor.path().join("deploy-state")).unwrap();
    vendor.run(&["rollback"]).succeeds();
    assert_eq!(vendor.live(), "hello one");
}

#[test]
fn a_deployment_in_shares_is_gone_on_with_on_another_machine() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    // Killed after each change, and gone on with: the upload, a share of 0 %, and one of 10 %.
    for _ in 0..3 {
        vendor.fault_at(|call| call.starts_with("POST"), Fault::HangAfter);
        assert!(vendor.deploy_killed("two"));
    }
    assert_eq!(vendor.live(), "hello one 90 %, hello two 10 %");
    std::fs::remove_dir_all(vendor.path().join("deploy-state")).unwrap();
    vendor.calls();
    vendor.deploy("two").succeeds().says("going on").says("nothing to upload");
    assert_eq!(vendor.live(), "hello two");
    assert_eq!(uploads(&vendor.calls()), 0);
}

#[test]
fn going_back_brings_the_secrets_of_that_day_back_too() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    let deploy = |bundle: &str| vendor.run(&["deploy", bundle, "--secret", "AUDIT_KEY=new.key"]);
    std::fs::write(vendor.path().join("new.key"), "a new secret\n").unwrap();
    vendor.bundle("bad", "answers 200 hello bad\nfails-with-traffic");
    deploy("bad").fails_with("has all traffic again");
    vendor.bundle("two", "answers 200 hello two");
    deploy("two").succeeds();
    vendor.run(&["rollback"]).succeeds();
    assert_eq!(vendor.live(), "hello one");
    // The platform asks before it does that, by a refusal.
    let one = "{\"strategy\":\"percentage\",\"versions\":[{\"version_id\":\"00000001-0000-4000-8000-000000000000\",\"percentage\":100}]}";
    let (status, answer) = vendor.api(raw("POST", "/accounts/acct0/workers/scripts/shop/deployments"), one);
    assert_eq!((status, answer["errors"][0]["code"].as_u64()), (400, Some(10_220)));
}

#[test]
fn a_change_of_durable_object_classes_is_refused_before_anything_is_sent() {
    let vendor = Vendor::cloudflare();
    with_one("cloudflare", &vendor);
    let one = vendor.path().join("one");
    let text = std::fs::read_to_string(one.join("wrangler.jsonc")).unwrap();
    let mut wrangler: serde_json::Value = serde_json::from_str(&text).unwrap();
    let more = serde_json::json!({"tag": "v2", "new_sqlite_classes": ["Shelf"]});
    wrangler["migrations"].as_array_mut().unwrap().push(more);
    let files = [("worker.js", "answers 200 hello two".to_owned()), ("wrangler.jsonc", wrangler.to_string())];
    vendor.bundle_of("two", &files);
    vendor.deploy("two").fails_with("migration `v1` is there, the bundle has `v2`");
    assert_eq!(changes(&vendor), [""; 0]);
    // The platform itself refuses it, with this code.
    let form = "--b\r\ncontent-disposition: form-data; name=\"metadata\"\r\n\r\n\
                {\"main_module\":\"worker.js\",\"bindings\":[],\"migrations\":{\"new_tag\":\"v2\",\"steps\":[]}}\r\n--b--\r\n";
    let upload = raw("POST", "/accounts/acct0/workers/scripts/shop/versions?bindings_inherit=strict")
        .header("content-type", "multipart/form-data; boundary=b");
    let (status, answer) = vendor.api(upload, form);
    assert_eq!((status, answer["errors"][0]["code"].as_u64()), (400, Some(10_211)));
}

#[test]
fn a_real_bundle_is_deployed_and_the_real_worker_answers_the_checks() {
    let site = Case::new().tenant(Tenant::new("acme").app(App::guest("hello-02").any_host())).write();
    let bundle = build_bundle(&site, &Wanted::default());
    let worker = Worker::start(site, &Wanted::default());
    let vendor = Vendor::cloudflare();
    // What the stand-in can't run it asks of workerd, which runs the same bundle: its script says where.
    let mut files: Vec<(&str, String)> = Vec::new();
    for (name, bytes) in bundle.files() {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match name.as_str() {
            "worker.js" => {
                files.push((name, format!("answers 200 hello\nasks {}\n{text}", worker.address())))
            }
            "wrangler.jsonc" => files.push((name, text)),
            _ => {}
        }
    }
    vendor.bundle_of("real", &files);
    vendor.deploy("real").succeeds().says("passed");
    vendor.places_with(
        "checks = [{ path = \"/\", body = \"hello\" }, { path = \"/a%2fb\", status = 400 }]",
        "",
    );
    files[0].1 += "// another";
    vendor.bundle_of("again", &files);
    vendor.deploy("again").succeeds().says("passed 2 checks");
}
