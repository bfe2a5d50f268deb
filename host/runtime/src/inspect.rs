//! What a component asks for and offers, read from its bytes without an engine.

use crate::grants::Grants;
use crate::link::{Need, granted, needs};
use std::collections::BTreeMap;
use wasmparser::{Encoding, Parser, Payload};

/// The largest component, in bytes.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// How deep components may be nested, and how many there may be. Compilers take time and memory that grow with the
/// square of the depth; what toolchains and composition make is nested a few times.
const MAX_DEPTH: usize = 32;
const MAX_MODULES: usize = 1_000;

/// How many functions a component may have in all its modules, and how many of any other thing. An interpreter of
/// Python has 14,000 functions, and none of anything else as often; one of JavaScript has 10,000 data segments. What a
/// compiler takes for a thing without content adds up, too.
const MAX_FUNCTIONS: u64 = 50_000;
const MAX_OTHERS: u64 = 25_000;

/// What stands in a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Size in bytes.
    pub bytes: usize,
    /// Its imports, in the order of the file.
    pub imports: Vec<Import>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Core modules, nested ones included.
    pub core_modules: usize,
    /// Memories that those modules define: the initial and the greatest size of each, in bytes.
    pub memories: Vec<(u64, Option<u64>)>,
}

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name: an interface with its version, mostly.
    pub name: String,
    /// The line of the app's `grants` table that covers it; none when it needs no grant, or no grant can cover it.
    pub grant: Option<&'static str>,
    /// Whether this host has it at all.
    pub known: bool,
}

/// Bytes that are no component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedError {
    /// More bytes than any component may have.
    #[error("it has {bytes} bytes, more than {MAX_COMPONENT_BYTES}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// A core module.
    #[error(
        "it is a core module, not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// More parts, or deeper in each other, than any toolchain makes.
    #[error("it nests components more than {MAX_DEPTH} deep, or has more than {MAX_MODULES} parts")]
    TooNested,
    /// More of something than any toolchain makes.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it may have.
        most: u64,
    },
    /// Neither.
    #[error("it is not WebAssembly: {0}")]
    NotWasm(String),
}

impl Inspection {
    /// Reads a component. Takes time in proportion to its size, and looks at no function's body.
    pub fn of(bytes: &[u8]) -> Result<Self, MalformedError> {
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(MalformedError::TooLarge { bytes: bytes.len() });
        }
        let malformed = |error: wasmparser::BinaryReaderError| MalformedError::NotWasm(error.to_string());
        let mut inspection = Self { bytes: bytes.len(), ..Self::default() };
        let (mut depth, mut parts) = (0_usize, 0_usize);
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(malformed)?;
            if let Some((what, most, more)) = counted(&payload) {
                let count = counts.entry(what).or_default();
                *count += u64::from(more);
                if *count > most {
                    return Err(MalformedError::TooMany { what, most });
                }
            }
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(MalformedError::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
                    if depth == MAX_DEPTH || parts == MAX_MODULES =>
                {
                    return Err(MalformedError::TooNested);
                }
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    parts += 1;
                    inspection.core_modules += 1;
                }
                Payload::ComponentSection { .. } => {
                    depth += 1;
                    parts += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        inspection.imports.push(Import::named(import.map_err(malformed)?.name.name));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        inspection.exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory.map_err(malformed)?;
                        let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                        let size = |pages: u64| pages.saturating_mul(page);
                        inspection.memories.push((size(memory.initial), memory.maximum.map(size)));
                    }
                }
                _ => {}
            }
        }
        Ok(inspection)
    }

    /// The first import that these grants do not cover.
    pub fn ungranted(&self, grants: &Grants) -> Option<&Import> {
        self.imports.iter().find(|import| !granted(needs(&import.name), grants))
    }
}

/// What a section brings that is counted: its name, how many there may be, and how many there are.
fn counted(payload: &Payload<'_>) -> Option<(&'static str, u64, u32)> {
    let (what, count) = match payload {
        Payload::FunctionSection(section) => return Some(("functions", MAX_FUNCTIONS, section.count())),
        Payload::TypeSection(section) => ("core types", section.count()),
        Payload::ImportSection(section) => ("core imports", section.count()),
        Payload::ExportSection(section) => ("core exports", section.count()),
        Payload::TableSection(section) => ("tables", section.count()),
        Payload::MemorySection(section) => ("memories", section.count()),
        Payload::TagSection(section) => ("tags", section.count()),
        Payload::GlobalSection(section) => ("globals", section.count()),
        Payload::ElementSection(section) => ("element segments", section.count()),
        Payload::DataSection(section) => ("data segments", section.count()),
        Payload::InstanceSection(section) => ("core instances", section.count()),
        Payload::CoreTypeSection(section) => ("core types", section.count()),
        Payload::ComponentTypeSection(section) => ("types", section.count()),
        Payload::ComponentAliasSection(section) => ("aliases", section.count()),
        Payload::ComponentCanonicalSection(section) => ("canonical functions", section.count()),
        Payload::ComponentInstanceSection(section) => ("instances", section.count()),
        Payload::ComponentImportSection(section) => ("imports", section.count()),
        Payload::ComponentExportSection(section) => ("exports", section.count()),
        _ => return None,
    };
    Some((what, MAX_OTHERS, count))
}

