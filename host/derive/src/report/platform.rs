//! What each target offers and allows, as data.

use super::Offer;
use crate::record::Target;
use std::fmt;

/// The day when the vendors' pages were read for the last time.
pub const LIMITS_READ: &str = "2026-11-21";

/// What of a component can be held against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

const NO_FILES: Offer = Offer::Partly("there are no directories: every open fails");
const NO_SOCKETS: Offer = Offer::Partly("every call fails");
const EVENTUAL: Offer = Offer::Partly("what is written is seen elsewhere later: no exact counts");
const UNKNOWN: Offer =
    Offer::Missing("Nothing here has it: compose the component with one that exports it, or do without.");

/// What a target offers for an import. The first line whose beginning the import's name has decides.
pub(crate) fn offers(target: Target, import: &str) -> Offer {
    let table = match target {
        Target::Cloudflare => OFFERS_CLOUDFLARE,
        Target::Fastly => OFFERS_FASTLY,
        Target::Server => OFFERS_SERVER,
    };
    let found = table.iter().find(|(prefix, _)| import.starts_with(prefix));
    found.map_or(UNKNOWN, |(_, offer)| *offer)
}

const OFFERS_SERVER: &[(&str, Offer)] = &[
    ("wasi:http/", Offer::Whole),
    ("wasi:io/", Offer::Whole),
    ("wasi:clocks/", Offer::Whole),
    ("wasi:random/", Offer::Whole),
    ("wasi:cli/", Offer::Whole),
    ("wasi:keyvalue/", Offer::Whole),
    ("wasi:config/", Offer::Whole),
    ("wasi:filesystem/", Offer::Partly("only the directory that a grant names")),
    ("wasi:sockets/", NO_SOCKETS),
    ("tollgate:platform/signer", Offer::Partly("for the audit component only")),
    ("tollgate:gate/", Offer::Partly("between the parts of the gate, which are composed")),
];

const OFFERS_CLOUDFLARE: &[(&str, Offer)] = &[
    ("wasi:http/", Offer::Whole),
    ("wasi:io/", Offer::Whole),
    ("wasi:clocks/", Offer::Partly("time stands still while a request computes")),
    ("wasi:random/", Offer::Whole),
    ("wasi:cli/", Offer::Partly("output goes to the platform's log; there is no input")),
    ("wasi:keyvalue/", Offer::Partly("exact in a Durable Object; in Workers KV without `atomics`")),
    ("wasi:config/", Offer::Whole),
    ("wasi:filesystem/", NO_FILES),
    ("wasi:sockets/", NO_SOCKETS),
    ("tollgate:platform/signer", Offer::Partly("for the audit component only")),
    ("tollgate:gate/", Offer::Partly("between the parts of the gate, which are composed")),
];

const OFFERS_FASTLY: &[(&str, Offer)] = &[
    ("fastly:compute/", Offer::Whole),
    ("wasi:http/", Offer::Whole),
    ("wasi:io/", Offer::Whole),
    ("wasi:clocks/", Offer::Whole),
    ("wasi:random/", Offer::Whole),
    ("wasi:cli/", Offer::Partly("output goes to the platform's log; there is no input")),
    ("wasi:keyvalue/", EVENTUAL),
    ("wasi:config/", Offer::Whole),
    ("wasi:filesystem/", NO_FILES),
    ("wasi:sockets/", NO_SOCKETS),
    ("tollgate:gate/", Offer::Partly("between the parts of the gate, which are composed")),
    (
        "tollgate:platform/signer",
        Offer::Missing("The audit log is written where there is one order: on the server or on Cloudflare."),
    ),
];
