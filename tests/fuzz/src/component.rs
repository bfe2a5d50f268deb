//! Bytes that claim to be a component: read in bounded time and memory, without an engine.

use crate::input::Input;
use std::time::{Duration, Instant};
use tollgate_runtime::Inspection;
use wasm_encoder::{
    Component, MemorySection, MemoryType, Module, ModuleSection, NestedComponentSection, RawSection,
};

/// How deep a generated component is at most: beyond what is taken.
const DEPTH: usize = 40;

/// Far more than any input of libFuzzer's length needs.
const LONGEST: Duration = Duration::from_secs(20);

/// Inspects the bytes as they are, after the two heads that there are, and as directions for a nested component.
pub fn run(data: &[u8]) {
    inspect(data);
    for head in [b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0"] {
        inspect(&[&head[..], data].concat());
    }
    inspect(&component(&mut Input::new(data), 0).finish());
}

fn inspect(bytes: &[u8]) {
    let start = Instant::now();
    match Inspection::of(bytes) {
        Ok(found) => {
            assert_eq!(found.bytes, bytes.len());
            assert!(found.core_modules <= 1_000, "{}", found.core_modules);
            // Whatever counts say, each thing takes a byte at least.
            let things = found.imports.len() + found.exports.len() + found.memories.len();
            assert!(things <= bytes.len());
            let text: usize = found.imports.iter().map(|import| import.name.len()).sum();
            assert!(text + found.exports.iter().map(String::len).sum::<usize>() <= bytes.len());
        }
        Err(error) => assert!(error.to_string().len() < 4_096),
    }
    assert!(start.elapsed() < LONGEST, "{:?} for {} bytes", start.elapsed(), bytes.len());
}

/// A component of modules, components and raw sections, as the input says.
fn component(input: &mut Input<'_>, depth: usize) -> Component {
    let mut component = Component::new();
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => return component,
            1 | 2 if depth < DEPTH => {
                let inner = self::component(input, depth + 1);
                component.section(&NestedComponentSection(&inner));
            }
            3 => {
                component.section(&ModuleSection(&module(input)));
            }
            // Many small ones.
            4 => {
                for _ in 0..usize::from(input.byte()) * 8 {
                    component.section(&ModuleSection(&Module::new()));
                }
            }
            _ => {
                let id = input.byte() % 16;
                let length = input.below(64);
                component.section(&RawSection { id, data: input.bytes(length) });
            }
        }
    }
    component
}

fn module(input: &mut Input<'_>) -> Module {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    for _ in 0..input.below(8) {
        memories.memory(MemoryType {
            minimum: input.scaled(),
            maximum: input.flag().then(|| input.scaled()),
            memory64: input.flag(),
            shared: input.flag(),
            page_size_log2: input.flag().then(|| input.byte().into()),
        });
    }
    module.section(&memories);
    let id = input.byte() % 16;
    let length = input.below(64);
    module.section(&RawSection { id, data: input.bytes(length) });
    module
}
