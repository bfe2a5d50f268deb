//! Admission and settlement of one request.

use crate::config::{Config, Route};
use crate::key::{self, KEY_BYTES_MAX};
use crate::{
    Adjustment, Bucket, Charge, Denied, Diagnostic, Ending, Entry, Facts, GateConfig, Limited, Permit,
    RateStatus, Refusal, RefusedRate, TakeError, Verdict, headers,
};

/// The most facts that a record's metadata holds.
const METADATA_MAX: usize = 32;
/// The longest text of an error that goes into a record, bytes.
const ERROR_BYTES_MAX: usize = 512;

/// The policy engine, as in the WIT.
pub trait Policy {
    /// Sets the policies. On an error the old ones stay in force.
    ///
    /// # Errors
    /// What is wrong with them.
    fn configure(&mut self, config: &[u8]) -> Result<(), Vec<Diagnostic>>;

    /// Decides on one request.
    fn decide(&mut self, facts: &Facts) -> Verdict;
}

/// The rate limiter, as in the WIT.
pub trait Limiter {
    /// Sets the buckets and the store. On an error the old ones stay in force.
    ///
    /// # Errors
    /// What is wrong with them.
    fn configure(&mut self, buckets: &[Bucket], store: &str) -> Result<(), Vec<Diagnostic>>;

    /// Takes every charge, or none.
    ///
    /// # Errors
    /// Not enough, or no answer.
    fn take(&mut self, charges: &[Charge], now: u64) -> Result<Vec<RateStatus>, TakeError>;

    /// Settles reserves with what was used.
    ///
    /// # Errors
    /// What failed, for the log.
    fn settle(&mut self, adjustments: &[Adjustment], now: u64) -> Result<(), String>;
}

/// A policy engine and a limiter in their order.
#[derive(Debug)]
pub struct Gate<P, L> {
    policy: P,
    limiter: L,
    config: Option<Config>,
}

impl<P: Policy, L: Limiter> Gate<P, L> {
    /// A gate that refuses everything until it is configured.
    pub fn new(policy: P, limiter: L) -> Self {
        Self { policy, limiter, config: None }
    }

    /// Sets the configuration: of the gate and both its parts, or of none.
    ///
    /// # Errors
    /// What is wrong, by the gate's own checks, the limiter's or the policy engine's: the old configuration stays in
    /// force. Only when the limiter does not take its old buckets back does the gate refuse until the next call.
    pub fn configure(&mut self, config: GateConfig) -> Result<(), Vec<Diagnostic>> {
        let (checked, policy) = Config::check(config)?;
        self.limiter.configure(&checked.buckets, &checked.store)?;
        let Err(mut wrong) = self.policy.configure(&policy) else {
            self.config = Some(checked);
            return Ok(());
        };
        if let Some(old) = &self.config
            && let Err(also_wrong) = self.limiter.configure(&old.buckets, &old.store)
        {
            self.config = None;
            let message =
                "the limiter refused its old buckets: every request is refused until a configuration is set";
            wrong.push(Diagnostic { message: message.to_owned(), place: None, line: None });
            wrong.extend(also_wrong);
        }
        Err(wrong)
    }

    /// Decides on one request.
    ///
    /// # Errors
    /// The refusal. An allowing verdict that carries errors is one too: any error denies.
    pub fn admit(&mut self, facts: &Facts) -> Result<Permit, Refusal> {
        let Some(config) = &self.config else {
            return Err(Refusal::Failed("the gate is not configured".to_owned()));
        };
        let Some(route) = config.route(facts) else {
            let (tenant, name) = (&facts.tenant, &facts.route);
            return Err(Refusal::Failed(format!("the gate has no plan for the route `{tenant}/{name}`")));
        };
        let policies = match self.policy.decide(facts) {
            Verdict::Allow(reasons) if reasons.errors.is_empty() => reasons.policies,
            Verdict::Allow(reasons) | Verdict::Deny(reasons) => {
                return Err(Refusal::Denied(Denied { policies: reasons.policies, errors: reasons.errors }));
            }
        };
        if route.draws.is_empty() {
            return Ok(Permit { policies, charges: Vec::new(), headers: Vec::new() });
        }
        let charges = charges(facts, route)?;
        match self.limiter.take(&charges, facts.received_at) {
            Ok(statuses) => {
                let headers = rate_headers(route, &statuses, None)?;
                Ok(Permit { policies, charges, headers })
            }
            Err(TakeError::Limited(limited)) => Err(refused_rate(route, limited, policies)?),
            Err(TakeError::UnknownBucket(bucket)) => {
                Err(Refusal::Failed(format!("the limiter does not know the bucket `{bucket}`")))
            }
            Err(TakeError::Store(text)) => Err(Refusal::Failed(format!("the limiter failed: {text}"))),
        }
    }

