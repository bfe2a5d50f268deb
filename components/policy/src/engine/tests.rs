use super::*;
use crate::facts::{Actor, ActorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

mod equivalence;
mod refusals;

/// A plain request: an anonymous GET of `/` at acme's route `web/home`.
pub(super) fn facts() -> Facts {
    Facts {
        received_at: 1_795_000_000_123_456_789,
        tenant: "acme".into(),
        app: "web".into(),
        route: "home".into(),
        component: "ab".repeat(32),
        method: "GET".into(),
        scheme: "https".into(),
        host: "www.acme.example".into(),
        path: "/".into(),
        query: None,
        client_address: "203.0.113.7".into(),
        actor: Actor { id: "anonymous".into(), kind: ActorKind::Anonymous, groups: Vec::new() },
        headers: Vec::new(),
        body_length: None,
        trace_id: "0".repeat(32),
    }
}

pub(super) fn client(id: &str, groups: &[&str]) -> Actor {
    Actor { id: id.into(), kind: ActorKind::Client, groups: groups.iter().map(|&g| g.into()).collect() }
}

pub(super) fn config(policies: &str, entities: &Value) -> Vec<u8> {
    serde_json::to_vec(&json!({ "policies": policies, "entities": entities })).unwrap()
}

fn engine_with(policies: &str, entities: &Value) -> Engine {
    let mut engine = Engine::new();
    engine.configure(&config(policies, entities)).unwrap();
    engine
}

fn engine(policies: &str) -> Engine {
    engine_with(policies, &json!([]))
}

fn allow(policies: &[&str]) -> Verdict {
    Verdict::Allow(Reasons { policies: policies.iter().map(|&id| id.into()).collect(), errors: Vec::new() })
}

fn deny(policies: &[&str]) -> Verdict {
    Verdict::Deny(Reasons { policies: policies.iter().map(|&id| id.into()).collect(), errors: Vec::new() })
}

const OPEN: &str = r#"@id("open") permit(principal, action, resource);"#;

#[test]
fn before_the_first_configuration_everything_is_denied_with_an_error() {
    let Verdict::Deny(reasons) = Engine::new().decide(&facts()) else { panic!("allowed") };
    assert_eq!(reasons.errors, ["the policy engine is not configured"]);
}

#[test]
fn without_a_matching_permit_a_request_is_denied_and_no_policy_is_named() {
    assert_eq!(engine("").decide(&facts()), deny(&[]));
}

#[test]
fn a_group_from_the_facts_allows_its_members_only() {
    let engine = engine(r#"@id("staff") permit(principal in Group::"acme/staff", action, resource);"#);
    assert_eq!(engine.decide(&Facts { actor: client("ada", &["staff"]), ..facts() }), allow(&["staff"]));
    assert_eq!(engine.decide(&Facts { actor: client("ada", &["guests"]), ..facts() }), deny(&[]));
    assert_eq!(engine.decide(&facts()), deny(&[]));
}

#[test]
fn configured_group_parents_and_client_parents_count() {
    let entities = json!([
        { "uid": { "type": "Group", "id": "acme/oncall" }, "parents": [{ "type": "Group", "id": "acme/staff" }] },
        { "uid": { "type": "Client", "id": "acme/ada" }, "parents": [{ "type": "Group", "id": "acme/oncall" }] },
    ]);
    let scope = r#"@id("staff") permit(principal in Group::"acme/staff", action, resource);"#;
    let clause =
        r#"@id("staff") permit(principal, action, resource) when { principal in Group::"acme/staff" };"#;
    for policies in [scope, clause] {
        let engine = engine_with(policies, &entities);
        assert_eq!(engine.decide(&Facts { actor: client("bob", &["oncall"]), ..facts() }), allow(&["staff"]));
        assert_eq!(engine.decide(&Facts { actor: client("ada", &[]), ..facts() }), allow(&["staff"]));
        assert_eq!(engine.decide(&Facts { actor: client("ada", &["x"]), ..facts() }), allow(&["staff"]));
        assert_eq!(engine.decide(&Facts { actor: client("bob", &[]), ..facts() }), deny(&[]));
    }
}

#[test]
fn a_path_can_be_denied_and_forbid_wins_over_permit() {
    let engine = engine(&format!(
        r#"{OPEN} @id("no-admin") forbid(principal, action, resource) when {{ context.path like "/admin/*" }};"#
    ));
    assert_eq!(engine.decide(&facts()), allow(&["open"]));
    assert_eq!(engine.decide(&Facts { path: "/admin/users".into(), ..facts() }), deny(&["no-admin"]));
}

#[test]
fn deciding_policies_are_sorted_by_id() {
    let permits: String =
        ["b", "a", "c"].map(|id| format!("@id(\"{id}\") permit(principal, action, resource);")).concat();
    assert_eq!(engine(&permits).decide(&facts()), allow(&["a", "b", "c"]));
    assert_eq!(engine("permit(principal, action, resource);").decide(&facts()), allow(&["policy0"]));
}

#[test]
fn a_rule_that_fails_denies_although_a_permit_matched_and_says_why() {
    let overflow = "when { context.receivedAt * 9223372036854775807 > 0 }";
    for effect in ["permit", "forbid"] {
        let engine =
            engine(&format!("{OPEN}\n@id(\"broken\") {effect}(principal, action, resource) {overflow};"));
        let Verdict::Deny(reasons) = engine.decide(&facts()) else { panic!("allowed") };
        assert!(reasons.policies.is_empty());
        assert_eq!(reasons.errors.len(), 1);
        assert!(reasons.errors[0].starts_with("policy `broken` (line 2): "), "{reasons:?}");
        assert!(reasons.errors[0].contains("overflow"), "{reasons:?}");
    }
}

#[test]
fn addresses_are_matched_by_range_also_when_ipv4_hides_in_ipv6() {
    let engine = engine(
        r#"permit(principal, action, resource) when {
            context.clientAddress.isInRange(ip("10.0.0.0/8")) || context.clientAddress.isInRange(ip("2001:db8::/32"))
        };"#,
    );
    for (address, inside) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("11.0.0.1", false),
        ("::1", false),
        ("::10.1.2.3", false),
    ] {
        let verdict = engine.decide(&Facts { client_address: address.into(), ..facts() });
        assert_eq!(verdict, if inside { allow(&["policy0"]) } else { deny(&[]) }, "{address}");
    }
}

