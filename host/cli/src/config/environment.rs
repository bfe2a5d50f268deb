//! `deploy.toml`: the places that `tollgate deploy` deploys to, by the names that `--env` takes.

use super::read::{Table, Value, or};
use super::{ConfigError, parse, read_text};
use http::StatusCode;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tollgate_deploy::{Check, CloudflareAccount, FastlyService, Plan, Site, Stage};
use tollgate_runtime::Name;

/// The longest that a version is watched with one share of traffic.
const MAX_HOLD: Duration = Duration::from_secs(7 * 86_400);

/// The time that a version is watched, where none is given: longer than platforms take to switch everywhere.
const HOLD: Duration = Duration::from_secs(60);

/// How many checks in a hundred may fail, where nothing is given.
const MAX_ERRORS_PERCENT: u64 = 1;

/// Every place of a file.
#[derive(Debug, Clone)]
pub struct Environments {
    /// The environments, sorted by name.
    pub all: Vec<Environment>,
}

/// An environment: the same checks, on one platform or on both.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub name: Name,
    /// Where it is on Cloudflare.
    pub cloudflare: Option<Cloudflare>,
    /// Where it is on Fastly.
    pub fastly: Option<Fastly>,
}

/// A worker, and how versions of it come to have traffic.
#[derive(Debug, Clone)]
pub struct Cloudflare {
    /// Where it is.
    pub place: CloudflareAccount,
    /// Whose token is used.
    pub token: TokenSource,
    /// How versions come to have traffic.
    pub plan: Plan,
}

/// A service, and how versions of it come to have traffic.
#[derive(Debug, Clone)]
pub struct Fastly {
    /// Where it is.
    pub place: FastlyService,
    /// Whose token is used.
    pub token: TokenSource,
    /// How versions come to have traffic.
    pub plan: Plan,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In the platform's own variable.
    Environment,
    /// In a file that nobody else may read.
    File(PathBuf),
}

impl Environments {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text(file)?, file)
    }

    /// Checks the text of a file; `file` is where its paths are relative to, and what messages name.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let directory = file.parent().unwrap_or(Path::new(""));
        let read = parse(text, file, |root, _| {
            let all = root.named("environments", |name, table| environment(name, table, directory));
            all.into_iter().map(|(_, environment)| environment).collect::<Option<Vec<_>>>()
        });
        read.map(|(all, _)| Self { all })
    }

    /// The environment of this name.
    pub fn named(&self, name: &Name) -> Option<&Environment> {
        self.all.iter().find(|environment| environment.name == *name)
    }
}

/// What both platforms' plans have in common.
struct Common {
    checks: Vec<Check>,
    max_errors_percent: u8,
}

fn environment(name: &Name, table: &Table<'_>, directory: &Path) -> Option<Environment> {
    let help = "add `checks = [{ path = \"/\", status = 200 }]`: without one, nothing tells a bad version from a good one";
    let checks = table.require("checks", help).and_then(|value| checks(&value, help));
    let percent = or(table.get("max-errors-percent"), MAX_ERRORS_PERCENT, |value| value.integer(0, 100));
    let common = match (checks, percent.and_then(|percent| u8::try_from(percent).ok())) {
        (Some(checks), Some(max_errors_percent)) => Some(Common { checks, max_errors_percent }),
        _ => None,
    };
    let on_cloudflare = table
        .get("cloudflare")
        .map(|value| value.table(|table| cloudflare(table, directory, common.as_ref())));
    let on_fastly =
        table.get("fastly").map(|value| value.table(|table| fastly(table, directory, common.as_ref())));
    if on_cloudflare.is_none() && on_fastly.is_none() {
        let help = "add a table `cloudflare` with `account`, `worker` and `url`, or `fastly` with `service` and `url`";
        table.error(format!("environment `{name}` is nowhere"), help);
    }
    // What is there and can't be read has been reported, and makes the whole unreadable.
    let (cloudflare, fastly) = (
        on_cloudflare.map_or(Some(None), |it| it.map(Some))?,
        on_fastly.map_or(Some(None), |it| it.map(Some))?,
    );
    common.map(|_| Environment { name: name.clone(), cloudflare, fastly })
}

fn checks(value: &Value<'_>, help: &str) -> Option<Vec<Check>> {
    let list = value.list()?;
    if list.is_empty() {
        value.error("`checks` is empty".to_owned(), Some(help.to_owned()));
        return None;
    }
    // All are read, so that each shows its problems.
    let all: Vec<Option<Check>> = list.iter().map(|value| value.table(check)).collect();
    all.into_iter().collect()
}

fn check(table: &Table<'_>) -> Option<Check> {
    let is_path = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (text.starts_with('/') && plain).then(|| text.to_owned())
    };
    let path = table
        .require("path", "write what is asked for, such as `path = \"/hello\"`")
        .and_then(|value| value.form("a path that begins with `/`, such as \"/hello?name=x\"", is_path));
    let site = or(table.get("url"), None, |value| site(value).map(Some));
    let status = or(table.get("status"), 200, |value| value.integer(100, 599));
    let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let body = or(table.get("body"), None, |value| value.text().map(|text| Some(text.to_owned())));
    Some(Check { path: path?, site: site?, status: status?, body: body? })
}

fn site(value: &Value<'_>) -> Option<Site> {
    value.parse(str::parse)
}

