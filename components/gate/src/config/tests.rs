use super::*;
use crate::gate::tests::{config, quota};

const SECOND: u64 = 1_000_000_000;

fn wrong(config: GateConfig) -> Vec<(String, String)> {
    let wrong = Config::check(config).unwrap_err();
    wrong.into_iter().map(|one| (one.place.unwrap_or_default(), one.message)).collect()
}

#[track_caller]
fn says(config: GateConfig, place: &str, message: &str) {
    assert_eq!(wrong(config), [(place.to_owned(), message.to_owned())]);
}

fn with_quota(quota: Quota) -> GateConfig {
    GateConfig { quotas: vec![quota], routes: vec![], ..config() }
}

fn with_routes(routes: &[(&str, &[&str])]) -> GateConfig {
    let plan = |(route, buckets): &(&str, &[&str])| RoutePlan {
        route: (*route).to_owned(),
        buckets: buckets.iter().map(|name| (*name).to_owned()).collect(),
    };
    GateConfig { routes: routes.iter().map(plan).collect(), ..config() }
}

#[test]
fn a_bucket_that_a_route_names_must_be_there() {
    says(
        with_routes(&[("acme/cart", &["burst", "bursd"])]),
        "acme/cart",
        "the route `acme/cart` draws on the bucket `bursd`, which is not there: add it or drop its name",
    );
}

#[test]
fn a_route_names_each_bucket_once() {
    says(
        with_routes(&[("acme/cart", &["burst", "burst"])]),
        "acme/cart",
        "the route `acme/cart` draws on the bucket `burst` twice: name it once",
    );
}

#[test]
fn a_route_is_there_once() {
    says(
        with_routes(&[("acme/cart", &[]), ("acme/help", &[]), ("acme/cart", &["burst"])]),
        "acme/cart",
        "the route `acme/cart` is there twice: remove one or rename it",
    );
}

#[test]
fn a_route_has_a_tenant_and_a_name() {
    for route in ["cart", "/cart", "acme/", ""] {
        says(
            with_routes(&[(route, &[])]),
            route,
            &format!("the route `{route}` must be written as `tenant/route`"),
        );
    }
}

#[test]
fn a_bucket_is_there_once() {
    let quotas = vec![quota("burst", Unit::Requests, 1, 0), quota("burst", Unit::Requests, 2, 0)];
    says(
        GateConfig { quotas, routes: vec![], ..config() },
        "burst",
        "the bucket `burst` is there twice: remove one or rename it",
    );
}

#[test]
fn a_quota_and_a_window_have_bounds() {
    says(
        with_quota(quota("none", Unit::Requests, 0, 0)),
        "none",
        "the bucket `none` has a quota of 0: it must be at least 1",
    );
    for window in [0, 999_999, 366 * 86_400 * SECOND + 1] {
        let mut quota = quota("odd", Unit::Requests, 1, 0);
        quota.bucket.window = window;
        let message =
            format!("the bucket `odd` has a window of {window} ns: it must be between 1 ms and 366 days");
        says(with_quota(quota), "odd", &message);
    }
}

#[test]
fn a_name_that_could_break_a_header_is_refused() {
    for name in ["", "Burst", "a\"b", "a\r\nset-cookie: x", &"x".repeat(65)] {
        let message = format!(
            "the bucket name `{}` must be 1 to 64 lower-case letters, digits and dashes",
            name.escape_default()
        );
        says(with_quota(quota(name, Unit::Requests, 1, 0)), name, &message);
    }
}

#[test]
fn a_reserve_fits_its_quota() {
    says(
        with_quota(quota("work", Unit::Gas, 10, 11)),
        "work",
        "the bucket `work` reserves 11 gas of a quota of 10, which can never succeed: lower the reserve or raise the \
         quota",
    );
    Config::check(with_quota(quota("work", Unit::Gas, 10, 10))).unwrap();
    Config::check(with_quota(quota("count", Unit::Requests, 10, 11))).unwrap();
}

#[test]
fn a_key_field_is_named_once() {
    let mut quota = quota("burst", Unit::Requests, 1, 0);
    quota.key = vec![KeyField::App, KeyField::Actor, KeyField::App];
    says(with_quota(quota), "burst", "the bucket `burst` names a key field twice: name each once");
}

#[test]
fn a_store_has_a_name() {
    says(GateConfig { store: String::new(), ..config() }, "", "the gate has no store to count in: name one");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let quotas = vec![quota("none", Unit::Requests, 0, 0), quota("BAD", Unit::Gas, 1, 2)];
    let config = GateConfig { quotas, store: String::new(), ..config() };
    assert_eq!(wrong(config).len(), 6);
}
