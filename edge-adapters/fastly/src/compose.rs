//! The parts, composed into one component that runs where `fastly:compute/service` does.

use std::error::Error;
use std::path::PathBuf;
use tollgate_runtime::{GateParts, Inspection, Manifest};
use tollgate_trust::Verified;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

/// The interfaces that the parts meet at.
const TYPES: &str = "tollgate:gate/types@0.1.0";
const POLICY: &str = "tollgate:gate/policy@0.1.0";
const LIMITER: &str = "tollgate:gate/limiter@0.1.0";
const ADMISSION: &str = "tollgate:gate/admission@0.1.0";
const SETTINGS: &str = "tollgate:fastly/settings@0.1.0";
const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";
const INCOMING: &str = "fastly:compute/http-incoming@0.1.0";

/// What this adapter's own parts may import besides what the composition gives them.
const FRONT_MAY: [&str; 6] =
    ["fastly:compute/", "wasi:cli/stderr@", "wasi:clocks/", "wasi:io/", "wasi:random/", "tollgate:"];
const BACKEND_MAY: [&str; 1] = ["fastly:compute/"];

/// The parts of a service, each verified.
pub struct Parts {
    /// The order of admission, the policy engine and the limiter: the same components as on a server.
    pub gate: GateParts,
    /// What meets clients.
    pub front: Verified,
    /// What counts.
    pub backend: Verified,
}

/// Why parts don't make a service.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A part of the gate imports more than its role needs.
    #[error(transparent)]
    Gate(#[from] tollgate_runtime::LoadError),
    /// A part of this adapter imports what Fastly does not give it.
    #[error("the {part} imports `{import}`: take the component that was built with this bundler")]
    Import {
        /// Which part.
        part: &'static str,
        /// What it imports.
        import: String,
    },
    /// A part is no component.
    #[error("the {part} is no component: {reason}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// What one part offers is not what another asks for.
    #[error("{0}")]
    Unfit(String),
}

impl Parts {
    /// The parts by their role, in the order of the line.
    pub(crate) fn each(&self) -> [(&'static str, &Verified); 5] {
        [
            ("front", &self.front),
            ("gate", &self.gate.gate),
            ("policy", &self.gate.policy),
            ("limiter", &self.gate.limiter),
            ("backend", &self.backend),
        ]
    }

    /// Composed, all parts may import from the platform: so it is here that a policy engine is kept from it.
    fn check_imports(&self) -> Result<(), ComposeError> {
        let manifest = Manifest { file: PathBuf::new(), table: "gate".to_owned() };
        self.gate.check_imports("gate", &manifest)?;
        let own: [(_, _, &[&str]); 2] =
            [("front", &self.front, &FRONT_MAY), ("backend", &self.backend, &BACKEND_MAY)];
        for (part, component, may) in own {
            let inspection = Inspection::of(component.bytes())
                .map_err(|error| ComposeError::Malformed { part, reason: error.to_string() })?;
            let foreign = |name: &str| !may.iter().any(|start| name.starts_with(start));
            if let Some(import) = inspection.imports.into_iter().find(|import| foreign(&import.name)) {
                return Err(ComposeError::Import { part, import: import.name });
            }
        }
        Ok(())
    }
}

fn unfit(error: impl Error + 'static) -> ComposeError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ComposeError::Unfit(text)
}

struct Graph(CompositionGraph);

impl Graph {
    fn register(&mut self, name: &'static str, bytes: Vec<u8>) -> Result<PackageId, ComposeError> {
        let package = Package::from_bytes(&format!("tollgate:{name}"), None, bytes, self.0.types_mut());
        let package =
            package.map_err(|error| ComposeError::Malformed { part: name, reason: format!("{error:#}") })?;
        self.0.register_package(package).map_err(unfit)
    }

    fn part(&mut self, name: &'static str, bytes: Vec<u8>) -> Result<NodeId, ComposeError> {
        let package = self.register(name, bytes)?;
        Ok(self.0.instantiate(package))
    }

    /// Meets an import of one part with the export of another.
    fn plug(&mut self, from: NodeId, interface: &str, into: NodeId) -> Result<(), ComposeError> {
        let export = self.0.alias_instance_export(from, interface).map_err(unfit)?;
        self.0.set_instantiation_argument(into, interface, export).map_err(unfit)
    }
}

/// Composes the parts around a configuration. Each stands in the result byte for byte.
pub(crate) fn compose(parts: &Parts, configuration: Vec<u8>) -> Result<Vec<u8>, ComposeError> {
    parts.check_imports()?;
    let mut graph = Graph(CompositionGraph::new());
    let [front, gate, policy, limiter, backend] = parts.each();
    let backend = graph.part(backend.0, backend.1.bytes().to_vec())?;
    let policy = graph.part(policy.0, policy.1.bytes().to_vec())?;
    let limiter = graph.part(limiter.0, limiter.1.bytes().to_vec())?;
    let gate = graph.part(gate.0, gate.1.bytes().to_vec())?;
    let configuration = graph.part("configuration", configuration)?;
    let front = graph.part(front.0, front.1.bytes().to_vec())?;
    for part in [policy, limiter, gate, front] {
        graph.plug(backend, TYPES, part)?;
    }
    graph.plug(backend, STORE, limiter)?;
    graph.plug(backend, ATOMICS, limiter)?;
    graph.plug(policy, POLICY, gate)?;
    graph.plug(limiter, LIMITER, gate)?;
    graph.plug(gate, ADMISSION, front)?;
    graph.plug(configuration, SETTINGS, front)?;
    let incoming = graph.0.alias_instance_export(front, INCOMING).map_err(unfit)?;
    graph.0.export(incoming, INCOMING).map_err(unfit)?;
    graph.0.encode(EncodeOptions::default()).map_err(unfit)
}
