//! The derivation record: what went in and what came out, by digest, so that anybody with the inputs can make the
//! same bundle and compare.

use crate::apps::Placed;
use crate::compose::Parts;
use crate::service::Service;
use serde::Serialize;
use tollgate_trust::{Blake3, Sha256, Verified};

#[derive(Serialize)]
pub(crate) struct Record {
    target: &'static str,
    deriver: Deriver,
    /// The gas schedule by which operators are charged; none, since nothing is metered here.
    gas_schedule: Option<String>,
    /// The signed components that stand in the output byte for byte.
    embedded: Vec<Input>,
    /// The settings, as the component that holds them.
    configuration: Digests,
    /// The signed components that the gate is told of, and that the service does not run.
    named: Vec<Input>,
    outputs: Vec<Output>,
}

#[derive(Serialize)]
struct Deriver {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Digests {
    bytes: usize,
    sha256: String,
    blake3: String,
}

#[derive(Serialize)]
struct Input {
    role: String,
    /// `namespace:name@version`, as it was signed.
    release: String,
    #[serde(flatten)]
    digests: Digests,
}

#[derive(Serialize)]
pub(crate) struct Output {
    path: &'static str,
    #[serde(flatten)]
    digests: Digests,
}

impl Digests {
    fn of(bytes: &[u8]) -> Self {
        let (sha256, blake3) = (Sha256::of(bytes).to_string(), Blake3::of(bytes).to_string());
        Self { bytes: bytes.len(), sha256, blake3 }
    }
}

impl Input {
    fn of(role: String, component: &Verified) -> Self {
        let digests = Digests {
            bytes: component.bytes().len(),
            sha256: component.sha256().to_string(),
            blake3: component.blake3().to_string(),
        };
        Self { role, release: component.release().subject(), digests }
    }
}

impl Output {
    pub(crate) fn of(path: &'static str, bytes: &[u8]) -> Self {
        Self { path, digests: Digests::of(bytes) }
    }
}

impl Record {
    pub(crate) fn of(
        service: &Service,
        parts: &Parts,
        placed: &[Placed<'_>],
        configuration: &[u8],
        outputs: Vec<Output>,
    ) -> Self {
        let input = |of: &Placed<'_>| Input::of(format!("app {}", of.name()), &of.app.component);
        let all = service.tenants.iter();
        let all = all.flat_map(|tenant| tenant.apps.iter().map(move |app| Placed { tenant, app }));
        let named = all.filter(|of| !placed.iter().any(|one| one.is(of.tenant, of.app)));
        let parts = parts.each().into_iter().map(|(role, part)| Input::of(role.to_owned(), part));
        Self {
            target: "fastly",
            deriver: Deriver { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            gas_schedule: None,
            embedded: parts.chain(placed.iter().map(input)).collect(),
            configuration: Digests::of(configuration),
            named: named.map(|of| input(&of)).collect(),
            outputs,
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}
