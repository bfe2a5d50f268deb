//! What each target offers and allows, as data.

use super::Offer;
use crate::record::Target;
use serde::Serialize;
use std::fmt;

/// The day when the vendors' pages were read for the last time.
pub const LIMITS_READ: &str = "2026-11-21";

/// What of a component can be held against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// The size of the component.
    Component,
    /// The size of its largest core module.
    LargestModule,
    /// Its core modules, nested ones included.
    Modules,
    /// Memories that its modules define.
    Memories,
    /// What these memories have at the start, together.
    InitialMemory,
    /// Functions of all modules.
    Functions,
    /// How deep its components are nested.
    Depth,
}

impl Quantity {
    /// What it is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Component | Self::LargestModule | Self::InitialMemory => "bytes",
            Self::Modules => "modules",
            Self::Memories => "memories",
            Self::Functions => "functions",
            Self::Depth => "levels",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "size of the component",
            Self::LargestModule => "largest core module",
            Self::Modules => "core modules",
            Self::Memories => "memories",
            Self::InitialMemory => "memory at the start",
            Self::Functions => "functions",
            Self::Depth => "nesting",
        })
    }
}

/// One limit of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub quantity: Quantity,
    /// How much there may be.
    pub most: u64,
    /// Who says so.
    pub source: &'static str,
    /// What to change when it is more.
    pub advice: &'static str,
}

const MIB: u64 = 1 << 20;

const SMALLER: &str = "Build with `opt-level = \"s\"`, `lto` and `strip`; leave out what is not used.";
const LESS_MEMORY: &str = "Start with less memory and let it grow (`--initial-memory` of the linker).";

const WORKERS: &str = "developers.cloudflare.com/workers/platform/limits";
const COMPUTE: &str = "docs.fastly.com/products/compute-resource-limits";
const HOST: &str = "host/runtime/src/inspect.rs";

const CLOUDFLARE: &[Limit] = &[
    Limit { quantity: Quantity::Component, most: 64 * MIB, source: WORKERS, advice: SMALLER },
    Limit { quantity: Quantity::InitialMemory, most: 128 * MIB, source: WORKERS, advice: LESS_MEMORY },
];

const FASTLY: &[Limit] = &[
    Limit { quantity: Quantity::Component, most: 100_000_000, source: COMPUTE, advice: SMALLER },
    Limit { quantity: Quantity::InitialMemory, most: 128 * MIB, source: COMPUTE, advice: LESS_MEMORY },
];

const SERVER: &[Limit] = &[
    Limit { quantity: Quantity::Component, most: 64 * MIB, source: HOST, advice: SMALLER },
    Limit {
        quantity: Quantity::InitialMemory,
        most: 128 * MIB,
        source: "the default of `memory-bytes`",
        advice: "Start with less memory and let it grow, or ask for a plan with more `memory-bytes`.",
    },
    Limit {
        quantity: Quantity::Memories,
        most: 8,
        source: "host/runtime/src/engine.rs",
        advice: "Let modules share a memory.",
    },
    Limit { quantity: Quantity::Functions, most: 50_000, source: HOST, advice: SMALLER },
    Limit {
        quantity: Quantity::Modules,
        most: 1_000,
        source: HOST,
        advice: "Compose fewer components into one.",
    },
    Limit { quantity: Quantity::Depth, most: 32, source: HOST, advice: "Compose components side by side." },
];

/// What a target limits of what a component's bytes tell. Limits on time are not among it: what a component takes is
/// known when it runs. (Cloudflare: 1 s to start, 30 s of processor time unless asked for more. Fastly: 50 ms of
/// processor time, 2 minutes in all.)
pub fn limits(target: Target) -> &'static [Limit] {
    match target {
        Target::Cloudflare => CLOUDFLARE,
        Target::Fastly => FASTLY,
        Target::Server => SERVER,
    }
}

/// What a configuration asks of a platform besides what apps import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// A quota that is never passed.
    ExactCounts,
    /// A quota that may be passed by a bound.
    ApproximateCounts,
    /// A quota whose counts meet some time.
    EventualCounts,
    /// A quota of gas.
    GasQuota,
    /// A route that lets requests in while the gate can't decide.
    OpenRoute,
    /// Tenants with different policy engines.
    SeveralEngines,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExactCounts => "exact counts",
            Self::ApproximateCounts => "approximate counts",
            Self::EventualCounts => "eventual counts",
            Self::GasQuota => "a quota of gas",
            Self::OpenRoute => "`failure = \"open\"`",
            Self::SeveralEngines => "different policy engines",
        })
    }
}

