//! Loading one tenant: its gate, its apps and its routes.

use super::{Common, HouseError, LoadedApp, Papers, Trouble};
use crate::config::{self, Config, PolicyText};
use crate::output::chain;
use futures::stream::{self, StreamExt};
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tollgate_runtime::{
    App, AppSpec, Gate, GateSetting, Manifest, Name, Route, RouteSetting, Runtime, Tenant,
};
use tollgate_trust::file::FileError;
use tollgate_trust::{Envelope, Verified};

/// The largest policy or entities file, in bytes.
const MAX_POLICY_BYTES: usize = 4 << 20;

/// Apps of one tenant that are worked on at the same time. Each has a thread and the bytes of its component for that
/// long, and what a thread has freed may stay with it.
const LOADED_AT_ONCE: usize = 4;

/// What became of one tenant.
#[derive(Default)]
pub(super) struct LoadedTenant {
    /// None if its gate can't be made.
    pub(super) tenant: Option<Tenant>,
    pub(super) routes: Vec<Route>,
    pub(super) apps: Vec<LoadedApp>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) papers: Vec<Papers>,
}

/// Loads the tenant at `index` of the configuration.
pub(super) async fn load(
    runtime: &Arc<Runtime>,
    common: &Arc<Common>,
    config: &Arc<Config>,
    index: usize,
) -> LoadedTenant {
    let Some(tenant) = config.tenants.get(index) else { return LoadedTenant::default() };
    let manifest = &|table: String| Manifest { file: config.file.clone(), table };
    let gate_at = manifest(format!("tenants.{}", tenant.name));
    let gate = load_gate(runtime, common, config, tenant, gate_at.clone());
    let each = tenant.apps.iter().map(|app| async move {
        let at = manifest(format!("tenants.{}.apps.{}", tenant.name, app.name));
        (app.name.clone(), at.clone(), load_app(runtime, common, tenant, app, at).await)
    });
    let apps = stream::iter(each.collect::<Vec<_>>()).buffered(LOADED_AT_ONCE).collect::<Vec<_>>();
    let (gate, apps) = tokio::join!(gate, apps);
    let mut loaded = LoadedTenant::default();
    let mut running: Vec<(Name, Arc<App>)> = Vec::new();
    for (name, at, result) in apps {
        match result {
            Ok((shown, envelope, loaded_app)) => {
                let named = format!("{}/{name}", tenant.name);
                loaded.papers.push(Papers { kind: "app", name: named, envelope, at });
                loaded.apps.push(shown);
                running.push((name, loaded_app));
            }
            Err(reason) => {
                loaded.troubles.push(trouble("app", format!("{}/{name}", tenant.name), reason, at));
            }
        }
    }
    match gate {
        Ok((gate, own)) => {
            let named = tenant.name.to_string();
            let papers = |envelope| Papers { kind: "tenant", name: named, envelope, at: gate_at };
            loaded.papers.extend(own.map(papers));
            loaded.routes = tenant.routes.iter().map(|route| serve(tenant, route, &running)).collect();
            loaded.tenant = Some(Tenant {
                name: tenant.name.clone(),
                totals: tenant.totals.clone(),
                gate,
                clients: tenant.clients.clone(),
            });
        }
        Err(reason) => {
            loaded.apps.clear();
            loaded.papers.clear();
            loaded.troubles.push(trouble("tenant", tenant.name.to_string(), reason, gate_at));
        }
    }
    loaded
}

/// Why something is not taken in.
struct Reason {
    text: String,
    untrusted: bool,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, untrusted: false }
    }
}

fn trouble(kind: &'static str, name: String, reason: Reason, at: Manifest) -> Trouble {
    let Reason { text, untrusted } = reason;
    Trouble { kind, name, reason: text, file: at.file, key: at.table, untrusted }
}

fn shown(tenant: &config::Tenant, app: &config::App, verified: &Verified, loaded: &App) -> LoadedApp {
    let answers = tenant.routes.iter().filter(|route| route.app == app.name);
    LoadedApp {
        tenant: tenant.name.clone(),
        name: app.name.clone(),
        digest: loaded.digest().to_owned(),
        release: verified.release().subject(),
        signers: verified.signers().iter().map(ToString::to_string).collect(),
        places: answers.map(|route| format!("{}{}", route.host, route.path)).collect(),
    }
}

fn serve(tenant: &config::Tenant, route: &RouteSetting, running: &[(Name, Arc<App>)]) -> Route {
    let app = running.iter().find(|(name, _)| *name == route.app).map(|(_, app)| app.clone());
    Route {
        tenant: tenant.name.clone(),
        name: route.name.clone(),
        host: route.host.clone(),
        path: route.path.clone(),
        methods: route.methods.clone(),
        app_name: route.app.clone(),
        app,
        headers: route.headers.clone(),
        failure: route.failure,
    }
}

