//! Slicing, reading only what is needed, and stripping locations change nothing: on random policies, entities and
//! facts the engine and Cedar's own authorizer, given everything, agree on reasons and errors.

use super::*;
use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, EntityUid, PolicyId, PolicySet, Request, Schema,
    ValidationMode, Validator,
};

const CLAUSES: &[&str] = &[
    r#"context.path like "/admin/*""#,
    r#"context.path == "/""#,
    r#"context.method == "PURGE""#,
    r#"context has query && context.query like "*a=*""#,
    r#"!(context has bodyLength)"#,
    r#"context has bodyLength && context.bodyLength + 9223372036854775800 > 0"#,
    r#"context.receivedAt * 9223372036854775807 > 0"#,
    r#"context.clientAddress.isInRange(ip("10.0.0.0/8"))"#,
    r#"context.clientAddress.isIpv6()"#,
    r#"context.headers.hasTag("x-plan") && context.headers.getTag("x-plan") == "gold""#,
    r#"context.headers.hasTag("x-b")"#,
    r#"context.time > datetime("2026-01-01")"#,
    r#"context.time.offset(duration("9223372036854775807ms")) > datetime("2026-01-01")"#,
    r#"context.scheme == "https" && context.host == "www.acme.example""#,
    r#"context == context"#,
    r#"principal == Client::"acme/ada""#,
    r#"principal in Group::"acme/staff""#,
    r#"principal in [Group::"acme/oncall", Group::"acme/guests"]"#,
    r#"principal is Client && principal.hasTag("level") && principal.getTag("level") == "9""#,
    r#"principal is Client in Group::"acme/root""#,
    r#"Client::"acme/ada" in Group::"acme/staff""#,
    r#"Client::"acme/bob" in Group::"acme/root""#,
    r#"Client::"acme/ada".hasTag("level")"#,
    r#"Group::"acme/oncall" in Group::"acme/root""#,
    r#"Group::"acme/oncall".hasTag("pager")"#,
    r#"action in Action::"write""#,
    r#"[Action::"GET", Action::"POST"].contains(action)"#,
    r#"Action::"GET" in Action::"read""#,
    r#"resource in Tenant::"acme""#,
    r#"resource in App::"acme/web""#,
    r#"resource.app == App::"acme/web" && resource.tenant == Tenant::"acme""#,
    r#"resource.app.hasTag("tier") && resource.app.getTag("tier") == "public""#,
    r#"resource.tenant.hasTag("plan")"#,
    r#"resource.hasTag("open")"#,
    r#"App::"acme/web" in Tenant::"acme""#,
    r#"App::"acme/api".hasTag("tier")"#,
    r#"(if context.path == "/" then principal else principal) in Group::"acme/staff""#,
];

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is Anonymous",
    "principal is Host",
    "principal is Client",
    r#"principal == Client::"acme/ada""#,
    r#"principal in Client::"acme/ada""#,
    r#"principal == Anonymous::"anonymous""#,
    r#"principal == Host::"host""#,
    r#"principal in Group::"acme/staff""#,
    r#"principal in Group::"acme/root""#,
    r#"principal is Client in Group::"acme/guests""#,
    r#"principal is Anonymous in Group::"acme/guests""#,
    r#"principal in Tenant::"acme""#,
];

const ACTIONS: &[&str] = &[
    "action",
    r#"action == Action::"GET""#,
    r#"action in Action::"read""#,
    r#"action in [Action::"write", Action::"HEAD"]"#,
    r#"action == Action::"other""#,
];

const RESOURCES: &[&str] = &[
    "resource",
    "resource is Route",
    r#"resource == Route::"acme/web/home""#,
    r#"resource in Route::"acme/web/home""#,
    r#"resource in App::"acme/web""#,
    r#"resource == App::"acme/web""#,
    r#"resource in Tenant::"acme""#,
    r#"resource is Route in Tenant::"other""#,
    r#"resource is App in Tenant::"acme""#,
];

fn policies() -> impl Strategy<Value = String> {
    let clause = prop_oneof![
        4 => prop::sample::select(CLAUSES).prop_map(str::to_owned),
        1 => (prop::sample::select(CLAUSES), prop::sample::select(CLAUSES)).prop_map(|(a, b)| format!("({a}) || ({b})")),
        1 => (prop::sample::select(CLAUSES), prop::sample::select(CLAUSES)).prop_map(|(a, b)| format!("({a}) && !({b})")),
    ];
    let clauses = prop::collection::vec((prop::sample::select(vec!["when", "unless"]), clause), 0..3);
    // Half of all scopes are open, or hardly any policy would match.
    let part =
        |options: &'static [&'static str]| prop_oneof![Just(options[0]), prop::sample::select(options)];
    let scope = (part(PRINCIPALS), part(ACTIONS), part(RESOURCES));
    let policy =
        (prop::bool::weighted(0.7), scope, clauses).prop_map(|(permit, (who, what, which), clauses)| {
            let clauses: String =
                clauses.iter().map(|(word, clause)| format!(" {word} {{ {clause} }}")).collect();
            format!("{}({who}, {what}, {which}){clauses};", if permit { "permit" } else { "forbid" })
        });
    prop::collection::vec(policy, 0..12).prop_map(|policies| policies.join("\n"))
}

