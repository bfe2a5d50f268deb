//! Workers: scripts, versions and deployments.

use super::{Asked, Contract, Picked, Reply, Script, TOKEN};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SCRIPT: &str = "/accounts/acct0/workers/scripts/shop";

/// One account with one worker.
#[derive(Default)]
pub(super) struct Workers {
    versions: Vec<Version>,
    deployments: Vec<Vec<(String, u64)>>,
    migration_tag: Option<String>,
    classes: BTreeSet<String>,
    secrets: BTreeMap<String, String>,
    /// Clients' requests that the edge sends by the deployment before, and how many those are after each change.
    behind: u32,
    lag: u32,
}

#[derive(Clone)]
struct Version {
    id: String,
    annotations: Value,
    code: String,
    says_which: bool,
    /// As they were when it was made.
    secrets: BTreeMap<String, String>,
}

impl Version {
    fn shown(&self, number: usize) -> Value {
        json!({
            "id": self.id,
            "number": number + 1,
            "metadata": {
                "created_on": format!("2026-11-22T00:00:{number:02}Z"), "modified_on": "2026-11-22T00:00:00Z",
                "source": "api", "author_id": "author", "author_email": "author@example.com",
            },
            "annotations": self.annotations,
            "resources": {
                "bindings": [], "script": {"etag": "etag", "handlers": ["fetch"], "last_deployed_from": "api"},
                "script_runtime": {"usage_model": "standard"},
            },
        })
    }
}

/// The files of a bundle with this code.
pub(super) fn bundle(script: &str) -> Vec<(&'static str, String)> {
    let wrangler = json!({
        "name": "shop",
        "main": "worker.js",
        "no_bundle": true,
        "find_additional_modules": true,
        "rules": [{ "type": "ESModule", "globs": ["**/*.js"] }],
        "compatibility_date": "2026-11-01",
        "limits": { "cpu_ms": 1_000 },
        "durable_objects": { "bindings": [{ "name": "GATE", "class_name": "Gate" }] },
        "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Gate"] }],
        "vars": { "CLIENT_ADDRESS": "cf-connecting-ip" },
        "version_metadata": { "binding": "VERSION" },
    });
    vec![
        ("worker.js", script.to_owned()),
        ("gate/core.wasm", "core".into()),
        ("wrangler.jsonc", wrangler.to_string()),
    ]
}

fn done(result: Value) -> Reply {
    (StatusCode::OK, json!({"success": true, "errors": [], "messages": [], "result": result}))
}

fn refused(status: u16, code: u64, message: &str) -> Reply {
    let errors = json!([{"code": code, "message": message}]);
    (
        StatusCode::from_u16(status).unwrap(),
        json!({"success": false, "errors": errors, "messages": [], "result": null}),
    )
}

impl Workers {
    fn is_there(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Takes an upload: checks what the platform checks, and returns the version's id.
    fn take(&mut self, asked: &Asked, with_migrations: bool) -> Result<String, Reply> {
        let parts = asked.parts();
        let metadata: Value = serde_json::from_slice(&parts["metadata"]).unwrap();
        let migrations = &metadata["migrations"];
        if migrations.is_object() && !with_migrations {
            return Err(refused(
                400,
                10_211,
                "Version upload failed. Migrations must be fully applied by running \"wrangler deploy\".",
            ));
        }
        if migrations.is_object() {
            if migrations["old_tag"].as_str() != self.migration_tag.as_deref() {
                return Err(refused(412, 10_079, "The migration tag precondition failed."));
            }
            for step in migrations["steps"].as_array().unwrap() {
                let classes = step["new_sqlite_classes"].as_array().into_iter().flatten();
                self.classes.extend(classes.map(|class| class.as_str().unwrap().to_owned()));
            }
            self.migration_tag = migrations["new_tag"].as_str().map(str::to_owned);
        }
        let main = metadata["main_module"].as_str().unwrap();
        let Some(code) = parts.get(main) else {
            return Err(refused(400, 10_021, "The main module is not among the uploaded modules."));
        };
        let mut says_which = false;
        for binding in metadata["bindings"].as_array().unwrap() {
            let name = binding["name"].as_str().unwrap().to_owned();
            match binding["type"].as_str().unwrap() {
                "durable_object_namespace"
                    if !self.classes.contains(binding["class_name"].as_str().unwrap()) =>
                {
                    return Err(refused(
                        400,
                        10_061,
                        "Cannot create binding for a class that no migration made.",
                    ));
                }
                "secret_text" => {
                    self.secrets.insert(name, binding["text"].as_str().unwrap().to_owned());
                }
                "version_metadata" => says_which = true,
                _ => {}
            }
        }
        let code = String::from_utf8_lossy(code).into_owned();
        Ok(self.add(metadata["annotations"].clone(), code, says_which))
    }

    fn add(&mut self, annotations: Value, code: String, says_which: bool) -> String {
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.versions.len() + 1);
        let secrets = self.secrets.clone();
        self.versions.push(Version { id: id.clone(), annotations, code, says_which, secrets });
        id
    }

