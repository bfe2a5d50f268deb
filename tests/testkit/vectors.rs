//! The conformance corpus: requests, and what every platform says to them.

use crate::case::{App, Case, Tenant};
use crate::files::workspace;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One file: what is configured, and the requests that are sent to it, in order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vectors {
    /// What the file is about, for its readers.
    pub about: String,
    tenant: Vec<TenantSetting>,
    pub request: Vec<Vector>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TenantSetting {
    name: String,
    /// Cedar text; everybody may do everything unless it is given.
    policy: Option<String>,
    /// Tables of the tenant, their names relative to it.
    #[serde(default)]
    tables: String,
    app: Vec<AppSetting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AppSetting {
    name: String,
    /// The component, by the name of its guest.
    guest: String,
    /// Further lines of the app's table.
    #[serde(default)]
    keys: String,
    #[serde(default)]
    grants: String,
    /// Further lines of its route.
    #[serde(default)]
    route: String,
    /// Whether it answers for every host, and not only for its tenant's.
    #[serde(default)]
    any_host: bool,
}

/// A request, and what is said to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vector {
    pub name: String,
    send: Send,
    pub expect: Expect,
    /// What a platform says instead, and why that is admitted.
    #[serde(default)]
    pub differs: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Send {
    #[serde(default = "get")]
    method: String,
    target: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// So many bytes of body, in place of a text.
    bytes: Option<usize>,
}

fn get() -> String {
    "GET".to_owned()
}

/// What is said. Whatever is left out is not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    pub status: Option<u16>,
    /// The outcome in the request's record, such as `answered:200`; `none` where there is no record.
    pub verdict: Option<String>,
    /// The code of a problem document, which then is the whole body.
    pub problem: Option<String>,
    /// The whole body, with `ID` for the request's id.
    pub body: Option<String>,
    /// Whether the body breaks off.
    pub cut: Option<bool>,
    /// Every header of the response, but for those of the connection, the framing and the date.
    pub headers: Option<BTreeMap<String, String>>,
    /// Fields of the record.
    #[serde(default)]
    pub record: BTreeMap<String, toml::Value>,
    /// Gas, to the unit.
    pub gas: Option<u64>,
}

/// What a platform says in place of what all say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Difference {
    pub on: Platform,
    pub because: String,
    pub expect: Expect,
}

/// Where a gate and its apps run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    Server,
    Cloudflare,
    Fastly,
}

impl Vectors {
    /// The file of this name.
    #[track_caller]
    pub fn read(subject: &str) -> Self {
        let path = workspace().join(format!("tests/conformance/vectors/{subject}.toml"));
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The names of all files.
    pub fn subjects() -> Vec<String> {
        let files = std::fs::read_dir(workspace().join("tests/conformance/vectors")).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".toml").expect("a file of vectors").to_owned())
            .collect();
        names.sort();
        names
    }

    /// What every platform is configured with.
    pub fn case(&self) -> Case {
        self.tenant.iter().fold(Case::new(), |case, setting| case.tenant(setting.tenant()))
    }
}

impl TenantSetting {
    fn tenant(&self) -> Tenant {
        let mut tenant = Tenant::new(&self.name);
        if let Some(policy) = &self.policy {
            tenant = tenant.policy(policy);
        }
        if !self.tables.is_empty() {
            tenant = tenant.tables(&self.tables);
        }
        self.app.iter().fold(tenant, |tenant, setting| {
            let app = App::guest(&setting.guest).named(&setting.name);
            let app = app.keys(&setting.keys).grants(&setting.grants).route(&setting.route);
            tenant.app(if setting.any_host { app.any_host() } else { app })
        })
    }
}

impl Vector {
    pub fn request(&self) -> Request<Full<Bytes>> {
        let Send { method, target, headers, body, bytes } = &self.send;
        let mut request = Request::builder().method(method.as_str()).uri(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = bytes.map_or_else(|| body.clone().into_bytes(), |bytes| vec![b'x'; bytes]);
        request.body(Full::new(body.into())).unwrap()
    }

    /// What a platform says, and whether that is another thing than all say.
    pub fn expected(&self, platform: Platform) -> (Expect, Option<&Difference>) {
        let mut of_platform = self.differs.iter().filter(|difference| difference.on == platform);
        let difference = of_platform.next();
        assert!(of_platform.next().is_none(), "`{}` says twice what {platform:?} says", self.name);
        let Some(Difference { expect, because, .. }) = difference else { return (self.expect.clone(), None) };
        assert!(!because.is_empty(), "`{}` gives no reason why {platform:?} differs", self.name);
        (self.expect.changed(expect), difference)
    }
}

impl Expect {
    /// The same, but for what the other says. Another status says nothing of the rest of the message.
    fn changed(&self, other: &Self) -> Self {
        let Self { status, verdict, problem, body, cut, headers, record, gas } = other.clone();
        // With another status comes another message.
        let same = |_: &_| status.is_none();
        let same_headers = |_: &BTreeMap<_, _>| status.is_none();
        Self {
            status: status.or(self.status),
            verdict: verdict.or_else(|| self.verdict.clone()),
            problem: problem.or_else(|| self.problem.clone().filter(same)),
            body: body.or_else(|| self.body.clone().filter(same)),
            cut: cut.or(self.cut),
            headers: headers.or_else(|| self.headers.clone().filter(same_headers)),
            record: self.record.clone().into_iter().chain(record).collect(),
            gas: gas.or(self.gas),
        }
    }
}
