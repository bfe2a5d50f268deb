//! What operators cost: the part of a gas schedule that is charged inside a guest.
//!
//! The file is the host's own (`host/runtime/gas/schedule.toml`); there its prices for host calls, bytes and memory are
//! read too. Here only the id and the prices of operators matter, and the digest of the whole file, which names it in
//! a derivation record.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tollgate_trust::Blake3;
use wasmparser::Operator;

/// The schedule that the host ships with.
const DEFAULT: &str = include_str!("../../runtime/gas/schedule.toml");

/// The largest schedule file, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Operators that a schedule prices together. All others cost 1, or 0 where they only structure the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Divide,
    Root,
    Call,
    CallIndirect,
    MemoryGrow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    id: String,
    engine: String,
    operators: BTreeMap<Class, u8>,
    /// What is read here only so that a word too many is found.
    #[serde(rename = "fuel")]
    _fuel: u64,
    #[serde(rename = "instance")]
    _instance: u64,
    #[serde(rename = "memory-page")]
    _page: u64,
    #[serde(rename = "calls")]
    _calls: BTreeMap<String, toml::Value>,
}

/// The prices of operators in one gas schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    id: Arc<str>,
    digest: Blake3,
    operators: BTreeMap<Class, u8>,
}

/// A schedule that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is not TOML of the right shape; the text says where.
    #[error("{0}")]
    Shape(String),
    /// It is made for another engine, which counts other things.
    #[error(
        "the schedule is for engine `{found}`, and what is derived here counts like `{}`",
        Schedule::ENGINE
    )]
    Engine {
        /// What the file says.
        found: String,
    },
}

impl Schedule {
    /// The engine whose count is reproduced.
    pub const ENGINE: &'static str = "wasmtime-48.0";

    /// Reads a schedule from the text of its file.
    ///
    /// # Errors
    /// [`ScheduleError`] when it is of another shape, or for another engine.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > MAX_BYTES {
            return Err(ScheduleError::Shape(format!("the file is larger than {MAX_BYTES} bytes")));
        }
        let raw: Raw =
            toml::from_str(text).map_err(|e| ScheduleError::Shape(e.to_string().trim_end().to_owned()))?;
        if raw.engine != Self::ENGINE {
            return Err(ScheduleError::Engine { found: raw.engine });
        }
        if raw.id.is_empty() || raw.id.len() > 64 {
            return Err(ScheduleError::Shape("`id` must be 1 to 64 bytes".into()));
        }
        Ok(Self { id: raw.id.into(), digest: Blake3::of(text.as_bytes()), operators: raw.operators })
    }

    /// Its id, for bills and records.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The blake3 digest of the file's text, the same as the host's for the same file.
    pub fn digest(&self) -> Blake3 {
        self.digest
    }

    /// What one operator costs, apart from what depends on its operands.
    pub(crate) fn cost(&self, operator: &Operator<'_>) -> u64 {
        if is_structure(operator) {
            return 0;
        }
        class(operator).and_then(|class| self.operators.get(&class)).map_or(1, |cost| u64::from(*cost))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        // The shipped file is parsed by a test of this crate.
        Self::parse(DEFAULT).unwrap_or_else(|_| std::process::abort())
    }
}

/// Operators that only structure the code: the engine gives them away.
fn is_structure(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Nop
            | Operator::Drop
            | Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::Unreachable
            | Operator::Return
            | Operator::Else
            | Operator::End
    )
}

fn class(operator: &Operator<'_>) -> Option<Class> {
    Some(match operator {
        Operator::I32DivS
        | Operator::I32DivU
        | Operator::I32RemS
        | Operator::I32RemU
        | Operator::I64DivS
        | Operator::I64DivU
        | Operator::I64RemS
        | Operator::I64RemU
        | Operator::F32Div
        | Operator::F64Div => Class::Divide,
        Operator::F32Sqrt | Operator::F64Sqrt => Class::Root,
        Operator::Call { .. } | Operator::ReturnCall { .. } => Class::Call,
        Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => Class::CallIndirect,
        Operator::MemoryGrow { .. } => Class::MemoryGrow,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schedule_is_read_and_prices_operators() {
        let schedule = Schedule::parse(DEFAULT).unwrap();
        assert_eq!(schedule.digest(), Blake3::of(DEFAULT.as_bytes()));
        let costs = [Operator::Nop, Operator::I32Add, Operator::I64DivU, Operator::MemoryGrow { mem: 0 }]
            .map(|operator| schedule.cost(&operator));
        assert_eq!(costs, [0, 1, 10, 200]);
    }

    #[test]
    fn a_class_that_does_not_exist_is_refused_and_so_is_another_engine() {
        let odd = DEFAULT.replace("root = 10", "roots = 10");
        assert!(matches!(Schedule::parse(&odd), Err(ScheduleError::Shape(text)) if text.contains("roots")));
        let other = DEFAULT.replace(Schedule::ENGINE, "wasmtime-49.0");
        assert_eq!(Schedule::parse(&other), Err(ScheduleError::Engine { found: "wasmtime-49.0".into() }));
    }

    #[test]
    fn a_class_without_a_price_costs_what_others_cost() {
        let schedule = Schedule::parse(&DEFAULT.replace("root = 10\n", "")).unwrap();
        assert_eq!(schedule.cost(&Operator::F64Sqrt), 1);
    }
}