#[test]
fn headers_are_tags_and_repeated_ones_are_joined() {
    let engine = engine(
        r#"permit(principal, action, resource) when {
            context.headers.hasTag("x-plan") && context.headers.getTag("x-plan") like "*gold*"
        };"#,
    );
    let with = |headers: &[(&str, &str)]| Facts {
        headers: headers.iter().map(|&(n, v)| (n.into(), v.into())).collect(),
        ..facts()
    };
    assert_eq!(engine.decide(&with(&[("x-plan", "gold")])), allow(&["policy0"]));
    assert_eq!(engine.decide(&with(&[("x-plan", "silver"), ("x-plan", "gold")])), allow(&["policy0"]));
    assert_eq!(engine.decide(&with(&[("x-other", "gold")])), deny(&[]));
    assert_eq!(engine.decide(&facts()), deny(&[]));
}

#[test]
fn methods_fall_into_read_and_write_and_unknown_ones_write() {
    let engine = engine(
        r#"@id("read") permit(principal, action in Action::"read", resource);
           @id("write") permit(principal, action in Action::"write", resource);
           @id("other") permit(principal, action == Action::"other", resource);
           @id("purge") permit(principal, action, resource) when { context.method == "PURGE" };"#,
    );
    let decide = |method: &str| engine.decide(&Facts { method: method.into(), ..facts() });
    assert_eq!(decide("HEAD"), allow(&["read"]));
    assert_eq!(decide("DELETE"), allow(&["write"]));
    assert_eq!(decide("TRACE"), allow(&["other", "write"]));
    assert_eq!(decide("PURGE"), allow(&["other", "purge", "write"]));
    assert_eq!(decide("get"), allow(&["other", "write"]));
    // Neither the names of groups nor of the rest are methods.
    assert_eq!(decide("read"), allow(&["other", "write"]));
    assert_eq!(decide(""), allow(&["other", "write"]));
}

#[test]
fn time_is_a_datetime_and_seconds() {
    let engine = engine(
        r#"permit(principal, action, resource) when {
            context.receivedAt == 1795000000 && context.time == datetime("2026-11-18T11:06:40.123Z")
            && context.time.toTime() >= duration("8h") && context.time.toTime() < duration("18h")
        };"#,
    );
    assert_eq!(engine.decide(&facts()), allow(&["policy0"]));
}

#[test]
fn optional_facts_are_there_only_when_known() {
    let engine = engine(
        r#"@id("small") permit(principal, action, resource) when { context has bodyLength && context.bodyLength <= 10 };
           @id("query") permit(principal, action, resource) when { context has query && context.query == "a=1" };"#,
    );
    assert_eq!(engine.decide(&facts()), deny(&[]));
    assert_eq!(engine.decide(&Facts { body_length: Some(10), ..facts() }), allow(&["small"]));
    assert_eq!(engine.decide(&Facts { body_length: Some(u64::MAX), ..facts() }), deny(&[]));
    assert_eq!(engine.decide(&Facts { query: Some("a=1".into()), ..facts() }), allow(&["query"]));
}

#[test]
fn tags_of_the_app_are_read_from_the_configuration() {
    let policy = r#"permit(principal, action, resource) when {
        resource.app.hasTag("tier") && resource.app.getTag("tier") == "public" && resource in Tenant::"acme"
    };"#;
    let tagged = json!([{ "uid": { "type": "App", "id": "acme/web" }, "tags": { "tier": "public" } }]);
    assert_eq!(engine_with(policy, &tagged).decide(&facts()), allow(&["policy0"]));
    assert_eq!(engine(policy).decide(&facts()), deny(&[]));
}

