//! Cloudflare Workers: versions, and deployments that share traffic between two of them.
//!
//! Workers with Durable Objects have no preview URLs. So a version is shown by giving it a share of 0, and asking for
//! it by name with the platform's override header; the worker says which version it is, since the platform sends a
//! request to another one where it does not know the named one yet.

mod upload;

use crate::artifact::Artifact;
use crate::client::{Body, Client, Manners, Said};
use crate::provider::{Known, Preview, Provider, ProviderError, Secret, Standing, Traffic, Vault, Version};
use crate::token::Token;
use crate::web::{Site, Web};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tollgate_trust::Sha256;
use upload::Upload;

/// The API, version 4.
const BASE: &str = "https://api.cloudflare.com/client/v4";

static MANNERS: Manners = Manners {
    name: "Cloudflare's API",
    variable: "CLOUDFLARE_API_TOKEN",
    token: ("authorization", "Bearer "),
    said,
};

/// There is no worker of that name: the answers of the routes for services, and for scripts.
const NO_WORKER: [Option<u64>; 2] = [Some(10_090), Some(10_007)];

/// A secret can be set only while the newest version has all traffic.
const NEWEST_NOT_LIVE: Option<u64> = Some(10_215);

/// The annotation that names the artifact of a version, and the one that says what made it.
const TAG: &str = "workers/tag";
const TRIGGER: &str = "workers/triggered_by";

/// The platform's header that names the version to be asked.
const OVERRIDE: HeaderName = HeaderName::from_static("cloudflare-workers-version-overrides");

/// The worker's: a request that has it, with any value, is answered with the version's id in the same header.
const WHICH: HeaderName = HeaderName::from_static("tollgate-version");

/// Where a worker is.
#[derive(Debug, Clone)]
pub struct CloudflareAccount {
    /// The account's id.
    pub account: String,
    /// The worker's name.
    pub worker: String,
    /// Another place of the API than the platform's.
    pub api: Option<Site>,
}

/// A worker on Cloudflare.
pub struct Cloudflare {
    client: Client,
    account: String,
    worker: String,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    result: T,
}

#[derive(Deserialize)]
struct Deployments {
    deployments: Vec<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    versions: Vec<Share>,
}

#[derive(Deserialize)]
struct Share {
    version_id: Version,
    percentage: f64,
}

#[derive(Deserialize)]
struct Versions {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: Version,
    #[serde(default)]
    metadata: Metadata,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    created_on: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: Version,
}

#[derive(Deserialize)]
struct Service {
    default_environment: Environment,
}

#[derive(Deserialize)]
struct Environment {
    script: Script,
}

#[derive(Deserialize)]
struct Script {
    migration_tag: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn said(document: &Value) -> Option<Said> {
    let error = document.get("errors")?.get(0)?;
    let text = error.get("message")?.as_str()?.to_owned();
    Some((error.get("code").and_then(Value::as_u64), text))
}

/// An answer, or none when there is no such worker.
fn if_there<T>(answer: Result<T, ProviderError>) -> Result<Option<T>, ProviderError> {
    match answer {
        Err(ProviderError::Refused { code, .. }) if NO_WORKER.contains(&code) => Ok(None),
        answer => answer.map(Some),
    }
}

impl Cloudflare {
    /// A worker, asked for with this token.
    ///
    /// # Errors
    /// [`ProviderError::Unfit`] when the API's own address is none, which would be a fault of this program.
    pub fn new(web: Arc<dyn Web>, place: CloudflareAccount, token: Token) -> Result<Self, ProviderError> {
        let CloudflareAccount { account, worker, api } = place;
        let site = match api {
            Some(site) => site,
            None => BASE.parse().map_err(|error| ProviderError::Unfit(format!("{BASE}: {error}")))?,
        };
        Ok(Self { client: Client::new(web, &MANNERS, site, token), account, worker })
    }

    fn script(&self, rest: &str) -> String {
        format!("/accounts/{}/workers/scripts/{}{rest}", self.account, self.worker)
    }

