//! Configurations that are refused, and what is said.

use super::*;

fn refused(policies: &str, entities: &Value) -> Vec<Diagnostic> {
    Engine::new().configure(&config(policies, entities)).unwrap_err()
}

fn refused_policies(policies: &str) -> Vec<Diagnostic> {
    refused(policies, &json!([]))
}

#[test]
fn an_unknown_attribute_is_named_with_policy_and_line() {
    let found = refused_policies(
        "permit(principal, action, resource);\n\n@id(\"typo\")\nforbid(principal, action, resource)\nwhen { context.pth == \"/\" };",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].place.as_deref(), Some("typo"));
    assert_eq!(found[0].line, Some(5));
    assert!(found[0].message.contains("`pth`"), "{found:?}");
    assert!(found[0].message.contains("`path`"), "{found:?}");
}

#[test]
fn each_mistake_in_a_policy_is_refused() {
    for (policy, says) in [
        ("permit(principal, action, resource) when { context.query == \"x\" };", "query"),
        ("permit(principal, action, resource) when { context.path == 1 };", ""),
        ("permit(principal, action == Action::\"PURGE\", resource);", "PURGE"),
        ("permit(principal is Person, action, resource);", "Person"),
        ("permit(principal == ?principal, action, resource);", "template"),
        ("permit(principal, action, resource) when { context.headers.getTag(\"a\") == \"b\" };", "tag"),
        ("permit(principal, action, resource) when { ip(context.host).isLoopback() };", ""),
        ("permit(principal in Group::\"admins\", action, resource);", "`tenant/name`"),
        ("permit(principal, action, resource in App::\"web\");", "`tenant/app`"),
        ("permit(principal == Anonymous::\"me\", action, resource);", "`anonymous`"),
        (
            "permit(principal, action, resource) when { Headers::\"request\".hasTag(\"a\") };",
            "context.headers",
        ),
        ("permit(principal, action, resource", ""),
        ("@id(\"\") permit(principal, action, resource);", "1 to 128 bytes"),
        ("allow(principal, action, resource);", ""),
    ] {
        let found = refused_policies(&format!("\n{policy}"));
        assert_eq!(found[0].line, Some(2), "{policy}: {found:?}");
        assert!(found[0].message.contains(says), "{policy}: {found:?}");
        assert!(!found[0].message.contains('\n'), "{policy}: {found:?}");
    }
}

#[test]
fn two_policies_cannot_share_an_id() {
    let policy = "@id(\"a\") permit(principal, action, resource);";
    let found = refused_policies(&format!("{policy}\n{policy}"));
    assert_eq!((found[0].place.as_deref(), found[0].line), (Some("a"), Some(2)));
    // An explicit id may also be one that Cedar counts.
    let found = refused_policies(
        "permit(principal, action, resource);\n@id(\"policy0\") permit(principal, action, resource);",
    );
    assert_eq!(found[0].place.as_deref(), Some("policy0"));
}

#[test]
fn unknown_keys_and_wrong_shapes_are_refused_with_the_line_of_the_json() {
    for (text, line) in [
        ("{\n\"policies\": \"\",\n\"policy\": \"\"}", Some(3)),
        ("{\"entities\": []}", Some(1)),
        ("[]", Some(1)),
        ("", Some(1)),
        ("{\"policies\": 1}", Some(1)),
        (
            "{\"policies\": \"\", \"entities\": [{\"uid\": {\"type\": \"Group\", \"id\": \"a/b\"}, \"name\": 1}]}",
            Some(1),
        ),
        ("{\"policies\": \"\"} x", Some(1)),
    ] {
        let found = Engine::new().configure(text.as_bytes()).unwrap_err();
        assert_eq!(found[0].line, line, "{text}: {found:?}");
    }
}

#[test]
fn entities_must_fit_the_schema() {
    let uid = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    for (entities, says) in [
        (json!([{ "uid": uid("Route", "acme/web") }]), "tenant/app/route"),
        (json!([{ "uid": uid("Anonymous", "anonymous") }]), "cannot be configured"),
        (json!([{ "uid": uid("User", "acme/ada") }]), "cannot be configured"),
        (json!([{ "uid": uid("Client", "acme/ada"), "attrs": { "age": 3 } }]), "use `tags`"),
        (
            json!([{ "uid": uid("App", "acme/web"), "parents": [uid("Tenant", "acme")] }]),
            "follow from its id",
        ),
        (
            json!([{ "uid": uid("Client", "acme/ada"), "parents": [uid("Client", "acme/bob")] }]),
            "only in groups",
        ),
        (json!([{ "uid": uid("Group", "acme/a") }, { "uid": uid("Group", "acme/a") }]), "twice"),
        (json!([{ "uid": uid("Group", "acme/a"), "parents": [uid("Group", "acme/a")] }]), "in itself"),
    ] {
        let found = refused("", &entities);
        assert!(found[0].message.contains(says), "{entities}: {found:?}");
    }
}

#[test]
fn groups_can_neither_go_round_nor_nest_without_end() {
    let group = |n: usize, parent: usize| {
        json!({ "uid": { "type": "Group", "id": format!("acme/g{n}") },
                "parents": [{ "type": "Group", "id": format!("acme/g{parent}") }] })
    };
    let round = json!([group(0, 1), group(1, 2), group(2, 0)]);
    assert!(refused("", &round).iter().all(|problem| problem.message.contains("in itself")));
    let long = Value::Array((0..5_000).map(|n| group(n, n + 1)).collect());
    assert!(refused("", &long)[0].message.contains("more than 64 groups"));
}

#[test]
fn what_is_too_large_is_refused() {
    let found = Engine::new().configure(&vec![b' '; MAX_CONFIG_BYTES + 1]).unwrap_err();
    assert!(found[0].message.contains("1048576 bytes"));
    let policy = "permit(principal, action, resource);";
    assert!(refused_policies(&policy.repeat(1_001))[0].message.contains("1000 policies"));
    let group = |n: usize| json!({ "uid": { "type": "Group", "id": format!("a/{n}") } });
    assert!(refused("", &(0..10_001).map(group).collect())[0].message.contains("10000 entities"));
}

#[test]
fn the_deepest_permitted_expressions_pass_the_validator() {
    for clause in [
        vec!["context.path == \"/\""; 110].join(" || "),
        format!("{}true{}", "(".repeat(24), ")".repeat(24)),
        format!("{} true", "if context.path == \"\" then true else ".repeat(50)),
        format!("1{} == 0", " + 1".repeat(110)),
    ] {
        let _ = engine(&format!("permit(principal, action, resource) when {{ {clause} }};")).decide(&facts());
    }
}