fn entities() -> impl Strategy<Value = Value> {
    let uid = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let all = vec![
        json!({ "uid": uid("Group", "acme/oncall"), "parents": [uid("Group", "acme/staff")], "tags": { "pager": "1" } }),
        json!({ "uid": uid("Group", "acme/staff"), "parents": [uid("Group", "acme/root")] }),
        json!({ "uid": uid("Client", "acme/ada"), "parents": [uid("Group", "acme/oncall")], "tags": { "level": "9" } }),
        json!({ "uid": uid("Client", "acme/bob"), "parents": [uid("Group", "acme/root")] }),
        json!({ "uid": uid("App", "acme/web"), "tags": { "tier": "public" } }),
        json!({ "uid": uid("App", "acme/api"), "tags": { "tier": "internal" } }),
        json!({ "uid": uid("Tenant", "acme"), "tags": { "plan": "gold" } }),
        json!({ "uid": uid("Route", "acme/web/home"), "tags": { "open": "1" } }),
    ];
    prop::sample::subsequence(all, 0..=8).prop_map(Value::Array)
}

fn requests() -> impl Strategy<Value = Facts> {
    let pick = |options: &'static [&'static str]| prop::sample::select(options).prop_map(str::to_owned);
    let actor = prop_oneof![
        Just(facts().actor),
        Just(Actor { id: "host".into(), kind: ActorKind::Host, groups: Vec::new() }),
        (pick(&["ada", "bob", "eve"]), prop::sample::subsequence(vec!["staff", "oncall", "guests"], 0..=3))
            .prop_map(|(id, groups)| client(&id, &groups)),
    ];
    let names = (pick(&["acme", "acme", "other"]), pick(&["web", "api"]), pick(&["home", "admin"]));
    let head = (
        pick(&["GET", "HEAD", "POST", "PURGE"]),
        pick(&["/", "/admin/x"]),
        prop::option::of(pick(&["a=1", "b"])),
    );
    let body = prop::option::of(prop_oneof![Just(0), Just(100), Just(u64::MAX)]);
    let headers =
        prop::sample::subsequence(vec![("x-plan", "gold"), ("x-b", "1"), ("x-plan", "silver")], 0..=3);
    let address = pick(&["10.1.2.3", "203.0.113.7", "::1", "::ffff:10.0.0.1"]);
    (actor, names, head, body, headers, address).prop_map(
        |(actor, names, head, body_length, headers, client_address)| {
            let (tenant, app, route) = names;
            let (method, path, query) = head;
            let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            Facts {
                actor,
                tenant,
                app,
                route,
                method,
                path,
                query,
                body_length,
                headers,
                client_address,
                ..facts()
            }
        },
    )
}