#[test]
fn rules_of_one_tenant_do_not_reach_another() {
    // One engine holds one tenant's rules; if a host loaded both into one, ids would still keep them apart.
    let engine = engine(
        r#"@id("a-open") permit(principal, action, resource in Tenant::"acme");
           @id("a-staff") permit(principal in Group::"acme/staff", action, resource);
           @id("a-ada") permit(principal == Client::"acme/ada", action, resource);
           @id("a-web") permit(principal, action, resource in App::"acme/web");
           @id("a-home") permit(principal, action, resource == Route::"acme/web/home");
           @id("b-no") forbid(principal, action, resource in Tenant::"acme-b");"#,
    );
    let ada = || client("ada", &["staff"]);
    let all = allow(&["a-ada", "a-home", "a-open", "a-staff", "a-web"]);
    assert_eq!(engine.decide(&Facts { actor: ada(), ..facts() }), all);
    assert_eq!(engine.decide(&Facts { actor: ada(), tenant: "acme-b".into(), ..facts() }), deny(&["b-no"]));
    assert_eq!(
        engine.decide(&Facts { actor: ada(), tenant: "acm".into(), app: "e".into(), ..facts() }),
        deny(&[])
    );
}

#[test]
fn names_cannot_be_moved_across_a_slash() {
    let engine = engine(r#"permit(principal in Group::"acme/staff", action, resource in App::"acme/web");"#);
    for (tenant, app, route) in
        [("acme/web", "x", "y"), ("", "acme", "web"), ("acme", "web/home", "x"), ("ACME", "web", "h")]
    {
        let odd = Facts { tenant: tenant.into(), app: app.into(), route: route.into(), ..facts() };
        let Verdict::Deny(reasons) = engine.decide(&odd) else { panic!("allowed") };
        assert_eq!(reasons.errors.len(), 1, "{tenant}");
    }
}

#[test]
fn what_cedar_cannot_express_is_denied_with_an_error() {
    let engine = engine(OPEN);
    let mut grouped = facts();
    grouped.actor.groups.push("staff".into());
    for odd in [grouped, Facts { client_address: "unix".into(), ..facts() }] {
        assert!(matches!(engine.decide(&odd), Verdict::Deny(reasons) if reasons.errors.len() == 1));
    }
}

#[test]
fn a_broken_configuration_leaves_the_old_one_in_force() {
    let mut engine = engine(OPEN);
    engine.configure(b"{").unwrap_err();
    engine.configure(&config("permit(", &json!([]))).unwrap_err();
    assert_eq!(engine.decide(&facts()), allow(&["open"]));
    engine.configure(&config("", &json!([]))).unwrap();
    assert_eq!(engine.decide(&facts()), deny(&[]));
}

#[test]
fn the_policies_of_the_readme_are_accepted_and_do_what_they_say() {
    let readme = include_str!("../../README.md");
    let block = |language: &str| {
        let (_, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    Engine::new().configure(block("json").as_bytes()).unwrap();
    let engine = engine(block("cedar"));
    assert_eq!(engine.decide(&facts()), allow(&["read"]));
    assert_eq!(engine.decide(&Facts { path: "/admin".into(), ..facts() }), deny(&["admin"]));
    let post = || Facts { method: "POST".into(), actor: client("ada", &["staff"]), ..facts() };
    assert_eq!(engine.decide(&post()), deny(&["network", "size"]));
    let good = Facts { client_address: "10.0.0.1".into(), body_length: Some(9), ..post() };
    assert_eq!(engine.decide(&good), allow(&["staff-write"]));
    assert_eq!(engine.decide(&Facts { scheme: "http".into(), ..good }), deny(&["https"]));
    assert_eq!(engine.decide(&Facts { app: "shop".into(), ..facts() }), deny(&["launch"]));
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_diagnostics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Engine::new().configure(&bytes);
    }

    #[test]
    fn any_policy_text_is_accepted_or_explained(text in "(permit|forbid|principal|action|resource|context|when|unless|[(){}\\[\\];,.=!&|<>\"@:? a-z0-9+*-]){0,40}") {
        if let Err(found) = Engine::new().configure(&config(&text, &json!([]))) {
            prop_assert!(!found.is_empty());
            for one in found {
                prop_assert!(!one.message.is_empty() && !one.message.contains('\n'));
            }
        }
    }

    #[test]
    fn any_facts_get_a_verdict(path in "\\PC*", method in "\\PC*", address in "[0-9a-f:.%]{0,40}", id in "\\PC*",
                               group in "\\PC*", header in "\\PC*", received_at: u64, length: Option<u64>) {
        let engine = engine(r#"permit(principal, action, resource) when {
            context == context && context.headers.hasTag("a") && context.time > datetime("2000-01-01")
        };"#);
        let odd = Facts { path, method, client_address: address, actor: client(&id, &[&group]), received_at,
                          headers: vec![(header.clone(), header)], body_length: length, ..facts() };
        let _ = engine.decide(&odd);
    }
}
