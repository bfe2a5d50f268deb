//! The cores of the gate: configurations of any bytes, requests in any order, clocks of any kind and stores that fail.
//! Whatever goes wrong refuses, and a bucket never gives more than it has.

use crate::input::Input;
use std::collections::BTreeMap;
use tollgate_gate::{
    Actor, ActorKind, Adjustment, Bucket, Charge, Diagnostic, Facts, Gate, GateConfig, KeyField, Limited,
    Policy, Quota, RateStatus, Reasons, Refusal, RoutePlan, TakeError, Unit, Verdict,
};
use tollgate_limiter::{Limiter, Store, StoreError, Swap};
use tollgate_policy::Engine;

/// Gives the input to the policy engine, or to the limiter and the order of admission: policies begin with a sign, and
/// take a hundred times as long.
pub fn run(data: &[u8]) {
    if data.first().is_some_and(u8::is_ascii_punctuation) {
        policy(data);
    } else {
        limiter(&mut Input::new(data));
        admission(&mut Input::new(data));
    }
}

fn policy(data: &[u8]) {
    let whole = data.first() == Some(&b'{');
    let text = String::from_utf8_lossy(data);
    let wrapped = serde_json::json!({ "policies": text }).to_string();
    let config = if whole { data } else { wrapped.as_bytes() };
    let mut engine = Engine::new();
    let taken = engine.configure(config);
    let facts = policy_facts(data);
    let verdict = engine.decide(&facts);
    assert_eq!(engine.decide(&facts), verdict, "the same question has the same answer");
    match (&taken, &verdict) {
        (Err(wrong), _) => {
            assert!(!wrong.is_empty() && wrong.len() <= 50, "{} findings", wrong.len());
            assert!(wrong.iter().all(|wrong| !wrong.message.contains('\n')));
            let none =
                matches!(&verdict, tollgate_policy::Verdict::Deny(reasons) if !reasons.errors.is_empty());
            assert!(none, "an engine that is not configured denies");
        }
        (Ok(()), tollgate_policy::Verdict::Allow(reasons)) => {
            assert!(reasons.errors.is_empty() && !reasons.policies.is_empty(), "{reasons:?}");
        }
        (Ok(()), tollgate_policy::Verdict::Deny(_)) => {}
    }
    // A bad configuration leaves the one before in force.
    let _ = engine.configure(b"{");
    assert_eq!(engine.decide(&facts), verdict);
}

fn policy_facts(data: &[u8]) -> tollgate_policy::Facts {
    let words: Vec<String> =
        String::from_utf8_lossy(data).split_whitespace().rev().take(6).map(str::to_owned).collect();
    let word = |index: usize| words.get(index).cloned().unwrap_or_default();
    tollgate_policy::Facts {
        received_at: data.len() as u64 * 1_000_000_007,
        tenant: "acme".into(),
        app: "web".into(),
        route: "home".into(),
        component: "ab".repeat(32),
        method: "GET".into(),
        scheme: "https".into(),
        host: word(0),
        path: format!("/{}", word(1)),
        query: Some(word(2)),
        client_address: if data.len().is_multiple_of(2) { "203.0.113.7".into() } else { word(3) },
        actor: tollgate_policy::Actor {
            id: "ada".into(),
            kind: tollgate_policy::ActorKind::Client,
            groups: vec!["staff".into()],
        },
        headers: vec![("x-shown".into(), word(4))],
        body_length: None,
        trace_id: "0".repeat(32),
    }
}

/// Counters in memory that fail and move under the writer as the input says.
#[derive(Default)]
struct Counters {
    values: BTreeMap<String, Vec<u8>>,
    /// What the next calls meet; then all is well.
    mishaps: Vec<u8>,
}

impl Counters {
    fn fails(&mut self) -> Result<(), StoreError> {
        match self.mishaps.pop() {
            Some(byte) if byte % 8 == 0 => Err(StoreError("the disk is gone".into())),
            _ => Ok(()),
        }
    }
}

impl Store for Counters {
    type Cas = (String, Option<Vec<u8>>);

    fn begin(&mut self, key: &str) -> Result<Self::Cas, StoreError> {
        self.fails()?;
        Ok((key.to_owned(), self.values.get(key).cloned()))
    }

    fn current(&mut self, cas: &Self::Cas) -> Result<Option<Vec<u8>>, StoreError> {
        self.fails()?;
        Ok(cas.1.clone())
    }

    fn swap(&mut self, cas: Self::Cas, value: &[u8]) -> Result<Swap<Self::Cas>, StoreError> {
        let present = self.values.get(&cas.0).cloned();
        // A failed write may have been written.
        if self.mishaps.last().is_some_and(|byte| byte % 16 == 8) && present == cas.1 {
            self.values.insert(cas.0.clone(), value.to_vec());
        }
        self.fails()?;
        if present != cas.1 {
            return Ok(Swap::Moved((cas.0, present)));
        }
        self.values.insert(cas.0, value.to_vec());
        Ok(Swap::Done)
    }
}