fn cloudflare(table: &Table<'_>, directory: &Path, common: Option<&Common>) -> Option<Cloudflare> {
    let account = table
        .require("account", "write the account's id: the dashboard shows it, 32 hexadecimal digits")
        .and_then(|value| value.form("an account's id: letters and digits", identifier));
    let worker = table
        .require("worker", "write the worker's name, such as `worker = \"shop\"`")
        .and_then(|value| value.name());
    let api = api(table);
    let token = token(table, directory);
    let stages = or(table.get("canary"), Vec::new(), stages);
    let plan = plan(table, common, stages);
    let place = CloudflareAccount { account: account?, worker: worker?.to_string(), api: api? };
    Some(Cloudflare { place, token: token?, plan: plan? })
}

fn fastly(table: &Table<'_>, directory: &Path, common: Option<&Common>) -> Option<Fastly> {
    let service = table
        .require("service", "write the service's id: `fastly service list` shows it")
        .and_then(|value| value.form("a service's id: letters and digits", identifier));
    let staging = or(table.get("staging"), true, Value::flag);
    let api = api(table);
    let token = token(table, directory);
    let plan = plan(table, common, Some(Vec::new()))?;
    let place = FastlyService { service: service?, staging: staging?, site: plan.site.clone(), api: api? };
    Some(Fastly { place, token: token?, plan })
}

fn identifier(text: &str) -> Option<String> {
    let plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| text.to_owned())
}

fn api(table: &Table<'_>) -> Option<Option<Site>> {
    or(table.get("api"), None, |value| site(value).map(Some))
}

fn token(table: &Table<'_>, directory: &Path) -> Option<TokenSource> {
    or(table.get("token-file"), TokenSource::Environment, |value| {
        value.text().map(|file| TokenSource::File(directory.join(file)))
    })
}

fn plan(table: &Table<'_>, common: Option<&Common>, stages: Option<Vec<Stage>>) -> Option<Plan> {
    let site = table
        .require("url", "write where clients reach it, such as `url = \"https://shop.example.com\"`")
        .and_then(|value| site(&value));
    let hold = or(table.get("hold"), HOLD, |value| value.duration(Duration::ZERO, MAX_HOLD));
    let Common { checks, max_errors_percent } = common?;
    let (checks, max_errors_percent) = (checks.clone(), *max_errors_percent);
    Some(Plan { site: site?, checks, max_errors_percent, stages: stages?, hold: hold? })
}

fn stage(table: &Table<'_>) -> Option<Stage> {
    let percent = table
        .require("percent", "write the share of traffic, such as `percent = 10`")
        .and_then(|value| value.integer(1, 99));
    let hold = table
        .require("hold", "write how long it is watched with that share, such as `hold = \"5m\"`")
        .and_then(|value| value.duration(Duration::ZERO, MAX_HOLD));
    Some(Stage { percent: u8::try_from(percent?).ok()?, hold: hold? })
}

fn stages(value: &Value<'_>) -> Option<Vec<Stage>> {
    let all: Vec<Option<Stage>> = value.list()?.iter().map(|value| value.table(stage)).collect();
    let stages: Vec<Stage> = all.into_iter().collect::<Option<_>>()?;
    if stages.windows(2).any(|pair| matches!(pair, [one, two] if one.percent >= two.percent)) {
        let help = "let each share be greater than the one before it";
        value.error("the shares of `canary` do not grow".to_owned(), Some(help.to_owned()));
        return None;
    }
    Some(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[environments.production]
checks = [{ path = "/hello", body = "hello" }, { path = "/no", status = 404, url = "https://b.example.com" }]
max-errors-percent = 2
[environments.production.cloudflare]
account = "023e105f4ecef8ad9ca31a8372d0c353"
worker = "shop"
url = "https://shop.example.com"
canary = [{ percent = 10, hold = "5m" }, { percent = 50, hold = "1m" }]
hold = "2m"
token-file = "cloudflare.token"
[environments.production.fastly]
service = "SU1Z0isxPaozGVKXdv0eY"
url = "https://shop.example.com"
staging = false
"#;

    fn said(text: &str) -> String {
        Environments::parse(text, Path::new("deploy.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let all = Environments::parse(GOOD, Path::new("/srv/deploy.toml")).unwrap();
        let one = all.named(&Name::new("production").unwrap()).unwrap();
        let (cloudflare, fastly) = (one.cloudflare.as_ref().unwrap(), one.fastly.as_ref().unwrap());
        assert_eq!(cloudflare.token, TokenSource::File("/srv/cloudflare.token".into()));
        let stage = |percent, seconds| Stage { percent, hold: Duration::from_secs(seconds) };
        assert_eq!(cloudflare.plan.stages, [stage(10, 300), stage(50, 60)]);
        assert_eq!((cloudflare.plan.max_errors_percent, cloudflare.plan.checks.len()), (2, 2));
        assert_eq!((fastly.place.staging, fastly.plan.hold), (false, HOLD));
        assert_eq!(fastly.token, TokenSource::Environment);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_the_way_out() {
        let canary = said(&GOOD.replace("staging = false", "canary = []"));
        assert!(canary.contains("unknown key `canary` in [environments.production.fastly]"), "{canary}");
        let shrinks = said(&GOOD.replace("percent = 50", "percent = 10"));
        assert!(shrinks.contains("the shares of `canary` do not grow"), "{shrinks}");
        let clear = said(&GOOD.replace("url = \"https://shop", "url = \"http://shop"));
        assert!(
            clear.contains("`http` is for this machine alone") && clear.contains("deploy.toml:8:"),
            "{clear}"
        );
        let blind = said("[environments.a]\n");
        assert!(blind.contains("`checks` is missing") && blind.contains("is nowhere"), "{blind}");
        let near = said(&GOOD.replace("worker =", "wroker ="));
        assert!(near.contains("`worker` is missing") && near.contains("did you mean `worker`?"), "{near}");
    }
}
