//! Compute: a service, its numbered versions, and stores.

use super::{Asked, Contract, Picked, Reply, STAGING, Script, TOKEN};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;

/// One account with one service, which has been made and never activated.
pub(super) struct Compute {
    versions: Vec<Version>,
    activated: Vec<usize>,
    staged: Option<usize>,
    stores: BTreeMap<String, Vec<Value>>,
    secrets: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Version {
    active: bool,
    locked: bool,
    comment: String,
    package: Option<Bytes>,
    backends: BTreeMap<String, BTreeMap<String, String>>,
    resources: Vec<Value>,
}

/// The files of a bundle with this code.
pub(super) fn bundle(script: &str) -> Vec<(&'static str, String)> {
    let manifest = "manifest_version = 3\nname = \"shop\"\nlanguage = \"other\"\n\
                    [setup.backends.acme_api]\naddress = \"origin.example.com\"\nport = 443\n\
                    [setup.kv_stores.tollgate-limits]\ndescription = \"Counts\"\n\
                    [setup.log_endpoints.tollgate-audit]\ndescription = \"Records\"\n";
    vec![("bin/main.wasm", script.to_owned()), ("fastly.toml", manifest.to_owned())]
}

fn refused(status: u16, message: &str, detail: &str) -> Reply {
    (StatusCode::from_u16(status).unwrap(), json!({"msg": message, "detail": detail}))
}

fn done(value: Value) -> Reply {
    (StatusCode::OK, value)
}

impl Compute {
    pub(super) fn new() -> Self {
        Self {
            versions: vec![Version::default()],
            activated: Vec::new(),
            staged: None,
            stores: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    fn shown(&self, number: usize) -> Value {
        let Version { active, locked, comment, .. } = &self.versions[number - 1];
        let staging = self.staged == Some(number);
        json!({
            "service_id": "SVC0", "number": number, "active": active, "locked": locked, "staging": staging,
            "comment": comment, "created_at": "2026-11-22T00:00:00Z",
        })
    }

    /// A version that may be changed.
    fn draft(&mut self, number: usize) -> Result<&mut Version, Reply> {
        let version = &mut self.versions[number - 1];
        if version.active || version.locked {
            let detail = format!("Version {number} is active or locked and can't be modified");
            return Err(refused(422, "Bad request", &detail));
        }
        Ok(version)
    }

    fn of_version(&mut self, asked: &Asked, number: usize, rest: &str) -> Result<Reply, Reply> {
        if number == 0 || number > self.versions.len() {
            return Err(refused(404, "Record not found", "Cannot find version"));
        }
        let form = asked.form();
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        let reply = match (asked.method.as_str(), rest) {
            ("GET", "") => self.shown(number),
            ("PUT", "") => {
                self.draft(number)?.comment = field("comment");
                self.shown(number)
            }
            ("PUT", "/clone") => {
                let version = Version { active: false, locked: false, ..self.versions[number - 1].clone() };
                self.versions.push(version);
                self.shown(self.versions.len())
            }
            ("PUT", "/package") => {
                let package = asked.parts().remove("package");
                let package = package.ok_or_else(|| refused(400, "Bad request", "no package"))?;
                if code_of(&package).is_none() {
                    return Err(refused(400, "Bad request", "the package has no bin/main.wasm"));
                }
                self.draft(number)?.package = Some(package);
                json!({"service_id": "SVC0", "version": number, "metadata": {"name": "shop"}})
            }
            ("GET", "/backend") => {
                let shown = |backend: &BTreeMap<String, String>| {
                    json!({
                        "name": backend["name"], "address": backend["address"],
                        "port": backend["port"].parse::<u16>().unwrap(),
                        "use_ssl": backend["use_ssl"] == "1",
                        "ssl_cert_hostname": backend.get("ssl_cert_hostname"),
                    })
                };
                self.versions[number - 1].backends.values().map(shown).collect()
            }
            ("POST", "/backend") => {
                let name = field("name");
                if self.draft(number)?.backends.insert(name.clone(), form).is_some() {
                    return Err(refused(409, "Conflict", "Duplicate backend"));
                }
                json!({"name": name})
            }
            ("GET", "/resource") => self.versions[number - 1].resources.clone().into(),
            ("POST", "/resource") => {
                let resource = json!({"name": field("name"), "resource_id": field("resource_id")});
                self.draft(number)?.resources.push(resource.clone());
                resource
            }
            ("GET", "/validate") => match self.versions[number - 1].package {
                Some(_) => json!({"status": "ok", "msg": null}),
                None => json!({"status": "error", "msg": "there is no package"}),
            },
            ("PUT", "/activate/staging") => {
                if self.activated.is_empty() {
                    return Err(refused(400, "Bad request", "a version must be active before one is staged"));
                }
                self.staged = Some(number);
                self.shown(number)
            }
            ("PUT", "/activate") => {
                for version in &mut self.versions {
                    version.active = false;
                }
                let version = &mut self.versions[number - 1];
                (version.active, version.locked) = (true, true);
                self.activated.push(number);
                self.shown(number)
            }
            ("GET", "/domain?include=staging_ips") => {
                json!([{"name": "127.0.0.1", "staging_ip": STAGING.to_string()}])
            }
            _ => return Err(refused(404, "Not found", &asked.path)),
        };
        Ok(done(reply))
    }

    fn of_stores(&mut self, asked: &Asked, rest: &str) -> Reply {
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let page = |data: Vec<Value>| done(json!({"data": data, "meta": {"limit": 100}}));
        match (asked.method.as_str(), rest) {
            ("GET", "") => page(self.stores.get(kind).cloned().unwrap_or_default()),
            ("POST", "") => {
                let name = asked.json()["name"].clone();
                let stores = self.stores.entry(kind.to_owned()).or_default();
                if stores.iter().any(|store| store["name"] == name) {
                    return refused(409, "Conflict", "a store of that name exists");
                }
                let store = json!({"id": format!("{kind}{}", stores.len()), "name": name});
                stores.push(store.clone());
                done(store)
            }
            ("PUT", "secret0/secrets") => {
                let secret = asked.json();
                let (name, value) = (secret["name"].as_str().unwrap(), secret["secret"].as_str().unwrap());
                self.secrets.insert(name.to_owned(), value.to_owned());
                done(json!({"name": name}))
            }
            ("GET", "secret0/secrets") => {
                page(self.secrets.keys().map(|name| json!({"name": name})).collect())
            }
            _ => refused(404, "Not found", &asked.path),
        }
    }

    fn code(&self, number: usize) -> Option<String> {
        code_of(self.versions[number - 1].package.as_ref()?)
    }
}

/// `bin/main.wasm` of a package, as text.
fn code_of(package: &[u8]) -> Option<String> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(package).read_to_end(&mut tar).ok()?;
    let mut at = 0;
    while let Some(head) = tar.get(at..at + 512).filter(|head| head[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&head[range]).trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).ok()?;
        if text(0..100).ends_with("/bin/main.wasm") {
            return Some(String::from_utf8_lossy(tar.get(at + 512..at + 512 + size)?).into_owned());
        }
        at += 512 + size.next_multiple_of(512);
    }
    None
}

impl Contract for Compute {
    fn admits(&self, headers: &HeaderMap) -> bool {
        headers.get("fastly-key").is_some_and(|value| value == TOKEN)
    }

