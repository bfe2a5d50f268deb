//! `fastly.toml`: what the service needs around it, for the vendor's tools and for Viceroy.

use crate::service::Service;
use serde::Serialize;
use std::collections::BTreeMap;
use tollgate_runtime::Origin;

#[derive(Serialize)]
struct Manifest {
    manifest_version: u32,
    name: String,
    description: &'static str,
    language: &'static str,
    setup: Setup,
    local_server: Local,
}

/// What the vendor's tools make when they make the service.
#[derive(Serialize)]
struct Setup {
    backends: BTreeMap<String, Backend>,
    kv_stores: BTreeMap<&'static str, Thing>,
    log_endpoints: BTreeMap<&'static str, Thing>,
}

#[derive(Serialize)]
struct Backend {
    address: String,
    port: u16,
}

#[derive(Serialize)]
struct Thing {
    description: &'static str,
}

/// What Viceroy stands in for.
#[derive(Serialize)]
struct Local {
    backends: BTreeMap<String, LocalBackend>,
    kv_stores: BTreeMap<&'static str, [&'static str; 0]>,
}

#[derive(Serialize)]
struct LocalBackend {
    url: String,
}

/// The text of the manifest.
pub(crate) fn write(service: &Service) -> Result<String, toml::ser::Error> {
    let address = |origin: &Origin| Backend { address: origin.host.clone(), port: origin.port };
    let url = |origin: &Origin| LocalBackend { url: format!("{origin}/") };
    toml::to_string(&Manifest {
        manifest_version: 3,
        name: service.name.to_string(),
        description: "A gate and what is behind it, made by tollgate-fastly: derivation.json says of what.",
        language: "other",
        setup: Setup {
            backends: service.origins().map(|(name, origin)| (name, address(origin))).collect(),
            kv_stores: BTreeMap::from([(
                crate::COUNTS,
                Thing { description: "What buckets are counted in: for this service alone." },
            )]),
            log_endpoints: [
                (crate::RECORDS, "One audit record for each request, a line of JSON each."),
                (crate::NOTES, "What was let in: the record of a request that has no other."),
                (crate::OUTPUT, "What apps write to their standard output and error."),
            ]
            .map(|(name, description)| (name, Thing { description }))
            .into(),
        },
        local_server: Local {
            backends: service.origins().map(|(name, origin)| (name, url(origin))).collect(),
            kv_stores: BTreeMap::from([(crate::COUNTS, [])]),
        },
    })
}