    /// The last change of Durable Object classes that was made; the worker may be missing.
    async fn migration_tag(&self) -> Result<Option<String>, ProviderError> {
        let path = format!("/accounts/{}/workers/services/{}", self.account, self.worker);
        let service = if_there(self.client.ask(Method::GET, &path, Body::None).await)?;
        Ok(service
            .and_then(|service: Envelope<Service>| service.result.default_environment.script.migration_tag))
    }

    /// The first upload: script, Durable Object classes and all traffic at once.
    async fn create(&self, upload: &Upload<'_>, tag: Option<&str>) -> Result<Version, ProviderError> {
        let metadata = upload.metadata(upload.migrations_after(tag));
        let path = self.script("?excludeScript=true&bindings_inherit=strict");
        let parts = upload.parts(&metadata);
        let _: Value = self.client.ask(Method::PUT, &path, Body::Parts(&parts)).await?;
        match self.look().await?.traffic {
            Traffic::All(version) => Ok(version),
            other => Err(self.client.unreadable(format!("after the first upload there is {other}"))),
        }
    }
}

impl Provider for Cloudflare {
    const GRADUAL: bool = true;

    async fn look(&self) -> Result<Standing, ProviderError> {
        let path = self.script("/deployments");
        let deployments = if_there(self.client.ask(Method::GET, &path, Body::None).await)?;
        let Some(Envelope { result: Deployments { deployments } }) = deployments else {
            return Ok(Standing { traffic: Traffic::Nothing, before: None, known: Vec::new() });
        };
        let path = self.script("/versions?deployable=true");
        let versions: Envelope<Versions> = self.client.ask(Method::GET, &path, Body::None).await?;
        let unreadable = || self.client.unreadable("a deployment has neither one version nor two".into());
        let all: Option<Vec<Traffic>> = deployments.into_iter().map(traffic).collect();
        let mut all = all.ok_or_else(unreadable)?.into_iter();
        let traffic = all.next().unwrap_or(Traffic::Nothing);
        let before = all.find_map(|older| match older {
            Traffic::All(version) if !traffic.has(&version) => Some(version),
            _ => None,
        });
        Ok(Standing { traffic, before, known: known(versions.result.items) })
    }

    async fn upload(
        &self,
        artifact: &Artifact,
        secrets: &[Secret],
        standing: &Standing,
    ) -> Result<(Version, bool), ProviderError> {
        if let Some(version) = standing.version_of(&artifact.key()) {
            return Ok((version.clone(), false));
        }
        let upload = Upload::of(artifact, secrets)?;
        let tag = self.migration_tag().await?;
        if standing.traffic == Traffic::Nothing {
            return Ok((self.create(&upload, tag.as_deref()).await?, true));
        }
        if tag.as_deref() != upload.last_migration() {
            let (there, here) = (tag.as_deref().unwrap_or("none"), upload.last_migration().unwrap_or("none"));
            return Err(ProviderError::Unfit(format!(
                "the bundle changes Durable Object classes (migration `{there}` is there, the bundle has `{here}`), \
                 which Cloudflare does with all traffic at once, and never back: run `wrangler deploy` in the bundle's folder"
            )));
        }
        let metadata = upload.metadata(None);
        let path = self.script("/versions?bindings_inherit=strict");
        let parts = upload.parts(&metadata);
        let made: Envelope<Made> = self.client.ask(Method::POST, &path, Body::Parts(&parts)).await?;
        Ok((made.result.id, true))
    }

    async fn preview(&self, version: &Version) -> Result<Option<Preview>, ProviderError> {
        Ok(Some(self.reach(version)))
    }

    fn reach(&self, version: &Version) -> Preview {
        let mut headers = HeaderMap::new();
        let named = HeaderValue::from_str(&format!("{}=\"{version}\"", self.worker));
        headers.extend(named.map(|named| (OVERRIDE, named)).ok());
        headers.insert(WHICH, HeaderValue::from_static("?"));
        let proof = HeaderValue::from_str(&version.0).map(|id| (WHICH, id)).ok();
        Preview { headers, at: None, proof }
    }

