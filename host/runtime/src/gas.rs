//! Gas: what work costs. A schedule is a file with an id; every bill names the id.
//!
//! `gas = fuel × price + instance + Σ host calls (base + per byte) + memory pages`. The operator table is compiled into the
//! code of every component (so it is part of the compile cache's key); the rest is added up while a run goes on.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The schedule that the host ships with: `gas/schedule.toml` beside this crate's sources.
const DEFAULT: &str = include_str!("../gas/schedule.toml");

/// The largest schedule file, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// One interface that the host gives to guests: the grain at which host calls are priced and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the WASI package or interface of its name")]
pub enum Interface {
    HttpTypes,
    HttpOutgoing,
    Io,
    Clocks,
    Random,
    Cli,
    Filesystem,
    Sockets,
    KeyvalueStore,
    KeyvalueAtomics,
    KeyvalueBatch,
    Config,
    Signer,
}

impl Interface {
    /// How many there are.
    pub const COUNT: usize = 13;

    /// Every one, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::HttpTypes,
        Self::HttpOutgoing,
        Self::Io,
        Self::Clocks,
        Self::Random,
        Self::Cli,
        Self::Filesystem,
        Self::Sockets,
        Self::KeyvalueStore,
        Self::KeyvalueAtomics,
        Self::KeyvalueBatch,
        Self::Config,
        Self::Signer,
    ];

    /// Whether the bytes that cross are counted, so that they can have a price.
    pub fn moves_bytes(self) -> bool {
        matches!(
            self,
            Self::HttpOutgoing
                | Self::Cli
                | Self::KeyvalueStore
                | Self::KeyvalueAtomics
                | Self::KeyvalueBatch
        )
    }

    /// The name used in schedules, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpTypes => "http-types",
            Self::HttpOutgoing => "http-outgoing",
            Self::Io => "io",
            Self::Clocks => "clocks",
            Self::Random => "random",
            Self::Cli => "cli",
            Self::Filesystem => "filesystem",
            Self::Sockets => "sockets",
            Self::KeyvalueStore => "keyvalue-store",
            Self::KeyvalueAtomics => "keyvalue-atomics",
            Self::KeyvalueBatch => "keyvalue-batch",
            Self::Config => "config",
            Self::Signer => "signer",
        }
    }
}

/// What a call of an interface costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CallPrice {
    /// Gas for each call.
    pub base: u64,
    /// Gas for each byte that crosses, in either direction. Only interfaces with [`Interface::moves_bytes`] may have a
    /// price here.
    #[serde(default)]
    pub per_byte: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    id: String,
    engine: String,
    fuel: u64,
    instance: u64,
    memory_page: u64,
    operators: Operators,
    calls: BTreeMap<Interface, CallPrice>,
}

/// A checked gas schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    id: Arc<str>,
    digest: blake3::Hash,
    fuel_price: u64,
    instance_price: u64,
    page_price: u64,
    operators: Operators,
    calls: [CallPrice; Interface::COUNT],
}

/// A schedule that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is not TOML of the right shape; the text says where.
    #[error("{0}")]
    Shape(String),
    /// It is made for another engine.
    #[error(
        "the schedule is for engine `{found}`, and this host runs `{wanted}`: measure anew, then set `engine`"
    )]
    Engine {
        /// What the file says.
        found: String,
        /// What this host runs.
        wanted: &'static str,
    },
    /// An interface has no price.
    #[error("`calls.{0}` is missing: every interface needs a price, if only `{{ base = 0 }}`")]
    NoPrice(&'static str),
    /// An operator class that does not exist.
    #[error("`operators.{found}` is not known; classes are: {known}")]
    Operator {
        /// What the file says.
        found: String,
        /// What there is.
        known: String,
    },
}

impl Schedule {
    /// The engine that schedules are valid for. Fuel is not the same in another major version.
    pub const ENGINE: &'static str = "wasmtime-48.0";

    /// Reads a schedule from the text of its file.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > MAX_BYTES {
            return Err(ScheduleError::Shape(format!("the file is larger than {MAX_BYTES} bytes")));
        }
        let raw: Raw =
            toml::from_str(text).map_err(|e| ScheduleError::Shape(e.to_string().trim_end().to_owned()))?;
        if raw.engine != Self::ENGINE {
            return Err(ScheduleError::Engine { found: raw.engine, wanted: Self::ENGINE });
        }
        if raw.fuel == 0 || raw.id.is_empty() || raw.id.len() > 64 {
            return Err(ScheduleError::Shape("`fuel` must be at least 1, and `id` 1 to 64 bytes".into()));
        }
        let known = operator_classes();
        if let Some(found) = raw.operators.0.keys().find(|class| !known.contains(&class.as_str())) {
            return Err(ScheduleError::Operator { found: found.clone(), known: known.join(", ") });
        }
        let mut calls = [CallPrice::default(); Interface::COUNT];
        for (slot, interface) in calls.iter_mut().zip(Interface::ALL) {
            *slot = *raw.calls.get(&interface).ok_or(ScheduleError::NoPrice(interface.name()))?;
            if slot.per_byte > 0 && !interface.moves_bytes() {
                let name = interface.name();
                return Err(ScheduleError::Shape(format!(
                    "`calls.{name}.per-byte` can't be charged: the bytes of this interface are not counted"
                )));
            }
        }
        Ok(Self {
            id: raw.id.into(),
            digest: blake3::hash(text.as_bytes()),
            fuel_price: raw.fuel,
            instance_price: raw.instance,
            page_price: raw.memory_page,
            operators: raw.operators,
            calls,
        })
    }

    /// Its id, for bills and records.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The blake3 hash of the file's text.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// Gas for one call of an interface.
    pub fn call(&self, interface: Interface) -> u64 {
        self.price(interface).base
    }

    /// Gas for bytes that cross with a call, or in a stream of the interface.
    pub fn bytes(&self, interface: Interface, bytes: u64) -> u64 {
        self.price(interface).per_byte.saturating_mul(bytes)
    }

    fn price(&self, interface: Interface) -> CallPrice {
        self.calls.get(interface as usize).copied().unwrap_or_default()
    }

    /// Gas for fuel.
    pub fn fuel(&self, fuel: u64) -> u64 {
        fuel.saturating_mul(self.fuel_price)
    }

    /// Gas for a fresh instance, before it does anything.
    pub fn instance(&self) -> u64 {
        self.instance_price
    }

    /// Gas for the most memory that a run held, in bytes: each 64 KiB page begun.
    pub fn memory(&self, bytes: u64) -> u64 {
        bytes.div_ceil(64 << 10).saturating_mul(self.page_price)
    }

    /// What classes of operators cost.
    pub(crate) fn operators(&self) -> &Operators {
        &self.operators
    }
}