/// Takes from two buckets under two keys, beside a list of everything that was let through.
fn limiter(input: &mut Input<'_>) {
    let mut bucket = |name: &str| tollgate_limiter::Bucket {
        name: name.into(),
        unit: tollgate_limiter::Unit::Requests,
        quota: input.scaled(),
        window: input.scaled(),
    };
    let buckets = vec![bucket("a"), bucket("b")];
    let Ok(limiter) = Limiter::new(buckets.clone()) else {
        let wrong = |bucket: &tollgate_limiter::Bucket| {
            bucket.quota == 0 || !(1_000_000..=31_622_400_000_000_000).contains(&bucket.window)
        };
        assert!(buckets.iter().any(wrong), "{buckets:?}");
        return;
    };
    let mut store = Counters::default();
    let mut taken: BTreeMap<(usize, usize), Vec<(u64, u64)>> = BTreeMap::new();
    let mut now = 1_795_000_000_000_000_000_u64;
    let mut steps = 0;
    while !input.is_empty() && steps < 48 {
        steps += 1;
        let step = input.scaled() % buckets[0].window.saturating_mul(2);
        now = if input.flag() { now.saturating_add(step) } else { now.saturating_sub(step) };
        let draws: Vec<(usize, usize, u64)> =
            (0..1 + input.below(3)).map(|_| (input.below(2), input.below(2), input.scaled())).collect();
        let charges: Vec<_> = draws
            .iter()
            .map(|(bucket, key, cost)| tollgate_limiter::Charge {
                bucket: buckets[*bucket].name.clone(),
                key: key.to_string(),
                cost: *cost,
            })
            .collect();
        let length = input.below(4);
        store.mishaps = input.bytes(length).to_vec();
        let before = store.values.clone();
        let unhurt = store.mishaps.is_empty();
        match limiter.take(&mut store, &charges, now) {
            Ok(_) => draws.iter().for_each(|(bucket, key, cost)| {
                taken.entry((*bucket, *key)).or_default().push((now, *cost));
            }),
            Err(tollgate_limiter::TakeError::Limited(limited)) if unhurt => {
                assert_eq!(store.values, before, "what is refused takes nothing");
                comes_back(&limiter, &store, &charges, now, limited.retry_after);
            }
            Err(_) => {}
        }
        store.mishaps.clear();
    }
    for ((bucket, _), taken) in taken {
        let quota = (u128::from(buckets[bucket].quota), u128::from(buckets[bucket].window));
        within(quota, taken);
    }
}

/// Who waits as long as was said gets what was asked for, if nobody else came in between.
fn comes_back(
    limiter: &Limiter,
    store: &Counters,
    charges: &[tollgate_limiter::Charge],
    now: u64,
    retry_after: u64,
) {
    let Some(then) = now.checked_add(retry_after).filter(|_| retry_after != u64::MAX) else { return };
    let mut later = Counters { values: store.values.clone(), mishaps: Vec::new() };
    assert!(limiter.take(&mut later, charges, then).is_ok(), "not let in after {retry_after} ns");
}

/// Over every stretch of time: no more than the quota and what the stretch refills.
fn within((quota, window): (u128, u128), mut taken: Vec<(u64, u64)>) {
    taken.sort_unstable();
    for (first, (begin, _)) in taken.iter().enumerate() {
        let mut sum = 0_u128;
        for (end, cost) in &taken[first..] {
            sum += u128::from(*cost);
            let stretch = u128::from(end - begin);
            let room = (quota * stretch).checked_div(window).unwrap_or(u128::MAX);
            assert!(sum <= quota + room, "{sum} of {quota} in {stretch} of {window} ns");
        }
    }
}

/// A policy engine that says what it is told to.
struct Says(Verdict);

impl Policy for Says {
    fn configure(&mut self, config: &[u8]) -> Result<(), Vec<Diagnostic>> {
        match config.first() {
            Some(b'x') => Err(vec![Diagnostic { message: "no".into(), place: None, line: None }]),
            _ => Ok(()),
        }
    }
    fn decide(&mut self, _: &Facts) -> Verdict {
        self.0.clone()
    }
}

/// A limiter that answers as the input says.
#[derive(Default)]
struct Answers {
    answer: u8,
    asked: usize,
}