fn uid(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

/// Everything that is known, in Cedar's JSON: the configured entities, completed, and the request's own.
fn all_entities(configured: &Value, facts: &Facts) -> Value {
    let mut all: std::collections::BTreeMap<String, Value> = std::collections::BTreeMap::new();
    let mut add = |kind: &str, id: String, parents: Vec<Value>| {
        let mut entity = json!({ "uid": uid(kind, &id), "attrs": {}, "parents": parents, "tags": {} });
        let known = configured.as_array().unwrap().iter().find(|e| e["uid"] == entity["uid"]);
        if let Some(known) = known {
            entity["tags"] = known.get("tags").cloned().unwrap_or(json!({}));
            let more = known.get("parents").and_then(Value::as_array).cloned().unwrap_or_default();
            entity["parents"].as_array_mut().unwrap().extend(more);
        }
        let parts: Vec<&str> = id.split('/').collect();
        if kind == "App" {
            entity["parents"] = json!([uid("Tenant", parts[0])]);
        } else if kind == "Route" {
            let app = format!("{}/{}", parts[0], parts[1]);
            entity["parents"] = json!([uid("App", &app)]);
            entity["attrs"] = json!({ "app": { "__entity": uid("App", &app) }, "tenant": { "__entity": uid("Tenant", parts[0]) } });
            // The tenant as a grandparent, also where the app is not among the entities.
            entity["parents"].as_array_mut().unwrap().push(uid("Tenant", parts[0]));
        }
        all.entry(format!("{kind} {id}")).or_insert(entity);
    };
    let Facts { tenant, app, route, .. } = facts;
    match facts.actor.kind {
        ActorKind::Anonymous => add("Anonymous", "anonymous".into(), Vec::new()),
        ActorKind::Host => add("Host", "host".into(), Vec::new()),
        ActorKind::Client => {
            let groups = facts.actor.groups.iter().map(|group| uid("Group", &format!("{tenant}/{group}")));
            add("Client", format!("{tenant}/{}", facts.actor.id), groups.collect());
        }
    }
    add("Tenant", tenant.clone(), Vec::new());
    add("App", format!("{tenant}/{app}"), Vec::new());
    add("Route", format!("{tenant}/{app}/{route}"), Vec::new());
    for one in configured.as_array().unwrap() {
        add(one["uid"]["type"].as_str().unwrap(), one["uid"]["id"].as_str().unwrap().into(), Vec::new());
    }
    let mut tags: serde_json::Map<String, Value> = serde_json::Map::new();
    for (name, value) in &facts.headers {
        let before = tags.get(name).and_then(Value::as_str).map(|before| format!("{before}, {value}"));
        tags.insert(name.clone(), json!(before.unwrap_or(value.clone())));
    }
    let mut all: Vec<Value> = all.into_values().collect();
    all.push(json!({ "uid": uid("Headers", "request"), "attrs": {}, "parents": [], "tags": tags }));
    Value::Array(all)
}

fn context(facts: &Facts) -> Value {
    let address: std::net::IpAddr = facts.client_address.parse().unwrap();
    let mut context = json!({
        "method": facts.method, "scheme": facts.scheme, "host": facts.host, "path": facts.path,
        "clientAddress": address.to_canonical().to_string(),
        "headers": { "__entity": uid("Headers", "request") },
        "time": "2026-11-18T11:06:40.123Z",
        "receivedAt": 1_795_000_000_i64,
        "component": facts.component, "traceId": facts.trace_id,
    });
    if let Some(query) = &facts.query {
        context["query"] = json!(query);
    }
    if let Some(length) = facts.body_length {
        context["bodyLength"] = json!(i64::try_from(length).unwrap_or(i64::MAX));
    }
    context
}

/// What Cedar's authorizer says, brought to our rule that errors deny.
fn oracle(
    policies: &PolicySet,
    configured: &Value,
    facts: &Facts,
    schema: &Schema,
) -> (bool, Vec<String>, Vec<String>) {
    let entities = Entities::from_json_value(all_entities(configured, facts), Some(schema)).unwrap();
    let known = ["GET", "HEAD", "POST"].contains(&facts.method.as_str());
    let action: EntityUid =
        format!("Action::\"{}\"", if known { &facts.method } else { "other" }).parse().unwrap();
    let principal: EntityUid = match facts.actor.kind {
        ActorKind::Anonymous => "Anonymous::\"anonymous\"".parse().unwrap(),
        ActorKind::Host => "Host::\"host\"".parse().unwrap(),
        ActorKind::Client => format!("Client::\"{}/{}\"", facts.tenant, facts.actor.id).parse().unwrap(),
    };
    let resource = format!("Route::\"{}/{}/{}\"", facts.tenant, facts.app, facts.route).parse().unwrap();
    let context = Context::from_json_value(context(facts), Some((schema, &action))).unwrap();
    // The schema is checked here, so what our engine builds by hand is known to fit it.
    let request = Request::new(principal, action, resource, context, Some(schema)).unwrap();
    let response = Authorizer::new().is_authorized(&request, policies, &entities);
    let errors: Vec<String> = response.diagnostics().errors().map(|error| error.to_string()).collect();
    let mut reasons: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    reasons.sort();
    let allowed = response.decision() == Decision::Allow && errors.is_empty();
    if !allowed {
        let forbid = |id: &String| policies.policy(&PolicyId::new(id)).unwrap().effect() == Effect::Forbid;
        reasons.retain(forbid);
    }
    (allowed, reasons, errors)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_engine_decides_as_cedar_does(
        text in policies(),
        configured in entities(),
        requests in prop::collection::vec(requests(), 1..6),
    ) {
        let (schema, _) = Schema::from_cedarschema_str(crate::SCHEMA).unwrap();
        let policies: PolicySet = text.parse().unwrap();
        let valid = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        prop_assert!(valid.validation_passed(), "{}", valid);
        let engine = engine_with(&text, &configured);
        for facts in requests {
            let (allowed, reasons, errors) = oracle(&policies, &configured, &facts, &schema);
            let (ours, ourselves) = match engine.decide(&facts) {
                Verdict::Allow(reasons) => (true, reasons),
                Verdict::Deny(reasons) => (false, reasons),
            };
            prop_assert_eq!(ours, allowed, "{} {:?} {:?} {:?}", text, facts, ourselves, errors);
            prop_assert_eq!(&ourselves.policies, &reasons);
            prop_assert_eq!(ourselves.errors.len(), errors.len(), "{:?} {:?}", ourselves.errors, errors);
            // Cedar's text: "error while evaluating policy `id`: what".
            for error in &errors {
                let (start, what) = error.split_once("`: ").unwrap();
                let id = start.rsplit('`').next().unwrap();
                let same = |our: &String| our.starts_with(&format!("policy `{id}` ")) && our.ends_with(what);
                prop_assert!(ourselves.errors.iter().any(same), "{:?} {:?}", ourselves.errors, error);
            }
        }
    }
}