/// Fuel for classes of operators. As text: `divide=10,root=10`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Operators(BTreeMap<String, u8>);

impl Operators {
    /// The table for the engine.
    pub(crate) fn cost(&self) -> wasmtime::OperatorCost {
        let mut table = wasmtime::OperatorCost::default();
        for (class, cost) in &self.0 {
            for operator in OPERATORS.iter().filter(|(name, _)| name == class).flat_map(|(_, set)| set.iter())
            {
                operator(&mut table, *cost);
            }
        }
        table
    }
}

impl fmt::Display for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (class, cost)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{class}={cost}")?;
        }
        Ok(())
    }
}

impl FromStr for Operators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (class, cost) = part.split_once('=')?;
            Some((class.to_owned(), cost.parse().ok()?))
        };
        let parts = text.split(',').filter(|part| !part.is_empty());
        let all: Option<BTreeMap<String, u8>> = parts.map(one).collect();
        all.map(Self).ok_or_else(|| format!("`{text}` prices no operators"))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        // The shipped file is parsed by a test of this crate.
        Self::parse(DEFAULT).unwrap_or_else(|_| std::process::abort())
    }
}

type Setter = fn(&mut wasmtime::OperatorCost, u8);

/// Classes of operators that a schedule may price; all others cost what the engine says: 1, or 0 for those that
/// only structure the code.
const OPERATORS: &[(&str, &[Setter])] = &[
    (
        "divide",
        &[
            |t, c| t.I32DivS = c,
            |t, c| t.I32DivU = c,
            |t, c| t.I32RemS = c,
            |t, c| t.I32RemU = c,
            |t, c| t.I64DivS = c,
            |t, c| t.I64DivU = c,
            |t, c| t.I64RemS = c,
            |t, c| t.I64RemU = c,
            |t, c| t.F32Div = c,
            |t, c| t.F64Div = c,
        ],
    ),
    ("root", &[|t, c| t.F32Sqrt = c, |t, c| t.F64Sqrt = c]),
    ("call", &[|t, c| t.Call = c, |t, c| t.ReturnCall = c]),
    ("call-indirect", &[|t, c| t.CallIndirect = c, |t, c| t.ReturnCallIndirect = c]),
    ("memory-grow", &[|t, c| t.MemoryGrow = c]),
];

fn operator_classes() -> Vec<&'static str> {
    OPERATORS.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schedule_is_right_and_prices_every_interface() {
        let schedule = Schedule::parse(DEFAULT).unwrap();
        for interface in Interface::ALL {
            assert!(schedule.call(interface) > 0, "{}", interface.name());
        }
    }

    #[test]
    fn a_schedule_for_another_engine_is_refused_with_the_way_out() {
        let other = DEFAULT.replace(Schedule::ENGINE, "wasmtime-49.0");
        let error = Schedule::parse(&other).unwrap_err();
        assert!(matches!(error, ScheduleError::Engine { .. }), "{error}");
    }

    #[test]
    fn a_price_left_out_is_an_error_and_not_free() {
        let without: String =
            DEFAULT.lines().filter(|line| !line.starts_with("random")).collect::<Vec<_>>().join("\n");
        assert_eq!(Schedule::parse(&without).unwrap_err(), ScheduleError::NoPrice("random"));
    }

    #[test]
    fn a_price_that_nobody_could_charge_is_refused() {
        let priced =
            DEFAULT.replace("filesystem = { base = 1000 }", "filesystem = { base = 1000, per-byte = 1 }");
        let error = Schedule::parse(&priced).unwrap_err().to_string();
        assert!(error.contains("`calls.filesystem.per-byte` can't be charged"), "{error}");
    }

    #[test]
    fn operators_are_the_same_as_text_and_back() {
        let operators = Schedule::default().operators;
        assert_eq!(operators.to_string().parse(), Ok(operators));
        assert_eq!("".parse(), Ok(Operators::default()));
        assert!("divide".parse::<Operators>().is_err() && "divide=300".parse::<Operators>().is_err());
    }

    #[test]
    fn prices_saturate() {
        let schedule = Schedule::default();
        assert_eq!(schedule.fuel(u64::MAX), u64::MAX);
        assert_eq!(schedule.bytes(Interface::KeyvalueStore, u64::MAX), u64::MAX);
    }
}
