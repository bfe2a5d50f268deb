//! What a bundle's `fastly.toml` says that a version needs.

use crate::artifact::Artifact;
use crate::provider::ProviderError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The file.
pub(super) const MANIFEST: &str = "fastly.toml";

/// The port on which backends speak TLS.
const TLS_PORT: u16 = 443;

#[derive(Deserialize)]
struct Manifest {
    name: String,
    #[serde(default)]
    setup: Wanted,
}

/// What is made once. A kind that is not known here is an error: it would be left out without a word.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    backends: BTreeMap<String, Origin>,
    #[serde(default)]
    kv_stores: BTreeMap<String, toml::Table>,
    /// What kind of endpoint they are is the operator's choice, so they are the operator's to make.
    #[serde(default, rename = "log_endpoints")]
    _log_endpoints: BTreeMap<String, toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    address: String,
    port: u16,
}

/// What a version needs around its package.
pub(super) struct Setup {
    manifest: Manifest,
}

/// A backend, in the API's words.
#[derive(Debug, Deserialize)]
pub(super) struct Backend {
    pub(super) name: String,
    address: String,
    port: u16,
    #[serde(default)]
    use_ssl: bool,
    #[serde(default)]
    ssl_cert_hostname: Option<String>,
    #[serde(skip)]
    port_text: String,
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| {
            (
                it.name.clone(),
                it.address.clone(),
                it.port,
                it.use_ssl,
                it.use_ssl.then(|| it.ssl_cert_hostname.clone()),
            )
        };
        all(self) == all(other)
    }
}

impl Setup {
    pub(super) fn of(artifact: &Artifact) -> Result<Self, ProviderError> {
        let unfit = |reason: String| ProviderError::Unfit(format!("{MANIFEST} of the bundle {reason}"));
        let bytes = artifact.file(MANIFEST);
        let bytes = bytes.ok_or_else(|| unfit("is missing: build it with `--target fastly`".into()))?;
        let manifest =
            toml::from_slice(bytes).map_err(|error| unfit(format!("can't be read: {}", error.message())))?;
        Ok(Self { manifest })
    }

    /// The package's name.
    pub(super) fn name(&self) -> &str {
        &self.manifest.name
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = Backend> {
        self.manifest.setup.backends.iter().map(|(name, origin)| Backend {
            name: name.clone(),
            address: origin.address.clone(),
            port: origin.port,
            use_ssl: origin.port == TLS_PORT,
            ssl_cert_hostname: (origin.port == TLS_PORT).then(|| origin.address.clone()),
            port_text: origin.port.to_string(),
        })
    }

    pub(super) fn kv_stores(&self) -> impl Iterator<Item = &str> {
        self.manifest.setup.kv_stores.keys().map(String::as_str)
    }
}

impl Backend {
    /// As a form. A backend with TLS has to have a certificate for its address.
    pub(super) fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields =
            vec![("name", self.name.as_str()), ("address", &self.address), ("port", &self.port_text)];
        if self.use_ssl {
            fields.push(("use_ssl", "1"));
            fields.push(("ssl_check_cert", "1"));
            fields.push(("ssl_cert_hostname", &self.address));
            fields.push(("ssl_sni_hostname", &self.address));
        } else {
            fields.push(("use_ssl", "0"));
        }
        fields
    }
}
