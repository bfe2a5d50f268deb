//! Fastly Compute: numbered versions of a service, of which one is active. An active or locked version can't be
//! changed, so each artifact becomes a clone of the active one, with its own package.
//!
//! Which artifact a version is stands in its comment, and is written there last: a version with a finished comment is
//! whole. Traffic can't be shared; a version is shown on the platform's staging network.

mod package;
mod setup;

use crate::artifact::Artifact;
use crate::client::{Body, Client, Manners, Said, escaped};
use crate::multipart::Part;
use crate::provider::{Known, Preview, Provider, ProviderError, Secret, Standing, Traffic, Vault, Version};
use crate::token::Token;
use crate::web::{Site, Web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use setup::Setup;
use std::net::IpAddr;
use std::sync::Arc;
use tollgate_trust::Sha256;

/// The API. It has no version in its path.
const BASE: &str = "https://api.fastly.com";

static MANNERS: Manners =
    Manners { name: "Fastly's API", variable: "FASTLY_API_TOKEN", token: ("fastly-key", ""), said };

/// What the comment of a version of ours begins with; the artifact's key follows.
const MARK: &str = "tollgate:";

/// The store for secrets that `tollgate secrets put` fills, as the service knows it.
const SECRETS: &str = "tollgate-secrets";

/// Where a service is.
#[derive(Debug, Clone)]
pub struct FastlyService {
    /// The service's id.
    pub service: String,
    /// Whether versions are shown on the staging network before they are activated.
    pub staging: bool,
    /// The host that clients ask, whose address there is looked up.
    pub site: Site,
    /// Another place of the API than the platform's.
    pub api: Option<Site>,
}

/// A service on Fastly.
pub struct Fastly {
    client: Client,
    service: String,
    staging: bool,
    host: String,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    locked: bool,
    comment: Option<String>,
    created_at: Option<String>,
}

impl Numbered {
    fn is_marked(&self, mark: &str) -> bool {
        self.comment.as_deref() == Some(mark)
    }
}

#[derive(Deserialize)]
struct Validation {
    status: String,
    msg: Option<String>,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
    staging_ip: Option<IpAddr>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Store {
    id: String,
    name: String,
}

/// A kind of store that a version can be linked to.
#[derive(Clone, Copy)]
enum Kind {
    Kv,
    Secret,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Kv => "/resources/stores/kv",
            Self::Secret => "/resources/stores/secret",
        }
    }
}