    fn live(&self) -> &[(String, u64)] {
        self.deployments.last().map_or(&[], Vec::as_slice)
    }

    fn deploy(&mut self, asked: &Asked, force: bool) -> Reply {
        let document = asked.json();
        let versions = document["versions"].as_array().cloned().unwrap_or_default();
        let shares: Vec<(String, u64)> = versions
            .iter()
            .map(|share| {
                (share["version_id"].as_str().unwrap().to_owned(), share["percentage"].as_u64().unwrap())
            })
            .collect();
        let sum: u64 = shares.iter().map(|(_, percentage)| percentage).sum();
        if !(1..=2).contains(&shares.len()) || sum != 100 || document["strategy"] != "percentage" {
            return refused(
                400,
                10_001,
                "A deployment has one or two versions, whose percentages sum to 100.",
            );
        }
        if shares.iter().any(|(id, _)| !self.versions.iter().any(|version| version.id == *id)) {
            return refused(404, 10_008, "This version does not exist.");
        }
        let has_old_secrets =
            |id: &str| self.versions.iter().any(|it| it.id == id && it.secrets != self.secrets);
        if !force && shares.len() == 1 && has_old_secrets(&shares[0].0) {
            let message = "The following secrets have changed since the target version was deployed: …";
            return refused(400, 10_220, message);
        }
        self.deployments.push(shares);
        self.behind = self.lag;
        done(json!({"id": format!("deployment-{}", self.deployments.len())}))
    }

    fn set_secret(&mut self, asked: &Asked) -> Reply {
        let newest = self.versions.last().unwrap().clone();
        if self.live() != [(newest.id, 100)] {
            return refused(
                400,
                10_215,
                "Secret edit failed. The latest version of your Worker isn't currently deployed.",
            );
        }
        let secret = asked.json();
        self.secrets
            .insert(secret["name"].as_str().unwrap().to_owned(), secret["text"].as_str().unwrap().to_owned());
        let id = self.add(json!({"workers/triggered_by": "secret"}), newest.code, newest.says_which);
        self.deployments.push(vec![(id, 100)]);
        done(json!({"name": secret["name"], "type": "secret_text"}))
    }

    fn called(&self, id: &str) -> String {
        let version = self.versions.iter().find(|version| version.id == id).unwrap();
        Script::of(&version.code).body
    }
}

impl Contract for Workers {
    fn admits(&self, headers: &HeaderMap) -> bool {
        headers.get("authorization").is_some_and(|value| *value == format!("Bearer {TOKEN}"))
    }

    fn denial(&self) -> Reply {
        refused(403, 10_000, "Authentication error")
    }