    fn denial(&self) -> Reply {
        refused(401, "Provided credentials are missing or invalid", "")
    }

    fn call(&mut self, asked: &Asked) -> Reply {
        if let Some(rest) = asked.path.strip_prefix("/resources/stores/") {
            return self.of_stores(asked, rest);
        }
        let Some(rest) = asked.path.strip_prefix("/service/SVC0/version") else {
            return refused(404, "Not found", &asked.path);
        };
        if rest.is_empty() {
            return done((1..=self.versions.len()).map(|number| self.shown(number)).collect());
        }
        let rest = rest.trim_start_matches('/');
        let (number, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        self.of_version(asked, number.parse().unwrap(), rest).unwrap_or_else(|refusal| refusal)
    }

    fn pick(&mut self, _headers: &HeaderMap, staging: bool) -> Option<Picked> {
        let number = if staging { self.staged } else { self.activated.last().copied() }?;
        let percent = if staging { 0 } else { 100 };
        Some(Picked { version: number.to_string(), code: self.code(number)?, percent })
    }

    /// Versions on the staging network have an address of their own, and activation is at once here.
    fn lag(&mut self, _requests: u32) {}

    fn meddle(&mut self) {
        let mut version = self.versions[self.activated.last().unwrap() - 1].clone();
        version.comment = "by hand".into();
        for other in &mut self.versions {
            other.active = false;
        }
        self.versions.push(version);
        self.activated.push(self.versions.len());
    }

    fn history(&self) -> Vec<String> {
        let name = |number: &usize| match self.versions[number - 1].comment.as_str() {
            "by hand" => "somebody else's".to_owned(),
            _ => self.code(*number).map_or_else(|| "nothing".into(), |code| Script::of(&code).body),
        };
        self.activated.iter().map(name).collect()
    }
}
