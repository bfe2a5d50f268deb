//! `[[tenants.<name>.routes]]`: which requests an app answers.

use super::Scope;
use super::app::App;
use super::host::FAILURES;
use super::read::{Table, Value, or};
use super::tenant::refer;
use http::{HeaderName, Method};
use std::net::Ipv6Addr;
use tollgate_runtime::{BucketSetting, FailureMode, HostPattern, Name, RouteSetting};

/// The parts of a tenant that routes refer to.
type Known<T> = [(Name, Option<T>)];

/// Reads the routes of a tenant. Those of other tenants are not known here.
pub(super) fn read_all(
    value: &Value<'_>,
    apps: &Known<App>,
    buckets: &Known<BucketSetting>,
    scope: &Scope<'_>,
) -> Option<Vec<RouteSetting>> {
    let (mut routes, mut whole) = (Vec::<RouteSetting>::new(), true);
    let tenant = value.path().strip_suffix(".routes").unwrap_or_default();
    for value in value.list()? {
        let Some(route) = value.table(|table| read(table, tenant, apps, buckets, scope)) else {
            whole = false;
            continue;
        };
        if routes.iter().any(|other| other.name == route.name) {
            let help = "give each route of a tenant a name of its own: policies and the log name it";
            value.error(format!("there are two routes `{}`", route.name), Some(help.to_owned()));
            whole = false;
        }
        scope.claims.borrow_mut().push(Claim::new(&value, &route));
        routes.push(route);
    }
    whole.then_some(routes)
}

fn read(
    table: &Table<'_>,
    tenant: &str,
    apps: &Known<App>,
    buckets: &Known<BucketSetting>,
    scope: &Scope<'_>,
) -> Option<RouteSetting> {
    let name = table
        .require("name", "give the route a name, such as `name = \"home\"`")
        .and_then(|value| value.name());
    let host = or(table.get("host"), HostPattern::Any, |value| value.form(HOST_FORM, host_of));
    let path = or(table.get("path"), "/".to_owned(), |value| value.form(PATH_FORM, path_of));
    let methods = or(table.get("methods"), Vec::new(), |value| {
        let methods = value.set(|item| item.form("a method in upper case, such as \"GET\"", method_of))?;
        if methods.is_empty() {
            let help = "leave it out for all methods";
            value.error("`methods` is empty, so nothing would match".to_owned(), Some(help.to_owned()));
            return None;
        }
        Some(methods)
    });
    let app = table.require("app", "name the app that answers, such as `app = \"web\"`").and_then(|value| {
        let name = value.name()?;
        refer(&value, &name, apps, "app", &format!("{tenant}.apps")).map(|_| name)
    });
    let buckets = or(table.get("buckets"), Vec::new(), |value| {
        value.set(|item| {
            let name = item.name()?;
            refer(item, &name, buckets, "bucket", &format!("{tenant}.buckets")).map(|_| name)
        })
    });
    let headers = or(table.get("headers"), Vec::new(), |value| {
        value.set(|item| item.form("a header's name in lower case, such as \"x-plan\"", header_of))
    });
    let default = scope.gate.map_or(FailureMode::Closed, |gate| gate.failure);
    let failure = or(table.get("failure"), default, |value| value.choice(&FAILURES));
    Some(RouteSetting {
        name: name?,
        host: host?,
        path: path?,
        methods: methods?,
        app: app?,
        buckets: buckets?,
        headers: headers?,
        failure: failure?,
    })
}

const HOST_FORM: &str =
    "a host name in lower case without a port, such as \"acme.example.com\" or \"*.acme.example.com\"";
const PATH_FORM: &str =
    "a path that begins with `/`, in plain segments, without a `/` at its end, such as \"/api/v1\"";

fn host_of(text: &str) -> Option<HostPattern> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_'))
    };
    let name = |text: &str| text.len() <= 253 && text.split('.').all(label);
    let v6 = |text: &str| text.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == text);
    match (text.strip_prefix("*."), text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))) {
        (Some(below), _) => name(below).then(|| HostPattern::Below(below.to_owned())),
        (None, Some(address)) => v6(address).then(|| HostPattern::Exact(text.to_owned())),
        (None, None) => name(text).then(|| HostPattern::Exact(text.to_owned())),
    }
}

fn path_of(text: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&c);
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
    let fits = text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    (fits && text.len() <= 1024).then(|| text.to_owned())
}

fn method_of(text: &str) -> Option<Method> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_uppercase() || c == b'-');
    fits.then(|| Method::from_bytes(text.as_bytes()).ok()).flatten()
}

fn header_of(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok().filter(|name| name.as_str() == text && text.len() <= 128)
}

/// A place in the space of requests that a route claims.
pub(super) struct Claim {
    offset: usize,
    key: String,
    host: HostPattern,
    path: String,
    methods: Vec<Method>,
}

impl Claim {
    fn new(value: &Value<'_>, route: &RouteSetting) -> Self {
        Self {
            offset: value.offset(),
            key: value.path().to_owned(),
            host: route.host.clone(),
            path: route.path.clone(),
            methods: route.methods.clone(),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method));
        methods && self.host == other.host && self.path == other.path
    }
}

/// Reports every two routes that would answer the same request, of one tenant or of two.
pub(super) fn check_claims(claims: &[Claim], report: &super::problem::Report<'_>) {
    for (index, claim) in claims.iter().enumerate() {
        let Some(first) = claims.iter().take(index).find(|other| other.meets(claim)) else { continue };
        let host = match &claim.host {
            HostPattern::Any => "any host".to_owned(),
            host => format!("`{host}`"),
        };
        let (line, _) = report.position(first.offset);
        let message = format!("the route of line {line} has {host} and `{}` already", claim.path);
        let help = "change `host`, `path` or `methods` of one of the two, or remove one";
        report.error(claim.offset, &claim.key, message, Some(help.to_owned()));
    }
}