impl tollgate_gate::Limiter for Answers {
    fn configure(&mut self, _: &[Bucket], _: &str) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }
    fn take(&mut self, charges: &[Charge], _: u64) -> Result<Vec<RateStatus>, TakeError> {
        self.asked += 1;
        let status = |charge: &Charge| RateStatus {
            bucket: charge.bucket.clone(),
            remaining: u64::from(self.answer) << 56,
            reset_after: u64::MAX,
        };
        let statuses: Vec<RateStatus> = charges.iter().map(status).collect();
        match self.answer % 5 {
            0 => Err(TakeError::Store("gone".into())),
            1 => Err(TakeError::UnknownBucket("b".into())),
            2 => {
                let retry_after = u64::from(self.answer) << 56;
                Err(TakeError::Limited(Limited { bucket: "a".into(), retry_after, statuses }))
            }
            // For others than were asked about.
            3 => Ok(statuses.into_iter().skip(1).collect()),
            _ => Ok(statuses),
        }
    }
    fn settle(&mut self, _: &[Adjustment], _: u64) -> Result<(), String> {
        Ok(())
    }
}

fn admission(input: &mut Input<'_>) {
    let errors = if input.flag() { vec!["a rule broke".to_owned()] } else { Vec::new() };
    let allows = input.flag();
    let broken = !errors.is_empty();
    let reasons = Reasons { policies: vec!["p".into()], errors };
    let verdict = if allows { Verdict::Allow(reasons) } else { Verdict::Deny(reasons) };
    let answer = input.byte();
    let mut gate = Gate::new(Says(verdict), Answers { answer, asked: 0 });
    let facts = gate_facts(input);
    assert!(matches!(gate.admit(&facts), Err(Refusal::Failed(_))), "before it is configured");
    let config = gate_config(input);
    let draws = config.routes.iter().find(|plan| plan.route == "acme/web").map(|plan| plan.buckets.clone());
    let configured = gate.configure(config).is_ok();
    let admitted = gate.admit(&facts);
    let free = draws.as_ref().is_some_and(Vec::is_empty);
    let may = configured && draws.is_some() && allows && !broken && (free || answer % 5 == 4);
    let long = matches!(&admitted, Err(Refusal::Failed(why)) if why.contains("the key of the bucket"));
    assert_eq!(admitted.is_ok(), may && !long, "{admitted:?}");
    match admitted {
        Ok(permit) => {
            assert_eq!(permit.charges.len(), draws.unwrap_or_default().len());
            assert!(
                permit
                    .charges
                    .iter()
                    .all(|charge| charge.key.starts_with("acme") && charge.key.len() <= 1_024)
            );
            permit
                .headers
                .iter()
                .for_each(|(_, value)| assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte))));
        }
        Err(Refusal::Limited(refused)) => assert!(refused.retry_after >= 1 && allows && !broken),
        Err(Refusal::Denied(_) | Refusal::Failed(_)) => {}
    }
}

fn gate_config(input: &mut Input<'_>) -> GateConfig {
    let fields = [KeyField::Tenant, KeyField::App, KeyField::Route, KeyField::Actor, KeyField::ClientAddress];
    let names = ["a", "b", "A", "", "burst"];
    let mut quotas = Vec::new();
    for _ in 0..input.below(4) {
        let unit = if input.flag() { Unit::Gas } else { Unit::Requests };
        let bucket =
            Bucket { name: input.choice(&names).into(), unit, quota: input.scaled(), window: input.scaled() };
        let key = (0..input.below(4)).map(|_| input.choice(&fields)).collect();
        quotas.push(Quota { bucket, key, reserve: input.scaled() });
    }
    let mut routes = Vec::new();
    for _ in 0..input.below(3) {
        let route = input.choice(&["acme/web", "acme/web", "acme/other", "acme", "/"]).into();
        let buckets = (0..input.below(3)).map(|_| input.choice(&names).to_owned()).collect();
        routes.push(RoutePlan { route, buckets });
    }
    let store = if input.byte() % 8 == 1 { "" } else { "counts" };
    let length = input.below(4);
    GateConfig { policy: input.bytes(length).to_vec(), quotas, routes, store: store.into() }
}

fn gate_facts(input: &mut Input<'_>) -> Facts {
    let length = input.below(2_000);
    let text = String::from_utf8_lossy(input.bytes(length)).into_owned();
    Facts {
        request_id: "0".repeat(32),
        received_at: input.u64(),
        tenant: "acme".into(),
        app: "web".into(),
        route: "web".into(),
        component: String::new(),
        method: "GET".into(),
        scheme: "http".into(),
        host: "acme.test".into(),
        path: "/".into(),
        query: None,
        client_address: text.chars().take(64).collect(),
        actor: Actor { id: text, kind: ActorKind::Client, groups: Vec::new() },
        headers: Vec::new(),
        body_length: None,
        trace_id: "0".repeat(32),
    }
}