    /// Settles what a permit took and makes the record of the request.
    pub fn settle(&mut self, facts: Facts, ending: Ending) -> Entry {
        let Ending { outcome, usage, limits, mut metadata, policies, charges, now } = ending;
        if let Err(text) = self.settle_gas(charges, usage.gas, now) {
            metadata.truncate(METADATA_MAX - 1);
            metadata.push(("settle-error".to_owned(), one_line(&text)));
        }
        let Facts { request_id, received_at, tenant, app, route, method, host, path, .. } = facts;
        let resource = [&tenant, "/", &app, "/", &route, " ", &host, " ", &path].concat();
        Entry {
            request_id,
            time: received_at,
            tenant,
            actor: facts.actor,
            action: method,
            resource,
            outcome,
            client_address: facts.client_address,
            metadata,
            trace_id: facts.trace_id,
            usage,
            limits,
            policies,
        }
    }

    /// A bucket that is gone since, or counts requests now, has nothing to settle.
    fn settle_gas(&mut self, charges: Vec<Charge>, gas: u64, now: u64) -> Result<(), String> {
        let Some(config) = &self.config else { return Ok(()) };
        let of_gas = charges.into_iter().filter(|charge| config.is_gas(&charge.bucket));
        let adjustments: Vec<_> = of_gas.map(|charge| Adjustment { charge, actual: gas }).collect();
        if adjustments.is_empty() { Ok(()) } else { self.limiter.settle(&adjustments, now) }
    }
}

fn charges(facts: &Facts, route: &Route) -> Result<Vec<Charge>, Refusal> {
    let mut charges = Vec::with_capacity(route.draws.len());
    for draw in &route.draws {
        let key = key::key(facts, &draw.fields);
        if key.len() > KEY_BYTES_MAX {
            let (bucket, bytes) = (&draw.bucket, key.len());
            return Err(Refusal::Failed(format!(
                "the key of the bucket `{bucket}` has {bytes} bytes, at most {KEY_BYTES_MAX} are allowed: shorten \
                 the names in it or count by fewer fields"
            )));
        }
        charges.push(Charge { bucket: draw.bucket.clone(), key, cost: draw.cost });
    }
    Ok(charges)
}

fn refused_rate(route: &Route, limited: Limited, policies: Vec<String>) -> Result<Refusal, Refusal> {
    let retry_after = headers::retry_seconds(limited.retry_after);
    let headers = rate_headers(route, &limited.statuses, Some(retry_after))?;
    Ok(Refusal::Limited(RefusedRate { bucket: limited.bucket, retry_after, policies, headers }))
}

/// The headers of a route with buckets. What the limiter says goes to clients only if it answers what was asked.
fn rate_headers(
    route: &Route,
    statuses: &[RateStatus],
    retry_after: Option<u64>,
) -> Result<Vec<(String, String)>, Refusal> {
    let asked = route.draws.iter().map(|draw| &draw.bucket);
    if !asked.eq(statuses.iter().map(|status| &status.bucket)) {
        return Err(Refusal::Failed(
            "the limiter answered for other buckets than it was asked for".to_owned(),
        ));
    }
    let mut headers = Vec::with_capacity(3);
    headers.push((headers::POLICY.to_owned(), route.policy_header.clone()));
    headers.push((headers::LIMIT.to_owned(), headers::limit(statuses)));
    if let Some(seconds) = retry_after {
        let mut text = String::new();
        headers::decimal(&mut text, seconds);
        headers.push((headers::RETRY.to_owned(), text));
    }
    Ok(headers)
}

/// A text of a part, bounded and without control characters, as a record needs it.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if line.len() + character.len_utf8() > ERROR_BYTES_MAX {
            break;
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
pub(crate) mod tests;