impl Import {
    fn named(name: &str) -> Self {
        let need = needs(name);
        let grant = match need {
            Need::Grant(kind) => kind.line(),
            Need::Nothing | Need::Unknown => None,
        };
        Self { name: name.to_owned(), grant, known: need != Need::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_core_module_is_told_apart_with_the_way_out() {
        let module = b"\0asm\x01\0\0\0";
        assert_eq!(Inspection::of(module).unwrap_err(), MalformedError::CoreModule);
    }

    #[test]
    fn an_empty_component_asks_for_nothing() {
        let component = b"\0asm\x0d\0\x01\0";
        assert_eq!(Inspection::of(component).unwrap(), Inspection { bytes: 8, ..Inspection::default() });
    }

    #[test]
    fn components_in_components_in_components_are_refused_at_once() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for depth in 1..=40_u32 {
            let mut length = Vec::new();
            leb128(&mut length, u32::try_from(component.len()).unwrap());
            component = [b"\0asm\x0d\0\x01\0\x04", length.as_slice(), &component].concat();
            let nested = Inspection::of(&component);
            assert_eq!(nested.is_err(), depth > 32, "{depth}: {nested:?}");
        }
    }

    #[test]
    fn more_types_than_any_toolchain_makes_are_refused_at_once() {
        for (count, refused) in [(25_000_u32, false), (25_001, true)] {
            let mut types = Vec::new();
            leb128(&mut types, count);
            types.extend([0x70, 0x7d].repeat(count as usize));
            let mut component = b"\0asm\x0d\0\x01\0\x07".to_vec();
            leb128(&mut component, u32::try_from(types.len()).unwrap());
            component.extend(types);
            let inspected = Inspection::of(&component);
            let too_many = MalformedError::TooMany { what: "types", most: 25_000 };
            assert_eq!(inspected.err(), refused.then_some(too_many));
        }
    }

    /// A component of so many modules, each with one section that says how many things are in it, and has these bytes.
    fn modules(count: usize, section: u8, says: u32, bytes: &[u8]) -> Vec<u8> {
        let sized = |id: u8, content: &[u8]| {
            let mut sized = vec![id];
            leb128(&mut sized, u32::try_from(content.len()).unwrap());
            [sized, content.to_vec()].concat()
        };
        let mut content = Vec::new();
        leb128(&mut content, says);
        content.extend_from_slice(bytes);
        let module = [b"\0asm\x01\0\0\0".to_vec(), sized(section, &content)].concat();
        [b"\0asm\x0d\0\x01\0".to_vec(), sized(1, &module).repeat(count)].concat()
    }

    /// The section's number, its name, and the bytes of one empty thing in it.
    const ROOMS: [(u8, &str, &[u8]); 2] = [(5, "memories", &[0, 0]), (4, "tables", &[0x70, 0, 0])];

    #[test]
    fn more_memories_or_tables_than_any_toolchain_makes_are_refused_while_they_are_read() {
        for (section, what, one) in ROOMS {
            let too_many = MalformedError::TooMany { what, most: 25_000 };
            let of = |modules_: usize, each: u32| {
                Inspection::of(&modules(modules_, section, each, &one.repeat(each as usize)))
            };
            // In one module, and in many together.
            for (modules, each) in [(1, 25_000), (25, 1_000), (1_000, 25)] {
                let read = of(modules, each).unwrap();
                let memories = if what == "memories" { 25_000 } else { 0 };
                assert_eq!((read.core_modules, read.memories.len()), (modules, memories), "{what}");
                assert_eq!(of(modules, each + 1).unwrap_err(), too_many, "{what} in {modules} modules");
            }
        }
    }

    #[test]
    fn a_section_that_only_says_that_it_has_many_is_refused_before_it_is_read() {
        for (section, what, _) in ROOMS {
            // Five bytes of a number, and nothing after it: to make room for so many would be gigabytes.
            for says in [25_001, u32::MAX] {
                let refused = Inspection::of(&modules(1, section, says, &[])).unwrap_err();
                assert_eq!(refused, MalformedError::TooMany { what, most: 25_000 }, "{says}");
            }
            let cut = Inspection::of(&modules(1, section, 25_000, &[])).err();
            assert!(what == "tables" || matches!(cut, Some(MalformedError::NotWasm(_))), "{cut:?}");
        }
    }

    fn leb128(into: &mut Vec<u8>, mut value: u32) {
        while value > 127 {
            into.push(value as u8 | 128);
            value >>= 7;
        }
        into.push(value as u8);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400), component: bool) {
            let mut file = if component { b"\0asm\x0d\0\x01\0".to_vec() } else { b"\0asm\x01\0\0\0".to_vec() };
            file.extend(bytes);
            let _ = Inspection::of(&file);
        }
    }
}
