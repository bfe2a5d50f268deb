//! `[tenants.<name>]`: policy, buckets, clients, apps and routes of one tenant.

use super::Scope;
use super::app::{self, App};
use super::host::path;
use super::limits::Plan;
use super::read::{Table, Value, listed, nearest, or};
use super::route;
use std::path::PathBuf;
use std::time::Duration;
use tollgate_runtime::{
    BucketSetting, Client, Consistency, KeyField, Name, RouteSetting, TenantTotals, Unit,
};

/// The shortest and the longest window of a bucket; the limiter's contract has the same bounds.
const WINDOWS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(366 * 86_400));

/// A tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// What its apps may take together.
    pub totals: TenantTotals,
    /// Who may do what.
    pub policy: Policy,
    /// Its quotas.
    pub buckets: Vec<BucketSetting>,
    /// The callers it knows.
    pub clients: Vec<Client>,
    /// Its apps, sorted by name.
    pub apps: Vec<App>,
    /// Its routes, in the order of the file.
    pub routes: Vec<RouteSetting>,
}

/// `policy`: the rules, and the engine that reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The tenant's own engine; none for the host's.
    pub component: Option<PathBuf>,
    /// The rules.
    pub text: PolicyText,
    /// Cedar entities, a JSON file.
    pub entities: Option<PathBuf>,
}

/// Where rules are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyText {
    /// In the configuration.
    Inline(String),
    /// In a file.
    File(PathBuf),
}

const UNITS: [(&str, Unit); 2] = [("requests", Unit::Requests), ("gas", Unit::Gas)];
const CONSISTENCIES: [(&str, Consistency); 3] = [
    ("exact", Consistency::Exact),
    ("approximate", Consistency::Approximate),
    ("eventual", Consistency::Eventual),
];
const KEY_FIELDS: [(&str, KeyField); 5] = [
    ("tenant", KeyField::Tenant),
    ("app", KeyField::App),
    ("route", KeyField::Route),
    ("actor", KeyField::Actor),
    ("client-address", KeyField::ClientAddress),
];

/// Reads `[tenants.<name>]`.
pub(super) fn read(name: &Name, table: &Table<'_>, scope: &Scope<'_>) -> Option<Tenant> {
    if name.as_str() == "host" {
        table.error("`host` is what the host calls itself".to_owned(), "give the tenant another name");
    }
    let plan = read_plan(table, scope);
    let policy = table
        .require("policy", "say who may do what, such as `policy = { file = \"policy.cedar\" }`: without a rule that permits, every request is denied")
        .and_then(|value| value.table(|table| read_policy(table, scope)));
    let buckets = table.named("buckets", read_bucket);
    let clients = read_clients(table);
    let limits = plan.as_ref().map(|plan| plan.limits.clone()).unwrap_or_default();
    let apps = table.named("apps", |name, table| app::read(name, table, &limits, scope));
    let routes = or(table.get("routes"), Vec::new(), |value| route::read_all(value, &apps, &buckets, scope));
    Some(Tenant {
        name: name.clone(),
        totals: plan?.totals,
        policy: policy?,
        buckets: buckets.into_iter().map(|(_, bucket)| bucket).collect::<Option<_>>()?,
        clients: clients?,
        apps: apps.into_iter().map(|(_, app)| app).collect::<Option<_>>()?,
        routes: routes?,
    })
}

fn read_plan(table: &Table<'_>, scope: &Scope<'_>) -> Option<Plan> {
    let Some(value) = table.get("plan") else { return Some(Plan::default()) };
    let name = value.name()?;
    match refer(&value, &name, scope.plans, "plan", "plans") {
        Some(plan) => plan.clone(),
        None => None,
    }
}

/// What a name refers to, or an error that says what there is. A thing that is there and wrong is found, as none.
pub(super) fn refer<'a, T>(
    value: &Value<'_>,
    name: &Name,
    known: &'a [(Name, Option<T>)],
    what: &str,
    table: &str,
) -> Option<&'a Option<T>> {
    let found = known.iter().find(|(other, _)| other == name).map(|(_, thing)| thing);
    if found.is_none() {
        let names = || known.iter().map(|(name, _)| name.as_str());
        let help = match nearest(name.as_str(), names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("add [{table}.{name}]"),
            None => format!("add [{table}.{name}], or name one of {}", listed(names())),
        };
        value.error(format!("there is no {what} `{name}`"), Some(help));
    }
    found
}