/// Whether a target keeps what a configuration asks of it.
pub fn keeps(target: Target, demand: Demand) -> Offer {
    match (target, demand) {
        (Target::Server, _) => Offer::Whole,
        (Target::Cloudflare, Demand::GasQuota) => Offer::Partly("in a bundle that is built with `--gas on`"),
        (Target::Cloudflare, Demand::OpenRoute) => {
            Offer::Partly("for a gate that traps; not where its Durable Object can't be reached")
        }
        (Target::Cloudflare, _) => Offer::Whole,
        (Target::Fastly, Demand::ExactCounts) => {
            Offer::Missing("Add `consistency = \"approximate\"` to the bucket, or count elsewhere.")
        }
        (Target::Fastly, Demand::ApproximateCounts | Demand::EventualCounts) => {
            Offer::Partly("at most twice the quota while many ask at once")
        }
        (Target::Fastly, Demand::GasQuota) => Offer::Missing("Count requests: `unit = \"requests\"`."),
        (Target::Fastly, Demand::OpenRoute) => {
            Offer::Missing("A gate that traps ends the whole sandbox: write `failure = \"closed\"`.")
        }
        (Target::Fastly, Demand::SeveralEngines) => Offer::Missing("Build a service for each engine."),
    }
}

/// An interface, or with a `/` at its end every interface of a package; the starts of the versions that there are; and
/// what is offered of them.
type Row = (&'static str, &'static [&'static str], Offer);

const WASI_2: &[&str] = &["0.2."];
const WASI_2_3: &[&str] = &["0.2.", "0.3."];
/// What the transpiler and the worker have of 0.3.
const WASI_2_30: &[&str] = &["0.2.", "0.3.0"];
const KEYVALUE: &[&str] = &["0.2.0-draft2"];
const CONFIG: &[&str] = &["0.2.0-rc.1"];
const OURS: &[&str] = &["0.1."];

const GATE_ONLY: Offer = Offer::Partly("between the parts of the gate, which are composed");
const AUDIT_ONLY: Offer = Offer::Partly("for the audit component only");
const STANDS_STILL: Offer = Offer::Partly("time stands still while a request computes");
const TO_A_LOG: Offer = Offer::Partly("output goes to the platform's log; there is no input");
const NO_FILES: Offer = Offer::Missing(
    "The platform has no files: keep data in `wasi:keyvalue`, or build without what opens files.",
);
const NO_SOCKETS: Offer =
    Offer::Missing("The platform has no sockets: send `wasi:http` requests, or build without sockets.");
const NO_STORE: Offer = Offer::Missing("Apps on Fastly have no store: keep data at an origin.");
const OTHER_VERSION: Offer =
    Offer::Missing("It is there in another version: build against the interfaces of that one.");
const UNKNOWN: Offer =
    Offer::Missing("Nothing here has it: compose the component with one that exports it, or do without.");
const BOTH_HTTP: Offer =
    Offer::Missing("0.2 and 0.3 at once can't be told apart here: build against one of them.");

/// What a target offers for an import.
pub fn offers(target: Target, import: &str) -> Offer {
    let table = match target {
        Target::Cloudflare => OFFERS_CLOUDFLARE,
        Target::Fastly => OFFERS_FASTLY,
        Target::Server => OFFERS_SERVER,
    };
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let named =
        |row: &&Row| if row.0.ends_with('/') { interface.starts_with(row.0) } else { interface == row.0 };
    let Some((_, versions, offer)) = table.iter().find(named) else { return UNKNOWN };
    let is_there = versions.is_empty() || versions.iter().any(|start| version.starts_with(start));
    if is_there || matches!(offer, Offer::Missing(_)) { *offer } else { OTHER_VERSION }
}

/// What a target offers for all imports of one component.
pub(crate) fn offers_together(target: Target, imports: &[String]) -> Vec<Offer> {
    let of_http = |line: &str| {
        let start = format!("wasi:http/types@{line}");
        imports.iter().any(|import| import.starts_with(&start))
    };
    let has_both = target == Target::Cloudflare && of_http("0.2.") && of_http("0.3.");
    let offer = |import: &String| match offers(target, import) {
        Offer::Whole if has_both && import.starts_with("wasi:http/types@0.2.") => BOTH_HTTP,
        offer => offer,
    };
    imports.iter().map(offer).collect()
}

/// As the host links (`host/runtime/src/link.rs`).
const OFFERS_SERVER: &[Row] = &[
    ("wasi:http/types", WASI_2_3, Offer::Whole),
    ("wasi:http/outgoing-handler", WASI_2_3, Offer::Whole),
    ("wasi:http/client", WASI_2_3, Offer::Whole),
    ("wasi:io/", WASI_2_3, Offer::Whole),
    ("wasi:clocks/", WASI_2_3, Offer::Whole),
    ("wasi:random/", WASI_2_3, Offer::Whole),
    ("wasi:cli/", WASI_2_3, Offer::Whole),
    ("wasi:keyvalue/store", KEYVALUE, Offer::Whole),
    ("wasi:keyvalue/atomics", KEYVALUE, Offer::Whole),
    ("wasi:keyvalue/batch", KEYVALUE, Offer::Whole),
    ("wasi:config/store", CONFIG, Offer::Whole),
    ("wasi:filesystem/", WASI_2_3, Offer::Partly("only the directory that a grant names")),
    ("wasi:sockets/", WASI_2_3, Offer::Partly("with a grant that meets the import; every call fails")),
    ("tollgate:platform/signer", OURS, AUDIT_ONLY),
    ("tollgate:gate/", OURS, GATE_ONLY),
];

/// As the worker has it (`edge-adapters/cloudflare/src/imports.rs`; a test there holds both together).
const OFFERS_CLOUDFLARE: &[Row] = &[
    ("wasi:http/types", WASI_2_30, Offer::Whole),
    ("wasi:http/outgoing-handler", WASI_2, Offer::Whole),
    ("wasi:http/client", &["0.3.0"], Offer::Whole),
    ("wasi:io/error", WASI_2, Offer::Whole),
    ("wasi:io/poll", WASI_2, Offer::Whole),
    ("wasi:io/streams", WASI_2, Offer::Whole),
    ("wasi:clocks/monotonic-clock", WASI_2_30, STANDS_STILL),
    ("wasi:clocks/wall-clock", WASI_2, STANDS_STILL),
    ("wasi:clocks/system-clock", &["0.3.0"], STANDS_STILL),
    ("wasi:clocks/types", &["0.3.0"], Offer::Whole),
    ("wasi:random/random", WASI_2_30, Offer::Whole),
    ("wasi:random/insecure", WASI_2_30, Offer::Whole),
    ("wasi:random/insecure-seed", WASI_2_30, Offer::Whole),
    ("wasi:cli/environment", WASI_2, Offer::Whole),
    ("wasi:cli/exit", WASI_2, Offer::Whole),
    ("wasi:cli/stdin", WASI_2, TO_A_LOG),
    ("wasi:cli/stdout", WASI_2, TO_A_LOG),
    ("wasi:cli/stderr", WASI_2, TO_A_LOG),
    ("wasi:cli/terminal-input", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-output", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stdin", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stdout", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stderr", WASI_2, Offer::Whole),
    ("wasi:keyvalue/store", KEYVALUE, Offer::Whole),
    ("wasi:keyvalue/atomics", KEYVALUE, Offer::Whole),
    ("wasi:keyvalue/batch", KEYVALUE, Offer::Whole),
    ("wasi:config/store", WASI_2, Offer::Whole),
    ("wasi:filesystem/", &[], NO_FILES),
    ("wasi:sockets/", &[], NO_SOCKETS),
    ("tollgate:platform/signer", OURS, AUDIT_ONLY),
    ("tollgate:gate/", OURS, GATE_ONLY),
];

/// As Fastly's service world has it (`wit/deps/fastly`), and over it WASI for apps: all of 0.2.
const OFFERS_FASTLY: &[Row] = &[
    ("fastly:compute/", &["0.1."], Offer::Whole),
    ("wasi:http/types", WASI_2, Offer::Whole),
    ("wasi:http/outgoing-handler", WASI_2, Offer::Whole),
    ("wasi:io/error", WASI_2, Offer::Whole),
    ("wasi:io/poll", WASI_2, Offer::Whole),
    ("wasi:io/streams", WASI_2, Offer::Whole),
    ("wasi:clocks/monotonic-clock", WASI_2, Offer::Whole),
    ("wasi:clocks/wall-clock", WASI_2, Offer::Whole),
    ("wasi:random/random", WASI_2, Offer::Whole),
    ("wasi:random/insecure", WASI_2, Offer::Whole),
    ("wasi:random/insecure-seed", WASI_2, Offer::Whole),
    ("wasi:cli/environment", WASI_2, Offer::Whole),
    ("wasi:cli/exit", WASI_2, Offer::Whole),
    ("wasi:cli/stdin", WASI_2, TO_A_LOG),
    ("wasi:cli/stdout", WASI_2, TO_A_LOG),
    ("wasi:cli/stderr", WASI_2, TO_A_LOG),
    ("wasi:cli/terminal-input", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-output", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stdin", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stdout", WASI_2, Offer::Whole),
    ("wasi:cli/terminal-stderr", WASI_2, Offer::Whole),
    ("wasi:config/store", CONFIG, Offer::Whole),
    ("wasi:keyvalue/", &[], NO_STORE),
    ("wasi:filesystem/", &[], NO_FILES),
    ("wasi:sockets/", &[], NO_SOCKETS),
    ("tollgate:gate/", OURS, GATE_ONLY),
    (
        "tollgate:platform/signer",
        &[],
        Offer::Missing("The audit log is written where there is one order: on the server or on Cloudflare."),
    ),
];