fn said(document: &Value) -> Option<Said> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = text("msg").or_else(|| text("title"))?;
    Some((None, text("detail").map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"))))
}

/// The comment of a version that is whole, and of one that is in the making.
fn finished(key: &Sha256) -> String {
    format!("{MARK}{key}")
}

fn unfinished(key: &Sha256, base: u64) -> String {
    format!("{MARK}{key}, unfinished, from {base}")
}

impl Fastly {
    /// A service, asked for with this token.
    ///
    /// # Errors
    /// [`ProviderError::Unfit`] when the API's own address is none, which would be a fault of this program.
    pub fn new(web: Arc<dyn Web>, place: FastlyService, token: Token) -> Result<Self, ProviderError> {
        let FastlyService { service, staging, site, api } = place;
        let base = match api {
            Some(base) => base,
            None => BASE.parse().map_err(|error| ProviderError::Unfit(format!("{BASE}: {error}")))?,
        };
        Ok(Self { client: Client::new(web, &MANNERS, base, token), service, staging, host: site.host() })
    }

    fn version(&self, number: impl std::fmt::Display, rest: &str) -> String {
        format!("/service/{}/version/{number}{rest}", self.service)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.client.ask(Method::GET, path, Body::None).await
    }

    async fn send(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Result<(), ProviderError> {
        let body = if fields.is_empty() { Body::None } else { Body::Form(fields) };
        self.client.ask(method, path, body).await.map(|_: Value| ())
    }

    /// The versions, newest first.
    async fn versions(&self) -> Result<Vec<Numbered>, ProviderError> {
        let mut versions: Vec<Numbered> = self.get(&format!("/service/{}/version", self.service)).await?;
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        Ok(versions)
    }

    /// The version that is to become the artifact: one that was begun, or a new clone.
    async fn draft(&self, key: &Sha256) -> Result<u64, ProviderError> {
        let versions = self.versions().await?;
        let base = versions.iter().find(|version| version.active).or(versions.first());
        let base =
            base.ok_or_else(|| ProviderError::Unfit("the service has no version to clone".into()))?.number;
        let mark = unfinished(key, base);
        if let Some(begun) = versions.iter().find(|version| !version.locked && version.is_marked(&mark)) {
            return Ok(begun.number);
        }
        let cloned: Numbered =
            self.client.ask(Method::PUT, &self.version(base, "/clone"), Body::None).await?;
        self.send(Method::PUT, &self.version(cloned.number, ""), &[("comment", &mark)]).await?;
        Ok(cloned.number)
    }

    async fn pack(&self, package: &[u8], number: u64) -> Result<(), ProviderError> {
        let part = Part {
            name: "package",
            file: Some("package.tar.gz"),
            content_type: "application/gzip",
            bytes: package,
        };
        let path = self.version(number, "/package");
        self.client.ask(Method::PUT, &path, Body::Parts(&[part])).await.map(|_: Value| ())
    }

    /// Backends and stores, as the bundle's manifest asks for them.
    async fn equip(&self, setup: &Setup, number: u64) -> Result<(), ProviderError> {
        let path = self.version(number, "/backend");
        let there: Vec<setup::Backend> = self.get(&path).await?;
        for backend in setup.backends() {
            match there.iter().find(|other| other.name == backend.name) {
                Some(other) if *other == backend => {}
                Some(_) => {
                    let one = format!("{path}/{}", escaped(&backend.name));
                    self.send(Method::PUT, &one, &backend.fields()).await?;
                }
                None => self.send(Method::POST, &path, &backend.fields()).await?,
            }
        }
        for alias in setup.kv_stores() {
            // Names of stores are the account's, and each service counts for itself.
            let store = self.store(Kind::Kv, alias, true).await?;
            self.link(number, alias, store).await?;
        }
        let secrets = self.store(Kind::Secret, SECRETS, false).await?;
        self.link(number, SECRETS, secrets).await
    }

    /// The id of this service's own store of that alias; it is made if it is missing and wanted.
    async fn store(&self, kind: Kind, alias: &str, wanted: bool) -> Result<Option<String>, ProviderError> {
        let name = format!("{alias}-{}", self.service);
        let stores: Vec<Store> = self.pages(kind.path()).await?;
        if let Some(store) = stores.into_iter().find(|store| store.name == name) {
            return Ok(Some(store.id));
        }
        if !wanted {
            return Ok(None);
        }
        let made: Store =
            self.client.ask(Method::POST, kind.path(), Body::Json(json!({"name": name}))).await?;
        Ok(Some(made.id))
    }

    /// Everything of a list that comes in pages.
    async fn pages<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ProviderError> {
        let (mut all, mut next) = (Vec::new(), path.to_owned());
        loop {
            let page: Page<T> = self.get(&next).await?;
            all.extend(page.data);
            match page.meta.and_then(|meta| meta.next_cursor).filter(|cursor| !cursor.is_empty()) {
                Some(cursor) => next = format!("{path}?cursor={}", escaped(&cursor)),
                None => return Ok(all),
            }
        }
    }

    async fn link(&self, number: u64, alias: &str, store: Option<String>) -> Result<(), ProviderError> {
        let Some(store) = store else { return Ok(()) };
        let path = self.version(number, "/resource");
        let there: Vec<Named> = self.get(&path).await?;
        if there.iter().any(|resource| resource.name == alias) {
            return Ok(());
        }
        self.send(Method::POST, &path, &[("name", alias), ("resource_id", &store)]).await
    }

    async fn validate(&self, number: u64) -> Result<(), ProviderError> {
        let Validation { status, msg } = self.get(&self.version(number, "/validate")).await?;
        if status == "ok" {
            return Ok(());
        }
        let why = msg.unwrap_or_else(|| "no reason given".into());
        Err(ProviderError::Unfit(format!("Fastly finds version {number} not valid: {why}")))
    }
}

impl Provider for Fastly {
    const GRADUAL: bool = false;

    async fn look(&self) -> Result<Standing, ProviderError> {
        let versions = self.versions().await?;
        let active = versions.iter().find(|version| version.active).map(|version| version.number);
        let traffic = active.map_or(Traffic::Nothing, |number| Traffic::All(Version(number.to_string())));
        let known = versions.into_iter().map(|version| {
            let comment = version.comment.as_deref();
            let key: Option<Sha256> = comment.and_then(|comment| comment.strip_prefix(MARK)?.parse().ok());
            // What was changed by hand since then would be lost with a version from before it.
            let of_today = active.is_none_or(|active| version.number >= active);
            Known {
                version: Version(version.number.to_string()),
                key: key.filter(|_| of_today),
                made: version.created_at,
            }
        });
        Ok(Standing { traffic, before: None, known: known.collect() })
    }

    async fn upload(
        &self,
        artifact: &Artifact,
        secrets: &[Secret],
        standing: &Standing,
    ) -> Result<(Version, bool), ProviderError> {
        if !secrets.is_empty() {
            return Err(ProviderError::Unfit(
                "on Fastly secrets are no part of a version: set them with `tollgate secrets put`".into(),
            ));
        }
        let key = artifact.key();
        if let Some(version) = standing.version_of(&key) {
            return Ok((version.clone(), false));
        }
        let setup = Setup::of(artifact)?;
        let package = package::of(artifact, &setup)?;
        let number = self.draft(&key).await?;
        self.pack(&package, number).await?;
        self.equip(&setup, number).await?;
        self.validate(number).await?;
        self.send(Method::PUT, &self.version(number, ""), &[("comment", &finished(&key))]).await?;
        Ok((Version(number.to_string()), true))
    }

    async fn preview(&self, version: &Version) -> Result<Option<Preview>, ProviderError> {
        if !self.staging {
            return Ok(None);
        }
        self.send(Method::PUT, &self.version(version, "/activate/staging"), &[]).await?;
        let domains: Vec<Domain> = self.get(&self.version(version, "/domain?include=staging_ips")).await?;
        let ours = domains.iter().find(|domain| domain.name == self.host).or(domains.first());
        let at = ours.and_then(|domain| domain.staging_ip).ok_or_else(|| {
            ProviderError::Unfit(
                "Fastly names no staging address for the service's domains: write `staging = false`, or have it enabled".into(),
            )
        })?;
        Ok(Some(Preview { at: Some(at), ..Preview::default() }))
    }

    fn reach(&self, _version: &Version) -> Preview {
        Preview::default()
    }

    async fn shift(&self, traffic: &Traffic) -> Result<(), ProviderError> {
        match traffic {
            Traffic::All(version) => self.send(Method::PUT, &self.version(version, "/activate"), &[]).await,
            Traffic::Nothing | Traffic::Shared { .. } => {
                Err(ProviderError::Unfit("on Fastly one version has all traffic".into()))
            }
        }
    }
}

impl Vault for Fastly {
    async fn put(&self, secret: &Secret) -> Result<(), ProviderError> {
        let store = self.store(Kind::Secret, SECRETS, true).await?.unwrap_or_default();
        let body = json!({"name": secret.name, "secret": STANDARD.encode(secret.value.as_bytes())});
        let path = format!("{}/{store}/secrets", Kind::Secret.path());
        self.client.ask(Method::PUT, &path, Body::Json(body)).await.map(|_: Value| ())
    }

    async fn list(&self) -> Result<Vec<String>, ProviderError> {
        let Some(store) = self.store(Kind::Secret, SECRETS, false).await? else { return Ok(Vec::new()) };
        let secrets: Vec<Named> = self.pages(&format!("{}/{store}/secrets", Kind::Secret.path())).await?;
        Ok(secrets.into_iter().map(|secret| secret.name).collect())
    }
}
