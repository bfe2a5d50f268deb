//! What is Fastly's alone: numbered versions that can't be changed, the staging network, stores.

use super::{changes, raw, uploads, with_one};
use testkit::{Fault, Vendor};

#[test]
fn a_version_is_cloned_packed_equipped_validated_shown_and_activated() {
    let vendor = Vendor::fastly();
    with_one("fastly", &vendor);
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds().says("passed 1 checks");
    let at = |rest: &str| format!("PUT /service/SVC0/version/{rest}");
    assert_eq!(
        changes(&vendor),
        [at("2/clone"), at("3"), at("3/package"), at("3"), at("3/activate/staging"), at("3/activate")]
    );
    assert_eq!(vendor.history(), ["hello one", "hello two"]);
}

#[test]
fn the_first_version_gets_its_backends_and_stores() {
    let vendor = Vendor::fastly();
    let key = vendor.path().join("key");
    std::fs::write(&key, "a secret").unwrap();
    let put =
        vendor.command(&["secrets", "put", "ORIGIN_KEY"]).stdin(std::fs::File::open(key).unwrap()).output();
    assert!(put.unwrap().status.success());
    vendor.run(&["secrets", "list"]).succeeds().says("ORIGIN_KEY");
    vendor.bundle("one", "answers 200 hello one");
    vendor.deploy("one").succeeds();
    let (_, backends) = vendor.api(raw("GET", "/service/SVC0/version/2/backend"), "");
    assert_eq!(backends[0]["name"], "acme_api");
    assert_eq!(
        (&backends[0]["use_ssl"], &backends[0]["ssl_cert_hostname"]),
        (&true.into(), &"origin.example.com".into())
    );
    let (_, resources) = vendor.api(raw("GET", "/service/SVC0/version/2/resource"), "");
    let names: Vec<&str> =
        resources.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tollgate-limits", "tollgate-secrets"]);
    let (_, stores) = vendor.api(raw("GET", "/resources/stores/kv"), "");
    assert_eq!(stores["data"][0]["name"], "tollgate-limits-SVC0", "counts are one service's own");
}

#[test]
fn an_active_version_can_t_be_changed_and_a_draft_can() {
    let vendor = Vendor::fastly();
    with_one("fastly", &vendor);
    let comment = |number: u64| {
        let request = raw("PUT", &format!("/service/SVC0/version/{number}"));
        vendor.api(request.header("content-type", "application/x-www-form-urlencoded"), "comment=mine").0
    };
    assert_eq!((comment(1), comment(2)), (200, 422));
    // What was active once stays locked.
    vendor.bundle("two", "answers 200 hello two");
    vendor.deploy("two").succeeds();
    assert_eq!((comment(2), comment(3)), (422, 422));
}

#[test]
fn what_was_changed_by_hand_since_is_not_lost_with_a_bundle_from_before() {
    let vendor = Vendor::fastly();
    with_one("fastly", &vendor);
    vendor.fault(0, Fault::Meanwhile);
    vendor.run(&["status"]).succeeds();
    assert_eq!(vendor.live(), "somebody else's");
    vendor.calls();
    vendor.deploy("one").succeeds();
    let calls = vendor.calls();
    assert_eq!(uploads(&calls), 1, "{calls:?}");
    assert!(calls.contains(&"PUT /service/SVC0/version/3/clone".to_owned()), "{calls:?}");
}

#[test]
fn a_package_that_is_not_one_is_told_with_the_platform_s_words() {
    let vendor = Vendor::fastly();
    vendor.bundle_of(
        "one",
        &[("bin/main.wasm", "answers 200 hello".into()), ("fastly.toml", "name = 1".into())],
    );
    vendor.deploy("one").fails_with("fastly.toml of the bundle can't be read");
    let (status, answer) = vendor.api(raw("GET", "/service/SVC0/version/9/package"), "");
    assert_eq!((status, answer["msg"].as_str()), (404, Some("Record not found")));
}
