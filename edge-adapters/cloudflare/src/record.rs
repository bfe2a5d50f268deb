//! The derivation record: what went in, who derived, and what came out.

use serde::Serialize;
use tollgate_trust::{Sha256, Verified};

/// The record's file in a bundle.
pub const DERIVATION: &str = "derivation.json";

/// What a bundle was derived from, and what it holds. Sorted, so that equal inputs give equal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Derivation {
    /// Who derived.
    pub deriver: Deriver,
    /// The gas schedule that modules were instrumented with; none when they are as they were signed.
    pub schedule: Option<String>,
    /// The signed components, by sha256.
    pub components: Vec<Input>,
    /// Every core module of the bundle, and where it comes from.
    pub modules: Vec<Module>,
    /// Every file of the bundle but this one.
    pub outputs: Vec<Output>,
}

/// Who derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deriver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The sha256 of the lock that pins its transpiler.
    pub lock_sha256: String,
}

/// A signed component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Input {
    /// Its sha256, as its statement has it.
    pub sha256: String,
    /// Its blake3.
    pub blake3: String,
    /// Its release, as it was signed: `namespace:name@version`.
    pub release: String,
    /// Its size in bytes.
    pub bytes: usize,
}

impl Input {
    pub(crate) fn of(component: &Verified) -> Self {
        Self {
            sha256: component.sha256().to_string(),
            blake3: component.blake3().to_string(),
            release: component.release().subject(),
            bytes: component.bytes().len(),
        }
    }
}

/// A core module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Module {
    /// Its file.
    pub file: String,
    /// Its sha256.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// The range of a signed component that it is, byte for byte; none for what is made from types alone: a module that
    /// joins the parts of a gate, and one that the glue brings.
    pub verbatim: Option<Range>,
}

/// A range of a signed component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Range {
    /// The component's sha256.
    pub component: String,
    /// Where the range begins.
    pub offset: usize,
}

impl Module {
    /// The module in this file, found in one of those components if it stands there.
    pub(crate) fn of(file: String, bytes: &[u8], components: &[&Verified]) -> Self {
        let verbatim = components.iter().find_map(|component| {
            let offset = find(component.bytes(), bytes)?;
            Some(Range { component: component.sha256().to_string(), offset })
        });
        Self { file, sha256: Sha256::of(bytes).to_string(), bytes: bytes.len(), verbatim }
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Output {
    /// Its name.
    pub file: String,
    /// Its sha256.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: usize,
}

/// Where `part` begins in `whole`. Modules begin with a word that is rare elsewhere.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    let head = part.get(..8)?;
    let mut from = 0;
    while let Some(rest) = whole.get(from..) {
        let at = from + rest.windows(8).position(|window| window == head)?;
        if whole.get(at..at + part.len()) == Some(part) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_part_is_found_where_it_is_whole() {
        let whole = b"..\0asm\x01\0\0\0ab..\0asm\x01\0\0\0abc..";
        assert_eq!(find(whole, b"\0asm\x01\0\0\0abc"), Some(14));
        assert_eq!(find(whole, b"\0asm\x01\0\0\0abd"), None);
        assert_eq!(find(whole, b"\0asm"), None, "no module is so short");
    }
}