fn read_policy(table: &Table<'_>, scope: &Scope<'_>) -> Option<Policy> {
    let file = |value: &Value<'_>| path(value, scope.directory);
    let component = or(table.get("component"), None, |value| file(value).map(Some));
    let entities = table.get("entities");
    if let (Some(_), Some(value)) = (table.get("component"), &entities) {
        let help = "remove it: a component of your own reads `text` or `file` as it likes";
        value.error("`entities` is for the host's own policy component".to_owned(), Some(help.to_owned()));
    }
    let entities = or(entities, None, |value| file(value).map(Some));
    let text = match (table.get("text"), table.get("file")) {
        (Some(value), None) => value.text().map(|text| PolicyText::Inline(text.to_owned())),
        (None, Some(value)) => file(&value).map(PolicyText::File),
        (Some(_), Some(value)) => {
            value
                .error("`text` and `file` are both set".to_owned(), Some("remove one of the two".to_owned()));
            None
        }
        (None, None) if table.get("component").is_some() => Some(PolicyText::Inline(String::new())),
        (None, None) => {
            table.error(
                "there are no rules, so every request would be denied".to_owned(),
                "add `file = \"policy.cedar\"`, or `text = \"permit (principal, action, resource);\"`",
            );
            None
        }
    };
    Some(Policy { component: component?, text: text?, entities: entities? })
}

fn read_bucket(name: &Name, table: &Table<'_>) -> Option<BucketSetting> {
    let unit = or(table.get("unit"), Unit::Requests, |value| value.choice(&UNITS));
    let quota = table
        .require("quota", "say how many units each window has, such as `quota = 100`")
        .and_then(|value| value.integer(1, u64::MAX));
    let window = table
        .require("window", "say how long the quota takes to fill, such as `window = \"1m\"`")
        .and_then(|value| value.duration(WINDOWS.0, WINDOWS.1));
    let key = or(table.get("key"), Vec::new(), |value| value.set(|item| item.choice(&KEY_FIELDS)));
    let consistency = or(table.get("consistency"), Consistency::Exact, |value| value.choice(&CONSISTENCIES));
    let reserve = match (table.get("reserve"), unit) {
        (Some(value), Some(Unit::Requests)) => {
            let help = "remove it, or write `unit = \"gas\"`";
            value.error(
                "`reserve` is for buckets of gas: a request always costs 1".to_owned(),
                Some(help.to_owned()),
            );
            None
        }
        (Some(value), _) => value.integer(1, quota.unwrap_or(u64::MAX)),
        (None, Some(Unit::Gas)) => {
            let help = "write what a typical run takes, such as `reserve = 2000000`; the rest is settled after the run";
            table.error(format!("`reserve` is missing in [{}], a bucket of gas", table.path()), help);
            None
        }
        (None, _) => Some(0),
    };
    Some(BucketSetting {
        name: name.clone(),
        unit: unit?,
        quota: quota?,
        window: window?,
        key: key?,
        reserve: reserve?,
        consistency: consistency?,
    })
}

fn read_clients(table: &Table<'_>) -> Option<Vec<Client>> {
    let mut seen: Vec<(Name, [u8; 32])> = Vec::new();
    let clients = table.named("clients", |name, table| {
        if matches!(name.as_str(), "anonymous" | "host") {
            table.error(
                format!("`{name}` is what the gate calls another kind of caller"),
                "give the client another name",
            );
        }
        let help = "write the token's sha256, as `printf %s \"$TOKEN\" | sha256sum` prints it";
        let token = table.require("token-sha256", help).and_then(|value| {
            let token = value.form("64 lower-case hexadecimal digits: the sha256 of the token", digest)?;
            if let Some((other, _)) = seen.iter().find(|(_, seen)| *seen == token) {
                let help = "give each client a token of its own: the log could not tell them apart";
                value.error(format!("client `{other}` has the same token"), Some(help.to_owned()));
                return None;
            }
            Some(token)
        });
        seen.extend(token.map(|token| (name.clone(), token)));
        let groups = or(table.get("groups"), Vec::new(), |value| {
            let groups = value.set(Value::name)?;
            if groups.len() > 16 {
                value.error(format!("{} groups are more than 16", groups.len()), None);
                return None;
            }
            Some(groups)
        });
        Some(Client { name: name.clone(), token_sha256: token?, groups: groups? })
    });
    clients.into_iter().map(|(_, client)| client).collect()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let lower = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if !lower {
        return None;
    }
    hex::decode(text).ok()?.try_into().ok()
}
