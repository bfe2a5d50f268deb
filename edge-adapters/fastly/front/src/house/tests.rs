use super::*;
use crate::{Client, Place};

/// One tenant with one route for every host.
pub(crate) fn settings() -> Settings {
    let route = Route {
        name: "web".into(),
        host: "*".into(),
        path: "/".into(),
        methods: Vec::new(),
        app: "web".into(),
        component: "00".into(),
        place: Place::Origin("acme_web".into()),
        buckets: vec!["burst".into()],
        headers: vec!["x-plan".into()],
        request_body_bytes: 1,
        response_body_bytes: 1,
    };
    let tenant = Tenant {
        name: "acme".into(),
        policy: "{}".into(),
        buckets: vec![Bucket { name: "burst".into(), quota: 5, window: 7, key: vec![KeyField::Actor] }],
        clients: vec![Client {
            name: "alice".into(),
            token_sha256: hex::encode(Sha256::digest(b"secret-alice")),
            groups: vec!["staff".into()],
        }],
        routes: vec![route],
    };
    Settings {
        log: "records".into(),
        notes: "notes".into(),
        output: "output".into(),
        counts: "counts".into(),
        tenants: vec![tenant],
    }
}

pub(crate) fn house(settings: &Settings) -> Result<House, SettingsError> {
    House::read(&serde_json::to_vec(settings).unwrap())
}

#[test]
fn a_route_leads_to_its_tenant_and_to_the_gate_that_is_configured_for_it() {
    let house = house(&settings()).unwrap();
    let entry = house.table.find("any.test", "/x", &Method::GET).unwrap();
    let place = Place::Origin("acme_web".into());
    assert_eq!((entry.tenant.name.as_str(), &entry.route.place), ("acme", &place));
    let gate = house.gate(&entry.tenant);
    assert_eq!(gate.store, "counts");
    assert_eq!(
        (gate.routes[0].route.as_str(), &gate.routes[0].buckets[..]),
        ("acme/web", &["burst".to_owned()][..])
    );
    assert_eq!((gate.quotas[0].bucket.quota, gate.quotas[0].bucket.window), (5, 7));
}

#[test]
fn hosts_are_matched_as_they_are_written() {
    for (written, pattern) in [
        ("*", HostPattern::Any),
        ("*.a.test", HostPattern::Below("a.test".into())),
        ("a.test", HostPattern::Exact("a.test".into())),
    ] {
        assert_eq!(host(written), pattern);
        assert_eq!(pattern.to_string(), written);
    }
}

#[test]
fn settings_of_another_form_are_refused() {
    assert!(matches!(House::read(b"{}"), Err(SettingsError::Form(_))));
    let text = serde_json::to_string(&settings()).unwrap().replace("\"quota\"", "\"quotas\"");
    assert!(matches!(House::read(text.as_bytes()), Err(SettingsError::Form(_))));
    let mut wrong = settings();
    wrong.tenants[0].routes[0].headers = vec!["not a header".into()];
    assert!(matches!(house(&wrong), Err(SettingsError::Value { what: "header", .. })));
    let mut twice = settings();
    let route = twice.tenants[0].routes[0].clone();
    twice.tenants[0].routes.push(route);
    assert!(matches!(house(&twice), Err(SettingsError::Collision { .. })));
}
