//! One request in Cedar's terms, with no more of it than the rules read.

use crate::directory::Directory;
use crate::facts::{ActorKind, Facts};
use crate::reads::Reads;
use crate::rules::Rule;
use crate::scope::Asker;
use crate::vocabulary::{ANONYMOUS_ID, HOST_ID, Kind, OTHER_METHOD, Vocabulary};
use cedar_policy_core::ast::{
    Context, Entity, EntityUID, EntityUIDEntry, ExtensionFunction, Name, PartialValue, Request, Value,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// The methods with an action of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
/// The id of the entity behind `context.headers`.
const HEADERS_ID: &str = "request";

/// The constructors of the extension types that the context uses.
pub(crate) struct Constructors {
    ip: &'static ExtensionFunction,
    datetime: &'static ExtensionFunction,
}

impl Constructors {
    /// Looks them up; fails if Cedar was built without them.
    pub(crate) fn new() -> Result<Self, String> {
        let function = |name: &str| {
            let name = Name::parse_unqualified_name(name).map_err(|error| error.to_string())?;
            Extensions::all_available().func(&name).map_err(|error| error.to_string())
        };
        Ok(Self { ip: function("ip")?, datetime: function("datetime")? })
    }

    /// Makes a time once, so that Cedar compiles its patterns (milliseconds) now and not in the first decision.
    pub(crate) fn warm_up(&self) -> Result<(), String> {
        construct(self.datetime, &datetime_text(0)).map(|_| ())
    }
}

/// The names of a request: checked, and in the form of entity ids.
pub(crate) struct Question<'a> {
    facts: &'a Facts,
    address: IpAddr,
    /// The client's id and its groups', with the tenant.
    principal: String,
    groups: Vec<String>,
    action: &'static str,
    /// `tenant/app/route`.
    place: String,
    /// The lengths of `tenant` and `tenant/app` in `place`.
    cuts: [usize; 2],
}

impl<'a> Question<'a> {
    /// Checks what Cedar could not express, which is the host's mistake and denies.
    pub(crate) fn new(facts: &'a Facts) -> Result<Self, String> {
        let address = facts.client_address.parse::<IpAddr>();
        let address =
            address.map_err(|_| format!("`{}` is not an address", facts.client_address))?.to_canonical();
        for (name, kind) in
            [(&facts.tenant, Kind::Tenant), (&facts.app, Kind::Tenant), (&facts.route, Kind::Tenant)]
        {
            kind.check_id(name).map_err(|_| format!("`{name}` is not the name of a tenant, app or route"))?;
        }
        let actor = &facts.actor;
        let qualified = |name: &String| [&facts.tenant, "/", name].concat();
        let (principal, groups) = match actor.kind {
            ActorKind::Client => (qualified(&actor.id), actor.groups.iter().map(qualified).collect()),
            _ if !actor.groups.is_empty() => return Err("only clients can be in groups".to_owned()),
            ActorKind::Anonymous => (ANONYMOUS_ID.to_owned(), Vec::new()),
            ActorKind::Host => (HOST_ID.to_owned(), Vec::new()),
        };
        let tenant = facts.tenant.len();
        Ok(Self {
            facts,
            address,
            principal,
            groups,
            action: METHODS.into_iter().find(|known| *known == facts.method).unwrap_or(OTHER_METHOD),
            place: [&facts.tenant, "/", &facts.app, "/", &facts.route].concat(),
            cuts: [tenant, tenant + 1 + facts.app.len()],
        })
    }

