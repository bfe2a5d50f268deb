mod parts;

use parts::{Engine, Meter};

use super::*;
use crate::headers::tests::parsed;
use crate::{Actor, ActorKind, KeyField, Outcome, Quota, Reasons, RoutePlan, Unit, Usage};

const SECOND: u64 = 1_000_000_000;

pub(crate) fn facts() -> Facts {
    Facts {
        request_id: "0af7651916cd43dd8448eb211c80319c".into(),
        received_at: 1_700_000_000 * SECOND,
        tenant: "acme".into(),
        app: "shop".into(),
        route: "cart".into(),
        component: "00".repeat(32),
        method: "PUT".into(),
        scheme: "https".into(),
        host: "shop.example".into(),
        path: "/cart/7".into(),
        query: None,
        client_address: "192.0.2.7".into(),
        actor: Actor { id: "ada".into(), kind: ActorKind::Client, groups: vec![] },
        headers: vec![],
        body_length: None,
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
    }
}

pub(crate) fn quota(name: &str, unit: Unit, quota: u64, reserve: u64) -> Quota {
    let bucket = Bucket { name: name.into(), unit, quota, window: 60 * SECOND };
    Quota { bucket, key: vec![KeyField::Actor, KeyField::App], reserve }
}

/// `acme/cart` draws on requests (`burst`) and gas (`work`), `acme/help` on nothing.
pub(crate) fn config() -> GateConfig {
    let plan = |route: &str, buckets: &[&str]| RoutePlan {
        route: route.into(),
        buckets: buckets.iter().map(|name| (*name).to_owned()).collect(),
    };
    GateConfig {
        policy: b"permit all".to_vec(),
        quotas: vec![quota("burst", Unit::Requests, 10, 0), quota("work", Unit::Gas, 1000, 300)],
        routes: vec![plan("acme/help", &[]), plan("acme/cart", &["work", "burst"])],
        store: "counters".into(),
    }
}

fn gate() -> Gate<Engine, Meter> {
    let mut gate = Gate::new(Engine::default(), Meter::default());
    gate.configure(config()).unwrap();
    gate
}

fn charge(bucket: &str, cost: u64) -> Charge {
    Charge { bucket: bucket.into(), key: "acme/shop/ada".into(), cost }
}

fn ending(charges: Vec<Charge>, gas: u64) -> Ending {
    let usage =
        Usage { gas, fuel: 9, memory_bytes: 8, cpu: 7, wall: 6, host_calls: 5, bytes_in: 4, bytes_out: 3 };
    Ending {
        outcome: Outcome::Answered(201),
        usage,
        limits: vec![("fuel".into(), 9, 10)],
        metadata: vec![("mode".into(), "fresh".into())],
        policies: vec!["everyone".into()],
        charges,
        now: 1_700_000_001 * SECOND,
    }
}

fn failure(refusal: Result<Permit, Refusal>) -> String {
    match refusal {
        Err(Refusal::Failed(text)) => text,
        other => panic!("not failed: {other:?}"),
    }
}

#[test]
fn a_permit_carries_policies_charges_and_headers() {
    let mut gate = gate();
    let permit = gate.admit(&facts()).unwrap();
    assert_eq!(permit.policies, ["everyone"]);
    assert_eq!(permit.charges, [charge("work", 300), charge("burst", 1)]);
    assert_eq!(gate.limiter.now, facts().received_at);
    let text = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    let expected = [
        ("ratelimit-policy", r#""work";q=1000;w=60;qu="gas", "burst";q=10;w=60"#),
        ("ratelimit", r#""work";r=700;t=2, "burst";r=9;t=2"#),
    ];
    assert_eq!(permit.headers, expected.map(text));
    let names = |header: &str| parsed(header).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&permit.headers[0].1), names(&permit.headers[1].1));
}

#[test]
fn a_denial_takes_nothing() {
    let mut gate = gate();
    gate.policy.verdict = Verdict::Deny(Reasons { policies: vec!["no-puts".into()], errors: vec![] });
    let denied = Denied { policies: vec!["no-puts".into()], errors: vec![] };
    assert_eq!(gate.admit(&facts()), Err(Refusal::Denied(denied)));
    assert!(gate.limiter.taken.is_empty());
}

#[test]
fn an_allowing_verdict_with_an_error_denies() {
    let mut gate = gate();
    gate.policy.verdict = Verdict::Allow(Reasons {
        policies: vec!["everyone".into()],
        errors: vec!["no such attribute".into()],
    });
    assert!(matches!(gate.admit(&facts()), Err(Refusal::Denied(denied)) if denied.errors.len() == 1));
    assert!(gate.limiter.taken.is_empty());
}

#[test]
fn an_empty_bucket_refuses_and_says_when_to_come_back() {
    let mut gate = gate();
    gate.limiter.empty = Some("work".into());
    let Err(Refusal::Limited(refused)) = gate.admit(&facts()) else { panic!("admitted") };
    assert_eq!((refused.bucket.as_str(), refused.retry_after), ("work", 19));
    assert_eq!(refused.policies, ["everyone"]);
    assert_eq!(refused.headers.len(), 3);
    assert_eq!(parsed(&refused.headers[1].1)[0].1[0], ("r".into(), "0".into()));
    assert_eq!(refused.headers[2], ("retry-after".into(), "19".into()));
}

#[test]
fn a_route_without_buckets_has_no_headers_and_leaves_the_limiter_alone() {
    let mut gate = gate();
    let permit = gate.admit(&Facts { route: "help".into(), ..facts() }).unwrap();
    assert_eq!(permit, Permit { policies: vec!["everyone".into()], charges: vec![], headers: vec![] });
    assert!(gate.limiter.taken.is_empty());
}

