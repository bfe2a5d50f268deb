//! The core modules of a component, where they lie in it.
//!
//! A component holds its core modules as they are, byte for byte, so a platform that runs core modules can take them as
//! ranges of the signed bytes, and anybody can check that it did.

use std::ops::Range;
use tollgate_trust::Sha256;
use wasmparser::{Encoding, Parser, Payload};

/// How deep components may be nested.
const MAX_DEPTH: usize = 32;

/// The most core modules.
const MAX_MODULES: usize = 1_000;

/// One core module of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreModule {
    /// The component that it is in: which of the components nested in the outermost one, which of those nested in that,
    /// and so on, each counted from 0. Empty for the outermost one.
    pub component: Vec<u32>,
    /// Which of the modules of that component it is, from 0.
    pub index: u32,
    /// Where it begins, in bytes from the component's first one.
    pub offset: usize,
    /// How long it is, in bytes.
    pub length: usize,
    /// The digest of these bytes.
    pub sha256: Sha256,
}

impl CoreModule {
    /// The range that it takes in the component.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.length
    }

    /// Its path as text: `1.0` is module 0 of the component's nested component 1.
    pub fn path(&self) -> String {
        let all: Vec<String> = self.component.iter().chain([&self.index]).map(u32::to_string).collect();
        all.join(".")
    }
}

/// Bytes whose core modules can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoresError {
    /// Not WebAssembly.
    #[error("it is not WebAssembly: {0}")]
    Malformed(String),
    /// A core module, which has no others in it.
    #[error("it is a core module, not a component")]
    NotAComponent,
    /// More parts, or deeper in each other, than any toolchain makes.
    #[error("it nests components more than {MAX_DEPTH} deep, or has more than {MAX_MODULES} core modules")]
    TooMany,
}

/// A component that is open, and how many of each it had so far.
#[derive(Default)]
struct Open {
    is_component: bool,
    modules: u32,
    components: u32,
}

/// Finds the core modules of a component, in the order in which they lie in it.
///
/// # Errors
/// [`CoresError`] when it is no component, or nested without measure.
pub fn cores(bytes: &[u8]) -> Result<Vec<CoreModule>, CoresError> {
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| CoresError::Malformed(error.to_string()))? {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == Encoding::Component;
                if !is_component && open.is_empty() {
                    return Err(CoresError::NotAComponent);
                }
                open.push(Open { is_component, ..Open::default() });
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                if found.len() == MAX_MODULES {
                    return Err(CoresError::TooMany);
                }
                let range = unchecked_range.start as usize..unchecked_range.end as usize;
                let slice = bytes.get(range.clone()).ok_or_else(cut)?;
                let component = path(&open);
                let index = open.last_mut().map_or(0, |here| next(&mut here.modules));
                found.push(CoreModule {
                    component,
                    index,
                    offset: range.start,
                    length: range.len(),
                    sha256: Sha256::of(slice),
                });
            }
            Payload::ComponentSection { .. } => {
                if open.len() == MAX_DEPTH {
                    return Err(CoresError::TooMany);
                }
                if let Some(here) = open.last_mut() {
                    here.components += 1;
                }
            }
            Payload::End(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    Ok(found)
}

fn cut() -> CoresError {
    CoresError::Malformed("a section is longer than the file".into())
}

fn next(count: &mut u32) -> u32 {
    let now = *count;
    *count += 1;
    now
}

/// Which component is open: every one but the innermost has begun the next one.
fn path(open: &[Open]) -> Vec<u32> {
    let outer = open.len().saturating_sub(1);
    open.iter().filter(|here| here.is_component).take(outer).map(|here| here.components - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_with_their_path_and_are_the_very_bytes() {
        let bytes = wat::parse_str(
            r#"(component (core module (func)) (component (core module (memory 1)) (core module (memory 2)))
                 (component (component (core module (table 3 funcref)))) (core module (memory 4)))"#,
        )
        .unwrap();
        let found = cores(&bytes).unwrap();
        let paths: Vec<_> = found.iter().map(CoreModule::path).collect();
        assert_eq!(paths, ["0", "0.0", "0.1", "1.0.0", "1"]);
        for core in found {
            let slice = &bytes[core.range()];
            assert!(slice.starts_with(b"\0asm\x01\0\0\0"), "{}", core.path());
            assert_eq!(core.sha256, Sha256::of(slice));
        }
    }

    #[test]
    fn what_is_no_component_has_no_core_modules() {
        assert_eq!(cores(&wat::parse_str("(module)").unwrap()), Err(CoresError::NotAComponent));
        assert!(matches!(cores(b"\0asm\x0d\0\x01\0\x01\xff"), Err(CoresError::Malformed(_))));
    }

    #[test]
    fn nesting_without_measure_is_refused() {
        let deep = format!("{}{}", "(component ".repeat(40), ")".repeat(40));
        assert_eq!(cores(&wat::parse_str(&deep).unwrap()), Err(CoresError::TooMany));
    }
}