    pub(crate) fn asker(&self) -> Asker<'_> {
        match self.facts.actor.kind {
            ActorKind::Anonymous => Asker::Anonymous,
            ActorKind::Host => Asker::Host,
            ActorKind::Client => Asker::Client(&self.principal, &self.groups),
        }
    }

    pub(crate) const fn action(&self) -> &'static str {
        self.action
    }

    pub(crate) fn place(&self) -> (&str, [usize; 2]) {
        (&self.place, self.cuts)
    }

    /// Cedar's request and entities, as far as these rules read them.
    pub(crate) fn build(
        &self,
        rules: &[&Rule],
        words: &Vocabulary,
        directory: &Directory,
        constructors: &Constructors,
    ) -> Result<(Request, Entities), String> {
        let reads = rules.iter().fold(Reads::NOTHING, |all, rule| all.and(rule.reads));
        let uid = |kind, id: &str| words.uid(kind, id).ok_or_else(|| "an entity type is missing".to_owned());
        let principal_kind = match self.facts.actor.kind {
            ActorKind::Anonymous => Kind::Anonymous,
            ActorKind::Client => Kind::Client,
            ActorKind::Host => Kind::Host,
        };
        let principal = uid(principal_kind, &self.principal)?;
        let action = uid(Kind::Action, self.action)?;
        let route = uid(Kind::Route, &self.place)?;

        let mut known: Vec<Arc<Entity>> = Vec::new();
        if reads.any(Reads::PRINCIPAL) {
            let groups = self.groups.iter().map(|id| uid(Kind::Group, id)).collect::<Result<_, _>>()?;
            known.push(directory.principal(&principal, groups));
        }
        if reads.any(Reads::RESOURCE) {
            known.extend(directory.place(Kind::Route, &route, words));
            for (length, kind) in self.cuts.into_iter().zip([Kind::Tenant, Kind::App]) {
                let above = uid(kind, self.place.get(..length).unwrap_or_default())?;
                known.extend(directory.place(kind, &above, words));
            }
        }
        if reads.any(Reads::ACTION) {
            known.extend(directory.get(&action).cloned());
        }
        let headers = uid(Kind::Headers, HEADERS_ID)?;
        if reads.any(Reads::HEADERS) {
            known.push(Arc::new(self.headers(headers.clone())));
        }
        let own = known.len();
        for named in rules.iter().flat_map(|rule| &rule.named) {
            // The request's own entity goes before the configured one of the same name.
            if known.iter().take(own).all(|known| known.uid() != named.uid()) {
                known.push(Arc::clone(named));
            }
        }
        let entities = if known.is_empty() {
            Entities::new()
        } else {
            let schema = None::<&NoEntitiesSchema>;
            let extensions = Extensions::all_available();
            Entities::new()
                .add_entities(known, schema, TCComputation::AssumeAlreadyComputed, extensions)
                .map_err(|error| error.to_string())?
        };
        let context = Context::Value(Arc::new(self.context(reads, headers, constructors)?));
        let entry = |uid| EntityUIDEntry::Known { euid: Arc::new(uid), loc: None };
        let request = Request::new_unchecked(entry(principal), entry(action), entry(route), Some(context));
        Ok((request, entities))
    }

    fn headers(&self, uid: EntityUID) -> Entity {
        let mut joined: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &self.facts.headers {
            match joined.get_mut(name.as_str()) {
                Some(values) => *values = [values, ", ", value].concat(),
                None => {
                    joined.insert(name, value.clone());
                }
            }
        }
        let tags = joined.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(value.into())));
        Entity::new_with_attr_partial_value(uid, [], HashSet::new(), HashSet::new(), tags)
    }

    fn context<K: From<&'static str> + Ord>(
        &self,
        reads: Reads,
        headers: EntityUID,
        constructors: &Constructors,
    ) -> Result<BTreeMap<K, Value>, String> {
        let facts = self.facts;
        let mut context = BTreeMap::new();
        let mut add = |which, name: &'static str, value: &dyn Fn() -> Option<Value>| {
            if reads.any(which)
                && let Some(value) = value()
            {
                context.insert(K::from(name), value);
            }
        };
        let text = |text: &str| Some(Value::from(text));
        let seconds = i64::try_from(facts.received_at / 1_000_000_000).unwrap_or(i64::MAX);
        add(Reads::METHOD, "method", &|| text(&facts.method));
        add(Reads::SCHEME, "scheme", &|| text(&facts.scheme));
        add(Reads::HOST, "host", &|| text(&facts.host));
        add(Reads::PATH, "path", &|| text(&facts.path));
        add(Reads::QUERY, "query", &|| facts.query.as_deref().map(Value::from));
        add(Reads::HEADERS, "headers", &|| Some(Value::from(headers.clone())));
        add(Reads::RECEIVED_AT, "receivedAt", &|| Some(Value::from(seconds)));
        add(Reads::BODY_LENGTH, "bodyLength", &|| {
            // Cedar counts to 2^63-1; more than that is more than any policy can ask about.
            facts.body_length.map(|bytes| Value::from(i64::try_from(bytes).unwrap_or(i64::MAX)))
        });
        add(Reads::COMPONENT, "component", &|| text(&facts.component));
        add(Reads::TRACE_ID, "traceId", &|| text(&facts.trace_id));
        if reads.any(Reads::CLIENT_ADDRESS) {
            let value = construct(constructors.ip, &address_text(self.address))?;
            context.insert(K::from("clientAddress"), value);
        }
        if reads.any(Reads::TIME) {
            let value = construct(constructors.datetime, &datetime_text(facts.received_at))?;
            context.insert(K::from("time"), value);
        }
        Ok(context)
    }
}

fn construct(function: &ExtensionFunction, text: &str) -> Result<Value, String> {
    let value = function.call(&[Value::from(text)]).map_err(|error| error.to_string())?;
    Value::try_from(value).map_err(|error| error.to_string())
}

/// An address as Cedar reads it: no dotted part in IPv6.
fn address_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = Ipv6Addr::segments(&address);
            format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
        }
    }
}

/// Unix nanoseconds as RFC 3339 text with milliseconds. The civil date is found by counting in eras of 400 years
/// that begin on the first of March, so that a leap day is the last day of its year.
fn datetime_text(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let (days, in_day) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    // 719,468 days lie between 0000-03-01 and 1970-01-01; an era has 146,097.
    let (era, in_era) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year_of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let day_of_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, fraction) = (in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

#[cfg(test)]
mod tests;