async fn load_app(
    runtime: &Arc<Runtime>,
    common: &Arc<Common>,
    tenant: &config::Tenant,
    app: &config::App,
    manifest: Manifest,
) -> Result<(LoadedApp, Envelope, Arc<App>), Reason> {
    let verified = verify(runtime, common, &app.component).await?;
    let spec = AppSpec {
        tenant: tenant.name.clone(),
        name: app.name.clone(),
        grants: app.grants.clone(),
        totals: tenant.totals.clone(),
        limits: app.limits.clone(),
        mode: app.mode,
        manifest,
    };
    let loaded = runtime.load_app(verified.clone(), spec).await.map_err(|error| chain(&error))?;
    Ok((shown(tenant, app, &verified, &loaded), verified.envelope().clone(), loaded))
}

async fn load_gate(
    runtime: &Arc<Runtime>,
    common: &Arc<Common>,
    config: &Config,
    tenant: &config::Tenant,
    manifest: Manifest,
) -> Result<(Arc<Gate>, Option<Envelope>), Reason> {
    let own =
        match &tenant.policy.component {
            Some(path) => Some(verify(runtime, common, path).await.map_err(|reason| Reason {
                text: format!("its policy component: {}", reason.text),
                ..reason
            })?),
            None => None,
        };
    let policy = tenant.policy.clone();
    let policy = runtime.aside(move || policy_text(&policy)).await;
    let policy = policy.map_err(|_| chain(&HouseError::Stopping))??.into_bytes();
    let setting = GateSetting {
        tenant: tenant.name.clone(),
        totals: tenant.totals.clone(),
        policy,
        buckets: tenant.buckets.clone(),
        routes: tenant.routes.iter().map(|route| (route.name.clone(), route.buckets.clone())).collect(),
        backend: config.gate.store,
        manifest,
    };
    let envelope = own.as_ref().map(|own| own.envelope().clone());
    let gate = runtime.load_gate(common.parts(own), setting).await.map_err(|error| chain(&error))?;
    Ok((gate, envelope))
}

async fn verify(runtime: &Runtime, common: &Arc<Common>, path: &Path) -> Result<Verified, Reason> {
    let (common, path) = (common.clone(), path.to_owned());
    let verified = runtime.aside(move || common.verify(&path)).await;
    let verified = verified.map_err(|_| chain(&HouseError::Stopping))?;
    verified.map_err(|error| {
        let untrusted = matches!(error, FileError::Refused { .. });
        Reason { text: chain(&error), untrusted }
    })
}

/// What the policy engine is configured with: for the host's own, a JSON object with `policies` and `entities`; for a
/// tenant's, its text as it is.
pub(super) fn policy_text(policy: &config::Policy) -> Result<String, String> {
    let text = match &policy.text {
        PolicyText::Inline(text) => text.clone(),
        PolicyText::File(path) => read_text(path)?,
    };
    if policy.component.is_some() {
        return Ok(text);
    }
    let entities = match &policy.entities {
        None => serde_json::Value::Array(Vec::new()),
        Some(path) => serde_json::from_str(&read_text(path)?)
            .map_err(|error| format!("entities file `{}` is not JSON: {error}", path.display()))?,
    };
    Ok(serde_json::json!({ "policies": text, "entities": entities }).to_string())
}

fn read_text(path: &Path) -> Result<String, String> {
    let failed = |why: &dyn Display| format!("`{}` can't be read: {why}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(MAX_POLICY_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() > MAX_POLICY_BYTES {
        return Err(failed(&format_args!("it has more than {MAX_POLICY_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    fn inline(text: &str) -> Policy {
        Policy { component: None, text: PolicyText::Inline(text.to_owned()), entities: None }
    }

    #[test]
    fn the_hosts_engine_gets_rules_and_entities_as_json() {
        let text = policy_text(&inline("permit (principal, action, resource);")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({ "policies": "permit (principal, action, resource);", "entities": [] })
        );
    }

    #[test]
    fn a_tenants_own_engine_gets_its_text_as_it_is() {
        let own = Policy { component: Some("own.wasm".into()), ..inline("anything { at all") };
        assert_eq!(policy_text(&own).unwrap(), "anything { at all");
    }

    #[test]
    fn entities_that_are_no_json_are_named_with_their_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("entities.json");
        std::fs::write(&path, "[{").unwrap();
        let error = policy_text(&Policy { entities: Some(path.clone()), ..inline("") }).unwrap_err();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("is not JSON"), "{error}");
    }
}
