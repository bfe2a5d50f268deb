//! The settings as a component of data: one function, which returns them.

use crate::compose::ComposeError;
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, which is a file of its own so that nothing else has to be resolved for it.
const WIT: &str = include_str!("../wit/settings.wit");

/// A page of memory, bytes.
const PAGE: usize = 64 << 10;

/// Where the settings begin: behind the two words that say where they are and how long.
const START: u32 = 8;

/// The component whose `settings.read` returns these bytes.
pub(crate) fn component(settings: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let failed = |reason: String| ComposeError::Malformed { part: "configuration".to_owned(), reason };
    let length = u32::try_from(settings.len()).map_err(|_| failed("it has more than 4 GiB".to_owned()))?;
    let mut module = module(settings, length);
    let mut resolve = Resolve::default();
    let world = resolve
        .push_source("settings.wit", WIT)
        .and_then(|package| resolve.select_world(&[package], Some("configuration")));
    let world = world.map_err(|error| failed(format!("{error:#}")))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .and_then(|()| ComponentEncoder::default().validate(true).module(&module)?.encode())
        .map_err(|error| failed(format!("{error:#}")))
}

/// The canonical ABI returns a list as the address of its address and its length; all three are known here.
fn module(settings: &[u8], length: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    let pages = (settings.len() + START as usize).div_ceil(PAGE) as u64;
    memories.memory(MemoryType {
        minimum: pages,
        maximum: Some(pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("tollgate:fastly/settings@0.1.0#read", ExportKind::Func, 0);
    let mut code = CodeSection::new();
    let mut read = Function::new([]);
    read.instructions().i32_const(0).end();
    code.function(&read);
    let mut data = DataSection::new();
    let bytes = [&START.to_le_bytes()[..], &length.to_le_bytes(), settings].concat();
    data.active(0, &ConstExpr::i32_const(0), bytes);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    module.section(&data);
    module.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_a_component_with_the_settings_in_it_and_no_imports() {
        for settings in [Vec::new(), br#"{"tenants":[]}"#.to_vec(), vec![b'x'; PAGE]] {
            let bytes = component(&settings).unwrap();
            wasmparser::Validator::new().validate_all(&bytes).unwrap();
            assert_eq!(bytes, component(&settings).unwrap(), "the same bytes each time");
            assert!(tollgate_runtime::Inspection::of(&bytes).unwrap().imports.is_empty());
            let there = settings.is_empty() || bytes.windows(settings.len()).any(|part| part == settings);
            assert!(there);
        }
    }
}
