//! Whether a component can run somewhere, said before anybody deploys it.
//!
//! A report holds the component's imports against what a target offers, and its sizes against the target's limits. Each
//! line says what is used, what the limit is, and where it does not fit, what to change. What a target offers and allows
//! is data ([`platform`]), with its source; platforms change it, so a figure here is of the day that its source was read.

mod measure;
mod platform;

pub use measure::{MeasureError, Measured};
pub use platform::{Demand, LIMITS_READ, Limit, Quantity, keeps, limits, offers};

use crate::record::Target;
use platform::offers_together;
use serde::Serialize;
use serde::ser::SerializeStruct;
use std::fmt;

/// Whether a target has what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "offer", content = "note", rename_all = "kebab-case")]
pub enum Offer {
    /// Yes.
    Whole,
    /// Yes, with less behind it than on the server; the text says what.
    Partly(&'static str),
    /// No; the text says what to do.
    Missing(&'static str),
}

impl Offer {
    /// Whether it is enough.
    pub fn is_enough(self) -> bool {
        !matches!(self, Self::Missing(_))
    }
}

/// In a table: what there is, or what to do.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("yes"),
            Self::Partly(note) => write!(f, "yes: {note}"),
            Self::Missing(advice) => write!(f, "NO. {advice}"),
        }
    }
}

/// One import of the component, against the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportLine {
    /// The import, with its version.
    pub name: String,
    /// Whether the target has it.
    #[serde(flatten)]
    pub offer: Offer,
}

/// One quantity of the component, against the target's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitLine {
    /// What is measured.
    pub quantity: Quantity,
    /// How much the component has of it.
    pub used: u64,
    /// How much it may have.
    pub limit: Limit,
}

impl LimitLine {
    /// Whether it is within the limit.
    pub fn fits(&self) -> bool {
        self.used <= self.limit.most
    }
}

impl Serialize for LimitLine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("LimitLine", 7)?;
        line.serialize_field("quantity", &self.quantity)?;
        line.serialize_field("used", &self.used)?;
        line.serialize_field("limit", &self.limit.most)?;
        line.serialize_field("unit", self.quantity.unit())?;
        line.serialize_field("fits", &self.fits())?;
        line.serialize_field("source", self.limit.source)?;
        line.serialize_field("advice", self.limit.advice)?;
        line.end()
    }
}

/// A component against a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The target.
    pub target: Target,
    /// Every import of the component.
    pub imports: Vec<ImportLine>,
    /// Every quantity that the target limits and that the bytes tell.
    pub limits: Vec<LimitLine>,
    /// What makes the component start slowly, where something does.
    pub hints: Vec<String>,
}

impl Report {
    /// Whether the component can run there as far as its bytes tell.
    pub fn fits(&self) -> bool {
        self.imports.iter().all(|line| line.offer.is_enough()) && self.limits.iter().all(LimitLine::fits)
    }
}

/// Holds a component against a target. Takes time in proportion to its size, and compiles nothing.
///
/// # Errors
/// [`MeasureError`] when the bytes are no component.
pub fn report(bytes: &[u8], target: Target) -> Result<Report, MeasureError> {
    let measured = Measured::of(bytes)?;
    let offers = offers_together(target, &measured.imports).into_iter();
    let imports = measured.imports.iter().cloned().zip(offers);
    let imports = imports.map(|(name, offer)| ImportLine { name, offer }).collect();
    let limits = limits(target)
        .iter()
        .map(|limit| LimitLine {
            quantity: limit.quantity,
            used: measured.quantity(limit.quantity),
            limit: *limit,
        })
        .collect();
    Ok(Report { target, imports, limits, hints: measured.hints(target) })
}

