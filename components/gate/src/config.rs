//! The configuration, checked before any part is told of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Bucket, Diagnostic, Facts, GateConfig, KeyField, Quota, RoutePlan, Unit, headers, key};

const NAME_BYTES_MAX: usize = 64;
const WINDOW_MIN: u64 = 1_000_000;
const WINDOW_MAX: u64 = 366 * 86_400 * 1_000_000_000;

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// Sorted by tenant and route.
    routes: Vec<Route>,
    /// For the limiter: kept, so that it can be told again.
    pub(crate) buckets: Vec<Bucket>,
    /// The name of the store to count in.
    pub(crate) store: String,
}

/// What one route draws on.
#[derive(Debug)]
pub(crate) struct Route {
    tenant: String,
    name: String,
    pub(crate) draws: Vec<Draw>,
    /// The text of `ratelimit-policy`.
    pub(crate) policy_header: String,
}

/// One bucket that a route draws on.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    pub(crate) bucket: String,
    pub(crate) fields: Vec<KeyField>,
    pub(crate) cost: u64,
}

impl Config {
    /// Returns the checked part and what the policy engine is to be told.
    pub(crate) fn check(config: GateConfig) -> Result<(Self, Vec<u8>), Vec<Diagnostic>> {
        let GateConfig { policy, quotas, routes, store } = config;
        let mut wrong = Wrong::default();
        if store.is_empty() {
            wrong.say(None, "the gate has no store to count in: name one".to_owned());
        }
        check_quotas(&quotas, &mut wrong);
        let by_name: BTreeMap<&str, &Quota> =
            quotas.iter().map(|quota| (quota.bucket.name.as_str(), quota)).collect();
        let mut checked: Vec<Route> =
            routes.into_iter().filter_map(|plan| check_route(plan, &by_name, &mut wrong)).collect();
        checked.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        for (first, second) in checked.iter().zip(checked.iter().skip(1)) {
            if first.order() == second.order() {
                let place = format!("{}/{}", first.tenant, first.name);
                wrong.say(
                    Some(&place),
                    format!("the route `{place}` is there twice: remove one or rename it"),
                );
            }
        }
        if !wrong.0.is_empty() {
            return Err(wrong.0);
        }
        let buckets = quotas.into_iter().map(|quota| quota.bucket).collect();
        Ok((Self { routes: checked, buckets, store }, policy))
    }

    pub(crate) fn route(&self, facts: &Facts) -> Option<&Route> {
        let wanted = (facts.tenant.as_str(), facts.route.as_str());
        let place = self.routes.binary_search_by(|route| route.order().cmp(&wanted)).ok()?;
        self.routes.get(place)
    }

    pub(crate) fn is_gas(&self, bucket: &str) -> bool {
        self.buckets.iter().any(|known| known.unit == Unit::Gas && known.name == bucket)
    }
}

impl Route {
    fn order(&self) -> (&str, &str) {
        (&self.tenant, &self.name)
    }
}

#[derive(Default)]
struct Wrong(Vec<Diagnostic>);

impl Wrong {
    fn say(&mut self, place: Option<&str>, message: String) {
        self.0.push(Diagnostic { message, place: place.map(str::to_owned), line: None });
    }
}

fn check_quotas(quotas: &[Quota], wrong: &mut Wrong) {
    let mut names = BTreeSet::new();
    for Quota { bucket, key, reserve } in quotas {
        let name = bucket.name.escape_default();
        let mut say = |message| wrong.say(Some(&bucket.name), message);
        if !is_name(&bucket.name) {
            say(format!(
                "the bucket name `{name}` must be 1 to {NAME_BYTES_MAX} lower-case letters, digits and dashes"
            ));
        }
        if !names.insert(bucket.name.as_str()) {
            say(format!("the bucket `{name}` is there twice: remove one or rename it"));
        }
        if bucket.quota == 0 {
            say(format!("the bucket `{name}` has a quota of 0: it must be at least 1"));
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&bucket.window) {
            say(format!(
                "the bucket `{name}` has a window of {} ns: it must be between 1 ms and 366 days",
                bucket.window
            ));
        }
        if bucket.unit == Unit::Gas && *reserve > bucket.quota {
            say(format!(
                "the bucket `{name}` reserves {reserve} gas of a quota of {}, which can never succeed: lower the \
                 reserve or raise the quota",
                bucket.quota
            ));
        }
        if key.iter().enumerate().any(|(place, field)| key.iter().skip(place + 1).any(|other| other == field))
        {
            say(format!("the bucket `{name}` names a key field twice: name each once"));
        }
    }
}

fn check_route(plan: RoutePlan, quotas: &BTreeMap<&str, &Quota>, wrong: &mut Wrong) -> Option<Route> {
    let RoutePlan { route: place, buckets } = plan;
    let Some((tenant, name)) =
        place.split_once('/').filter(|(tenant, name)| !tenant.is_empty() && !name.is_empty())
    else {
        wrong.say(Some(&place), format!("the route `{place}` must be written as `tenant/route`"));
        return None;
    };
    let mut drawn: Vec<&Quota> = Vec::new();
    for bucket in &buckets {
        let Some(quota) = quotas.get(bucket.as_str()) else {
            wrong.say(
                Some(&place),
                format!("the route `{place}` draws on the bucket `{bucket}`, which is not there: add it or drop its name"),
            );
            continue;
        };
        if drawn.iter().any(|known| known.bucket.name == *bucket) {
            wrong.say(
                Some(&place),
                format!("the route `{place}` draws on the bucket `{bucket}` twice: name it once"),
            );
        }
        drawn.push(quota);
    }
    let draw = |quota: &&Quota| Draw {
        bucket: quota.bucket.name.clone(),
        fields: key::in_order(&quota.key),
        cost: if quota.bucket.unit == Unit::Gas { quota.reserve } else { 1 },
    };
    Some(Route {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        draws: drawn.iter().map(draw).collect(),
        policy_header: headers::policy(drawn.iter().map(|quota| &quota.bucket)),
    })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests;