    async fn shift(&self, traffic: &Traffic) -> Result<(), ProviderError> {
        let share =
            |version: &Version, percentage: u8| json!({"version_id": version, "percentage": percentage});
        let versions = match traffic {
            Traffic::Nothing => {
                return Err(ProviderError::Unfit("a worker can't be left without a version".into()));
            }
            Traffic::All(version) => vec![share(version, 100)],
            // In this order each time: then an object that has the new version once keeps it as its share grows.
            Traffic::Shared { old, new, percent } => {
                vec![share(old, 100_u8.saturating_sub(*percent)), share(new, *percent)]
            }
        };
        let message = format!("tollgate: {traffic}");
        let deployment = json!({
            "strategy": "percentage",
            "versions": versions,
            "annotations": { "workers/message": message },
        });
        // Without `force`, the platform does not go back to a version from before a secret changed (its code 10220),
        // not even from one that brought the change along and fails.
        let path = self.script("/deployments?force=true");
        let _: Value = self.client.ask(Method::POST, &path, Body::Json(deployment)).await?;
        Ok(())
    }
}

impl Vault for Cloudflare {
    async fn put(&self, secret: &Secret) -> Result<(), ProviderError> {
        let body = json!({"name": secret.name, "text": *secret.value, "type": "secret_text"});
        let done: Result<Value, _> =
            self.client.ask(Method::PUT, &self.script("/secrets"), Body::Json(body)).await;
        match done {
            Err(ProviderError::Refused { code: NEWEST_NOT_LIVE, .. }) => Err(ProviderError::Unfit(
                "the newest version of the worker does not have all traffic, and a secret can be set on no other: \
                 deploy one, with `--secret NAME=FILE`"
                    .into(),
            )),
            done => done.map(drop),
        }
    }

    async fn list(&self) -> Result<Vec<String>, ProviderError> {
        let listed: Envelope<Vec<Named>> =
            self.client.ask(Method::GET, &self.script("/secrets"), Body::None).await?;
        Ok(listed.result.into_iter().map(|secret| secret.name).collect())
    }
}

/// To the nearest whole number: a cast of a float stays within the type.
fn percent(percentage: f64) -> u8 {
    percentage.clamp(0.0, 100.0).round() as u8
}

fn traffic(deployment: Deployment) -> Option<Traffic> {
    let mut shares = deployment.versions.into_iter();
    match (shares.next()?, shares.next(), shares.next()) {
        (all, None, _) => Some(Traffic::All(all.version_id)),
        (old, Some(new), None) => Some(Traffic::Shared {
            percent: percent(new.percentage).min(percent(100.0 - old.percentage)),
            old: old.version_id,
            new: new.version_id,
        }),
        _ => None,
    }
}

/// The versions, newest first, each with its artifact. A version has the secrets of its day; so one that is older than
/// the last change of a secret is no longer what its artifact would become now.
fn known(items: Vec<Item>) -> Vec<Known> {
    let mut of_today = true;
    let known = items.into_iter().map(|Item { id, metadata, annotations }| {
        let annotations = annotations.unwrap_or_default();
        of_today &= annotations.get(TRIGGER).map(String::as_str) != Some("secret");
        let key: Option<Sha256> = annotations.get(TAG).and_then(|tag| tag.parse().ok());
        Known { version: id, key: key.filter(|_| of_today), made: metadata.created_on }
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, annotation: (&str, &str)) -> Item {
        let annotations = BTreeMap::from([(annotation.0.to_owned(), annotation.1.to_owned())]);
        Item { id: Version(id.into()), metadata: Metadata::default(), annotations: Some(annotations) }
    }

    #[test]
    fn a_version_from_before_a_secret_changed_is_not_taken_for_its_artifact() {
        let tag = Sha256::of(b"a").to_string();
        let items = vec![item("3", (TAG, &tag)), item("2", (TRIGGER, "secret")), item("1", (TAG, &tag))];
        let known = known(items);
        assert_eq!(known.iter().map(|known| known.key.is_some()).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn traffic_is_read_in_either_order() {
        let share = |id: &str, percentage| Share { version_id: Version(id.into()), percentage };
        let of = |versions| traffic(Deployment { versions });
        assert_eq!(of(vec![share("a", 100.0)]), Some(Traffic::All(Version("a".into()))));
        let one = of(vec![share("a", 90.0), share("b", 10.0)]).unwrap();
        let other = of(vec![share("b", 10.0), share("a", 90.0)]).unwrap();
        assert!(one.same(&other));
        assert_eq!(of(vec![]), None);
    }
}
