//! Which world a component was built for. The file itself doesn't say: it is told by what it exports.

use tollgate_runtime::Inspection;

/// Exported interfaces, and the world that each belongs to. The first that fits decides.
const WORLDS: [(&str, &str); 10] = [
    ("wasi:http/handler", "wasi:http/service"),
    ("wasi:http/incoming-handler", "wasi:http/proxy"),
    ("tollgate:gate/policy", "tollgate:gate/policy-engine"),
    ("tollgate:gate/limiter", "tollgate:gate/rate-limiter"),
    ("tollgate:gate/admission", "tollgate:gate/gatekeeper"),
    ("tollgate:gate/audit", "tollgate:gate/audit-log"),
    ("fastly:compute/http-incoming", "fastly:compute/service"),
    ("tollgate:gate/types", "tollgate:fastly/backend"),
    ("tollgate:fastly/runs", "tollgate:fastly/wasi"),
    ("wasi:cli/run", "wasi:cli/command"),
];

/// The world, with the version of the interface that gave it away; none for a component of some other kind.
pub(super) fn world(inspection: &Inspection) -> Option<String> {
    world_of(inspection.exports.iter().map(String::as_str))
}

fn world_of<'a>(exports: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    WORLDS.iter().find_map(|(interface, world)| {
        exports.clone().find_map(|export| match export.split_once('@') {
            Some((name, version)) if name == *interface => Some(format!("{world}@{version}")),
            None if export == *interface => Some((*world).to_owned()),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_exports_tells_its_world() {
        for (exports, world) in [
            (&["wasi:http/handler@0.3.0"][..], Some("wasi:http/service@0.3.0")),
            (&["wasi:cli/run@0.2.6", "wasi:http/incoming-handler@0.2.6"], Some("wasi:http/proxy@0.2.6")),
            (&["fastly:compute/http-incoming@0.1.0"], Some("fastly:compute/service@0.1.0")),
            (&["tollgate:gate/policy@0.1.0"], Some("tollgate:gate/policy-engine@0.1.0")),
            (&["wasi:http/handlers@0.3.0"], None),
            (&[], None),
        ] {
            assert_eq!(world_of(exports.iter().copied()).as_deref(), world);
        }
    }
}