#[test]
fn a_route_of_no_plan_is_refused() {
    let mut gate = gate();
    for (tenant, route) in [("acme", "other"), ("other", "cart"), ("acme/cart", "x"), ("", "acme/cart")] {
        let facts = Facts { tenant: tenant.into(), route: route.into(), ..facts() };
        assert_eq!(
            failure(gate.admit(&facts)),
            format!("the gate has no plan for the route `{tenant}/{route}`")
        );
    }
}

#[test]
fn before_it_is_configured_everything_is_refused() {
    let mut gate = Gate::new(Engine::default(), Meter::default());
    assert_eq!(failure(gate.admit(&facts())), "the gate is not configured");
    assert_eq!(gate.settle(facts(), ending(vec![], 0)).action, "PUT");
}

#[test]
fn a_limiter_that_fails_refuses() {
    let mut gate = gate();
    gate.limiter.fails = Some(TakeError::Store("the disk is full".into()));
    assert_eq!(failure(gate.admit(&facts())), "the limiter failed: the disk is full");
    gate.limiter.fails = Some(TakeError::UnknownBucket("work".into()));
    assert_eq!(failure(gate.admit(&facts())), "the limiter does not know the bucket `work`");
}

#[test]
fn a_limiter_that_answers_something_else_refuses() {
    let mut gate = gate();
    gate.limiter.renames = true;
    assert_eq!(failure(gate.admit(&facts())), "the limiter answered for other buckets than it was asked for");
}

#[test]
fn a_key_that_is_too_long_refuses() {
    let mut gate = gate();
    let mut facts = facts();
    facts.actor.id = "/".repeat(400);
    assert!(failure(gate.admit(&facts)).starts_with("the key of the bucket `work` has 1210 bytes"));
    assert!(gate.limiter.taken.is_empty());
}

#[test]
fn settling_gives_gas_to_the_buckets_of_gas_only() {
    let mut gate = gate();
    let charges = gate.admit(&facts()).unwrap().charges;
    gate.settle(facts(), ending(charges, 120));
    assert_eq!(gate.limiter.settled, [Adjustment { charge: charge("work", 300), actual: 120 }]);
}

#[test]
fn a_record_says_who_did_what_on_what() {
    let entry = gate().settle(facts(), ending(vec![], 12));
    let Ending { usage, limits, metadata, policies, outcome, .. } = ending(vec![], 12);
    let Facts { request_id, received_at, tenant, actor, client_address, trace_id, .. } = facts();
    let expected = Entry {
        request_id,
        time: received_at,
        tenant,
        actor,
        action: "PUT".into(),
        resource: "acme/shop/cart shop.example /cart/7".into(),
        outcome,
        client_address,
        metadata,
        trace_id,
        usage,
        limits,
        policies,
    };
    assert_eq!(entry, expected);
}

#[test]
fn a_settlement_that_fails_is_named_in_the_record() {
    let mut gate = gate();
    gate.limiter.settle_fails = Some(format!("lost\nthe {}", "é".repeat(600)));
    let many = (0..32).map(|number| (number.to_string(), String::new())).collect();
    let entry = gate.settle(facts(), Ending { metadata: many, ..ending(vec![charge("work", 300)], 1) });
    assert_eq!(entry.metadata.len(), 32);
    let (name, text) = entry.metadata.last().unwrap();
    assert_eq!(name, "settle-error");
    assert!(text.starts_with("lost the éé") && text.len() <= 512);
}

#[test]
fn a_bucket_that_is_gone_has_nothing_to_settle() {
    let mut gate = gate();
    let entry = gate.settle(facts(), ending(vec![charge("older", 300)], 1));
    assert_eq!(entry.metadata.len(), 1);
    assert!(gate.limiter.settled.is_empty());
}

fn other() -> GateConfig {
    GateConfig { store: "elsewhere".into(), quotas: vec![], routes: vec![], ..config() }
}

#[test]
fn a_wrong_configuration_reaches_no_part() {
    let mut gate = gate();
    gate.configure(GateConfig { store: String::new(), ..other() }).unwrap_err();
    assert_eq!((gate.limiter.configured.len(), gate.policy.configured), (1, 1));
    gate.admit(&facts()).unwrap();
}

#[test]
fn what_the_limiter_refuses_does_not_reach_the_policy_engine() {
    let mut gate = gate();
    gate.limiter.refuses = Some("elsewhere".into());
    assert_eq!(gate.configure(other()).unwrap_err()[0].message, "no such store");
    assert_eq!(gate.policy.configured, 1);
    gate.admit(&facts()).unwrap();
}

#[test]
fn what_the_policy_engine_refuses_is_undone_in_the_limiter() {
    let mut gate = gate();
    gate.policy.refuses = true;
    assert_eq!(gate.configure(other()).unwrap_err()[0].message, "unexpected token");
    assert_eq!(gate.limiter.configured, ["counters", "elsewhere", "counters"]);
    gate.admit(&facts()).unwrap();
}

#[test]
fn a_limiter_that_does_not_go_back_closes_the_gate() {
    let mut gate = gate();
    gate.policy.refuses = true;
    gate.limiter.refuses = Some("counters".into());
    let wrong = gate.configure(other()).unwrap_err();
    let wrong: Vec<_> = wrong.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        wrong,
        [
            "unexpected token",
            "the limiter refused its old buckets: every request is refused until a configuration is set",
            "no such store"
        ]
    );
    assert_eq!(failure(gate.admit(&facts())), "the gate is not configured");
}
