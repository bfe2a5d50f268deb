//! Which crate may depend on which, and which crates of others belong to one room.

use crate::manifest::packages;
use crate::tree::{Tree, assert_none, is_in};

/// The arrows. The first folder that a crate lies in is its room; it may depend on crates in the folders beside it.
const ARROWS: [(&str, &[&str]); 19] = [
    ("guest-sdk", &[]),
    ("components/examples", &["guest-sdk"]),
    ("components", &["guest-sdk"]),
    ("host/trust", &[]),
    ("host/derive", &["host/trust"]),
    ("host/request", &[]),
    ("host/runtime", &["host/trust", "host/request"]),
    // What meets clients elsewhere reads requests as the host does, and writes the same records.
    ("edge-adapters/fastly/front", &["host/request", "components/audit", "edge-adapters/fastly/platform"]),
    ("edge-adapters/fastly/backend", &["edge-adapters/fastly/platform"]),
    ("edge-adapters/fastly/wasi", &["host/request", "edge-adapters/fastly/platform"]),
    ("edge-adapters/fastly/platform", &[]),
    // Deployers talk to platforms with credentials, and have no engine.
    ("edge-adapters/deploy", &["host/trust"]),
    ("edge-adapters", &["host/trust", "host/derive", "host/runtime", "edge-adapters/fastly/front"]),
    // The binary assembles the house. Of the audit component it takes the pure core, which reads and checks a log.
    ("host/cli", &["host/trust", "host/derive", "host/runtime", "edge-adapters", "components/audit"]),
    ("tests/guests", &["guest-sdk"]),
    ("tests/tidy", &[]),
    ("tests/xtask", &[]),
    (
        "tests",
        &[
            "host",
            "edge-adapters",
            "components/audit",
            "components/gate",
            "components/limiter",
            "components/policy",
        ],
    ),
    (
        "benches",
        &[
            "host",
            "edge-adapters",
            "components/audit",
            "components/gate",
            "components/limiter",
            "components/policy",
            "tests",
        ],
    ),
];

/// Crates of others, by the start of the name, and the folders whose crates may depend on them.
const OWNED: [(&str, &[&str]); 6] = [
    ("wasmtime", &["host/runtime", "benches", "tests"]),
    ("cranelift", &["host/runtime", "benches", "tests"]),
    ("wac-graph", &["host/runtime", "edge-adapters/fastly", "benches", "tests"]),
    ("socket2", &["edge-adapters/server", "benches", "tests"]),
    ("hyper", &["edge-adapters/server", "benches", "tests"]),
    ("tokio-rustls", &["edge-adapters/server", "benches", "tests"]),
];

fn problems(tree: &Tree) -> Vec<String> {
    let packages = packages(tree);
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| !package.folder.is_empty()) {
        let Some((room, allowed)) = ARROWS.iter().find(|(room, _)| is_in(&package.folder, room)) else {
            problems.push(format!(
                "{}:1: `{}` lies in no known room: give its folder a line in ARROWS in tests/tidy/src/arrows.rs",
                package.path, package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let at = format!("{}:{}", package.path, dependency.line);
            if let Some(other) = packages.iter().find(|other| other.name == dependency.package)
                && !allowed.iter().any(|folder| is_in(&other.folder, folder))
            {
                problems.push(format!(
                    "{at}: {room} may not depend on {}: move what is needed to where both may look, or pass it in",
                    other.folder
                ));
            }
            for (name, owners) in OWNED {
                if dependency.package.starts_with(name)
                    && !owners.iter().any(|owner| is_in(&package.folder, owner))
                {
                    problems.push(format!(
                        "{at}: `{}` belongs to {}: use what they offer instead",
                        dependency.package,
                        owners.join(", ")
                    ));
                }
            }
        }
    }
    problems
}

#[test]
fn crates_depend_only_along_the_arrows() {
    assert_none(&problems(&Tree::here()));
}

#[test]
fn an_arrow_that_points_back_is_named_with_its_line() {
    let manifest = |name, rest| format!("[package]\nname = \"{name}\"\n[dependencies]\n{rest}");
    let (runtime, server) =
        (manifest("runtime", "server.workspace = true"), manifest("server", "runtime.workspace = true"));
    let (policy, tests) = (manifest("policy", "runtime = \"1\""), manifest("tests", "server = \"1\""));
    let (trust, odd) = (manifest("trust", "wasmtime-wasi = \"1\"\nsocket2 = \"1\""), manifest("odd", ""));
    let tree = Tree::of(&[
        ("Cargo.toml", "[workspace]"),
        ("host/runtime/Cargo.toml", &runtime),
        ("edge-adapters/server/Cargo.toml", &server),
        ("components/policy/Cargo.toml", &policy),
        ("tests/Cargo.toml", &tests),
        ("host/trust/Cargo.toml", &trust),
        ("attic/Cargo.toml", &odd),
    ]);
    let starts = [
        "attic/Cargo.toml:1: `odd` lies in no known room",
        "components/policy/Cargo.toml:4: components may not depend on host/runtime",
        "host/runtime/Cargo.toml:4: host/runtime may not depend on edge-adapters/server",
        "host/trust/Cargo.toml:4: `wasmtime-wasi` belongs to host/runtime, benches, tests",
        "host/trust/Cargo.toml:5: `socket2` belongs to edge-adapters/server",
    ];
    let found = problems(&tree);
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}