    fn call(&mut self, asked: &Asked) -> Reply {
        if asked.is("GET", "/accounts/acct0/workers/services/shop") {
            let script = json!({"id": "shop", "migration_tag": self.migration_tag});
            return match self.is_there() {
                true => done(json!({"id": "shop", "default_environment": {"script": script}})),
                false => refused(404, 10_090, "This Worker does not exist on your account."),
            };
        }
        let Some(rest) = asked.path.strip_prefix(SCRIPT) else { return refused(404, 7_003, "No route") };
        if asked.method == "PUT" && rest.starts_with('?') {
            return match self.take(asked, true) {
                Ok(id) => {
                    self.deployments.push(vec![(id, 100)]);
                    done(json!({"id": "shop"}))
                }
                Err(refusal) => refusal,
            };
        }
        if !self.is_there() {
            return refused(404, 10_007, "This Worker does not exist on your account.");
        }
        match (asked.method.as_str(), rest) {
            ("GET", "/deployments") => {
                let shares = |shares: &Vec<(String, u64)>| {
                    let share = |(id, percentage): &(String, u64)| json!({"version_id": id, "percentage": percentage});
                    json!({
                        "id": "deployment", "source": "api", "strategy": "percentage", "annotations": {},
                        "author_email": "author@example.com", "created_on": "2026-11-22T00:00:00Z",
                        "versions": shares.iter().map(share).collect::<Vec<_>>(),
                    })
                };
                let deployments: Vec<Value> = self.deployments.iter().rev().map(shares).collect();
                done(json!({"deployments": deployments}))
            }
            ("GET", "/versions?deployable=true" | "/versions") => {
                let items: Vec<Value> = self
                    .versions
                    .iter()
                    .enumerate()
                    .rev()
                    .map(|(number, version)| version.shown(number))
                    .collect();
                done(json!({"items": items}))
            }
            ("GET", one) if one.starts_with("/versions/") => {
                let mut all = self.versions.iter().enumerate();
                match all.find(|(_, version)| one.ends_with(&version.id)) {
                    Some((number, version)) => done(version.shown(number)),
                    None => refused(404, 10_008, "This version does not exist."),
                }
            }
            ("POST", "/versions?bindings_inherit=strict") => match self.take(asked, false) {
                Ok(id) => done(json!({"id": id, "number": self.versions.len(), "startup_time_ms": 1})),
                Err(refusal) => refusal,
            },
            ("POST", "/deployments") => self.deploy(asked, false),
            ("POST", "/deployments?force=true") => self.deploy(asked, true),
            ("PUT", "/secrets") => self.set_secret(asked),
            ("GET", "/secrets") => {
                let secret = |name: &String| json!({"name": name, "type": "secret_text"});
                done(self.secrets.keys().map(secret).collect())
            }
            _ => refused(404, 7_003, "No route"),
        }
    }

    /// By the override header if the version is in the deployment that this part of the edge knows; else the first.
    /// Workers with Durable Objects have no preview URLs, so there is no other way to a version.
    fn pick(&mut self, headers: &HeaderMap, _staging: bool) -> Option<Picked> {
        let behind = self.behind > 0 && self.deployments.len() > 1;
        self.behind = self.behind.saturating_sub(1);
        let known = &self.deployments[self.deployments.len().checked_sub(1 + usize::from(behind))?];
        let named = headers.get("cloudflare-workers-version-overrides").and_then(|value| value.to_str().ok());
        let named = named.and_then(|text| text.strip_prefix("shop=\"")?.strip_suffix('"'));
        let share = known.iter().find(|(id, _)| Some(id.as_str()) == named).or(known.first())?;
        let version = self.versions.iter().find(|version| version.id == share.0)?;
        assert!(version.says_which, "a version that can't say which it is can't be told from another");
        Some(Picked {
            version: version.id.clone(),
            code: version.code.clone(),
            percent: u8::try_from(share.1).unwrap(),
        })
    }

    fn lag(&mut self, requests: u32) {
        self.lag = requests;
    }

    fn meddle(&mut self) {
        let id = self.add(Value::Null, "answers 200 somebody else's".into(), true);
        self.deployments.push(vec![(id, 100)]);
    }

    fn history(&self) -> Vec<String> {
        let told = |shares: &Vec<(String, u64)>| match shares.as_slice() {
            [(id, _)] => self.called(id),
            shares => {
                let share = |(id, percentage): &(String, u64)| format!("{} {percentage} %", self.called(id));
                shares.iter().map(share).collect::<Vec<_>>().join(", ")
            }
        };
        self.deployments.iter().map(told).collect()
    }
}
