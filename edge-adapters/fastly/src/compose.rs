//! The parts, composed into one component that runs where `fastly:compute/service` does.

use std::error::Error;
use std::path::PathBuf;
use tollgate_runtime::{GateParts, Inspection, Manifest};
use tollgate_trust::Verified;
use wac_graph::types::{Package, are_semver_compatible};
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
const RUNS: &str = "tollgate:fastly/runs@0.1.0";
const CALLS: &str = "tollgate:fastly/calls@0.1.0";
const APPS: &str = "tollgate:fastly/apps@0.1.0";
const HTTP: &str = "wasi:http/types@0.2.6";

/// What this adapter's own parts may import besides what the composition gives them.
const FRONT_MAY: [&str; 6] =
    ["fastly:compute/", "wasi:cli/stderr@", "wasi:clocks/", "wasi:io/", "wasi:random/", "tollgate:"];
const BACKEND_MAY: [&str; 1] = ["fastly:compute/"];
const WASI_MAY: [&str; 4] = ["fastly:compute/", "wasi:clocks/", "wasi:io/", "wasi:random/"];

/// The parts of a service, each verified.
pub struct Parts {
    /// The order of admission, the policy engine and the limiter: the same components as on a server.
    pub gate: GateParts,
    /// What meets clients.
    pub front: Verified,
    /// What counts.
    pub backend: Verified,
    /// What apps stand on.
    pub wasi: Verified,
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
        part: String,
        /// Why.
        reason: String,
    },
    /// What one part offers is not what another asks for.
    #[error("{0}")]
    Unfit(String),
}

impl Parts {
    /// The parts by their role, in the order of the line.
    pub(crate) fn each(&self) -> [(&'static str, &Verified); 6] {
        [
            ("front", &self.front),
            ("gate", &self.gate.gate),
            ("policy", &self.gate.policy),
            ("limiter", &self.gate.limiter),
            ("backend", &self.backend),
            ("wasi", &self.wasi),
        ]
    }

    /// Composed, all parts may import from the platform: so it is here that a policy engine is kept from it.
    fn check_imports(&self) -> Result<(), ComposeError> {
        let manifest = Manifest { file: PathBuf::new(), table: "gate".to_owned() };
        self.gate.check_imports("gate", &manifest)?;
        let own: [(_, _, &[&str]); 3] = [
            ("front", &self.front, &FRONT_MAY),
            ("backend", &self.backend, &BACKEND_MAY),
            ("wasi", &self.wasi, &WASI_MAY),
        ];
        for (part, component, may) in own {
            let inspection = inspect(part, component)?;
            let foreign = |name: &str| !may.iter().any(|start| name.starts_with(start));
            if let Some(import) = inspection.imports.into_iter().find(|import| foreign(&import.name)) {
                return Err(ComposeError::Import { part, import: import.name });
            }
        }
        Ok(())
    }
}

/// What stands in a part.
pub(crate) fn inspect(part: &str, component: &Verified) -> Result<Inspection, ComposeError> {
    Inspection::of(component.bytes())
        .map_err(|error| ComposeError::Malformed { part: part.to_owned(), reason: error.to_string() })
}

/// Which of these interfaces meets an import: itself, or another version of the same line.
pub(crate) fn meeting<'a>(offered: &'a [String], import: &str) -> Option<&'a str> {
    offered.iter().map(String::as_str).find(|export| are_semver_compatible(export, import))
}

/// The name under which the switch imports the app of this number.
pub(crate) fn app_name(number: u32) -> String {
    format!("app{number}")
}

/// An app that stands in the composition.
pub(crate) struct Embedded<'a> {
    /// The component.
    pub(crate) component: &'a Verified,
    /// What it imports and exports.
    pub(crate) inspection: Inspection,
    /// The export that it is called by.
    pub(crate) handler: String,
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
    fn register(&mut self, name: &str, bytes: Vec<u8>) -> Result<PackageId, ComposeError> {
        let package = Package::from_bytes(&format!("tollgate:{name}"), None, bytes, self.0.types_mut());
        let package = package.map_err(|error| ComposeError::Malformed {
            part: name.to_owned(),
            reason: format!("{error:#}"),
        })?;
        self.0.register_package(package).map_err(unfit)
    }

    fn part(&mut self, name: &str, bytes: &[u8]) -> Result<NodeId, ComposeError> {
        let package = self.register(name, bytes.to_vec())?;
        Ok(self.0.instantiate(package))
    }

    /// Meets an import of one part with the export of another.
    fn plug(&mut self, from: NodeId, interface: &str, into: NodeId) -> Result<(), ComposeError> {
        self.plug_as(from, interface, into, interface)
    }

    /// The same, where the import has another name.
    fn plug_as(
        &mut self,
        from: NodeId,
        export: &str,
        into: NodeId,
        import: &str,
    ) -> Result<(), ComposeError> {
        let export = self.0.alias_instance_export(from, export).map_err(unfit)?;
        self.0.set_instantiation_argument(into, import, export).map_err(unfit)
    }

    /// An app, whose every import is met by what apps stand on: none is left for the platform.
    fn app(
        &mut self,
        number: u32,
        app: &Embedded<'_>,
        wasi: NodeId,
        offered: &[String],
    ) -> Result<NodeId, ComposeError> {
        let part = app_name(number);
        let node = self.part(&part, app.component.bytes())?;
        for import in &app.inspection.imports {
            let Some(export) = meeting(offered, &import.name) else {
                return Err(ComposeError::Unfit(format!("nothing meets `{}` of {part}", import.name)));
            };
            self.plug_as(wasi, export, node, &import.name)?;
        }
        Ok(node)
    }
}

/// Composes the parts around a configuration, with these apps and the switch for them. Each stands in the result byte
/// for byte.
pub(crate) fn compose(
    parts: &Parts,
    configuration: &[u8],
    switch: &[u8],
    apps: &[Embedded<'_>],
) -> Result<Vec<u8>, ComposeError> {
    parts.check_imports()?;
    let mut graph = Graph(CompositionGraph::new());
    let [front, gate, policy, limiter, backend, wasi] =
        parts.each().map(|(name, part)| graph.part(name, part.bytes()));
    let (front, gate, policy, limiter, backend, wasi) = (front?, gate?, policy?, limiter?, backend?, wasi?);
    let configuration = graph.part("configuration", configuration)?;
    let switch = graph.part("switch", switch)?;
    let offered = inspect("wasi", &parts.wasi)?.exports;
    for (number, app) in (0..).zip(apps) {
        let node = graph.app(number, app, wasi, &offered)?;
        graph.plug_as(node, &app.handler, switch, &app_name(number))?;
    }
    if !apps.is_empty() {
        graph.plug(wasi, HTTP, switch)?;
        graph.plug(wasi, CALLS, switch)?;
    }
    for part in [policy, limiter, gate, front] {
        graph.plug(backend, TYPES, part)?;
    }
    graph.plug(backend, STORE, limiter)?;
    graph.plug(backend, ATOMICS, limiter)?;
    graph.plug(policy, POLICY, gate)?;
    graph.plug(limiter, LIMITER, gate)?;
    graph.plug(gate, ADMISSION, front)?;
    graph.plug(configuration, SETTINGS, front)?;
    graph.plug(wasi, RUNS, front)?;
    graph.plug(switch, APPS, front)?;
    let incoming = graph.0.alias_instance_export(front, INCOMING).map_err(unfit)?;
    graph.0.export(incoming, INCOMING).map_err(unfit)?;
    graph.0.encode(EncodeOptions::default()).map_err(unfit)
}