/// The whole report as a table: one line for each thing, those that don't fit with what to change.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.fits() { "fits" } else { "does not fit" };
        writeln!(f, "{}: {verdict}", self.target)?;
        let width = self.imports.iter().map(|line| line.name.len()).max().unwrap_or_default();
        for line in &self.imports {
            writeln!(f, "  {:width$}  {}", line.name, line.offer)?;
        }
        for line in &self.limits {
            let (used, most, unit) = (line.used, line.limit.most, line.quantity.unit());
            let advice =
                if line.fits() { String::new() } else { format!("  TOO MUCH. {}", line.limit.advice) };
            writeln!(f, "  {:22}{used:>12} of {most:>11} {unit}{advice}", line.quantity.to_string())?;
        }
        self.hints.iter().try_for_each(|hint| writeln!(f, "  start-up: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn an_import_that_a_target_lacks_is_named_with_what_to_do() {
        let bytes = component(
            r#"(component (import "wasi:http/types@0.2.6" (instance)) (import "acme:own/thing@1.0.0" (instance)))"#,
        );
        for target in Target::ALL {
            let report = report(&bytes, target).unwrap();
            assert!(!report.fits(), "{target}");
            assert_eq!(report.imports[0].offer, Offer::Whole, "{target}");
            assert!(matches!(report.imports[1].offer, Offer::Missing(_)), "{target}");
            assert!(report.to_string().contains("acme:own/thing@1.0.0   NO. "), "{report}");
        }
    }

    #[test]
    fn an_interface_of_another_version_is_not_the_one_that_is_there() {
        for (import, target, met) in [
            ("wasi:http/types@0.3.1", Target::Server, true),
            ("wasi:http/types@0.3.1", Target::Cloudflare, false),
            ("wasi:http/types@0.3.0", Target::Fastly, false),
            ("wasi:keyvalue/store@0.2.0-draft", Target::Server, false),
            ("wasi:keyvalue/watch@0.2.0-draft2", Target::Server, false),
            ("wasi:filesystem/types@0.2.6", Target::Server, true),
            ("wasi:filesystem/types@0.2.6", Target::Cloudflare, false),
        ] {
            assert_eq!(offers(target, import).is_enough(), met, "{import} on {target}");
        }
    }

    #[test]
    fn both_lines_of_http_at_once_are_too_many_for_a_worker() {
        let bytes = component(
            r#"(component (import "wasi:http/types@0.2.6" (instance)) (import "wasi:http/types@0.3.0" (instance)))"#,
        );
        assert!(report(&bytes, Target::Server).unwrap().fits());
        assert!(!report(&bytes, Target::Cloudflare).unwrap().fits());
    }

    #[test]
    fn what_a_target_can_not_keep_says_what_to_change() {
        for demand in [Demand::ExactCounts, Demand::GasQuota, Demand::OpenRoute, Demand::SeveralEngines] {
            assert!(keeps(Target::Server, demand).is_enough());
            assert!(keeps(Target::Cloudflare, demand).is_enough());
            assert!(!keeps(Target::Fastly, demand).is_enough(), "{demand}");
        }
    }

    #[test]
    fn memory_is_added_up_over_all_modules_and_held_against_the_limit() {
        let small = component("(component (core module (memory 10)) (component (core module (memory 6 8))))");
        let lines = report(&small, Target::Cloudflare).unwrap().limits;
        let memory = lines.iter().find(|line| line.quantity == Quantity::InitialMemory).unwrap();
        assert_eq!((memory.used, memory.fits()), (16 << 16, true));
        let large = component("(component (core module (memory 3000)))");
        let report = report(&large, Target::Fastly).unwrap();
        assert!(!report.fits());
        assert!(report.to_string().contains("196608000 of   134217728 bytes  TOO MUCH."), "{report}");
    }

    #[test]
    fn a_module_without_a_component_can_not_be_reported_on() {
        assert_eq!(report(&component("(module)"), Target::Server), Err(MeasureError::NotAComponent));
    }

    #[test]
    fn every_target_limits_the_size_and_the_memory() {
        for target in Target::ALL {
            for quantity in [Quantity::Component, Quantity::InitialMemory] {
                assert!(limits(target).iter().any(|limit| limit.quantity == quantity), "{target} {quantity}");
            }
        }
    }
}
