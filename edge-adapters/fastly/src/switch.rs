//! What calls an app by its number: a part that the bundler writes, because it imports as many apps as a service has.

use crate::compose::{ComposeError, app_name};
use std::fmt::Write as _;
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What it imports and exports besides the apps.
const WIT: &str = include_str!("../wit/apps.wit");

/// Of `wasi:http`, what its own types need. The composition gives it the whole interface.
const HTTP: &str = "package wasi:http@0.2.6 {
  interface types {
    resource incoming-request;
    resource response-outparam;
  }
}
";

const CALLS: &str = "tollgate:fastly/calls@0.1.0";
const HANDLE: &str = "tollgate:fastly/apps@0.1.0#handle";

/// The part for so many apps.
pub(crate) fn component(apps: usize) -> Result<Vec<u8>, ComposeError> {
    let apps = u32::try_from(apps).map_err(|_| ComposeError::Unfit("there are too many apps".to_owned()))?;
    let failed = |reason: String| ComposeError::Malformed { part: "switch".to_owned(), reason };
    let mut module = module(apps);
    let mut resolve = Resolve::default();
    let world = resolve
        .push_source("switch.wit", &contract(apps))
        .and_then(|package| resolve.select_world(&[package], Some("switch")));
    let world = world.map_err(|error| failed(format!("{error:#}")))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .and_then(|()| ComponentEncoder::default().validate(true).module(&module)?.encode())
        .map_err(|error| failed(format!("{error:#}")))
}

fn contract(apps: u32) -> String {
    let mut text = format!("{WIT}\nworld switch {{\n  export apps;\n");
    if apps > 0 {
        text += "  import calls;\n";
    }
    for number in 0..apps {
        let _ = write!(
            text,
            "  import {}: interface {{\n    use wasi:http/types@0.2.6.{{incoming-request, response-outparam}};\n    \
             handle: func(request: incoming-request, response-out: response-outparam);\n  }}\n",
            app_name(number)
        );
    }
    text + "}\n\n" + HTTP
}

/// One function: it compares the number with each, hands the run over, and traps if there is no such app.
fn module(apps: u32) -> Vec<u8> {
    const TAKE: u32 = 0;
    const CALL: u32 = 1;
    const ENTRY: u32 = 2;
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32, ValType::I32], []);
    types.ty().function([ValType::I32], []);
    let mut imports = ImportSection::new();
    if apps > 0 {
        imports.import(CALLS, "request", EntityType::Function(TAKE));
        imports.import(CALLS, "response-out", EntityType::Function(TAKE));
    }
    for number in 0..apps {
        imports.import(&app_name(number), "handle", EntityType::Function(CALL));
    }
    let mut functions = FunctionSection::new();
    functions.function(ENTRY);
    let mut handle = Function::new([]);
    for number in 0..apps {
        let mut code = handle.instructions();
        code.local_get(0).i32_const(number.cast_signed()).i32_eq().if_(BlockType::Empty);
        code.call(0).call(1).call(2 + number).return_().end();
    }
    handle.instructions().unreachable().end();
    let mut code = CodeSection::new();
    code.function(&handle);
    let mut exports = ExportSection::new();
    exports.export(HANDLE, ExportKind::Func, imports.len());
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
    module.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_runtime::Inspection;

    #[test]
    fn the_part_imports_each_app_and_nothing_of_the_platform() {
        for apps in [0, 1, 3_u32] {
            let bytes = component(apps as usize).unwrap();
            wasmparser::Validator::new().validate_all(&bytes).unwrap();
            assert_eq!(bytes, component(apps as usize).unwrap(), "the same bytes each time");
            let imports = Inspection::of(&bytes).unwrap().imports;
            let names: Vec<&str> = imports.iter().map(|import| import.name.as_str()).collect();
            let mut expected: Vec<String> = (0..apps).map(app_name).collect();
            if apps > 0 {
                expected.extend(["wasi:http/types@0.2.6".to_owned(), CALLS.to_owned()]);
            }
            assert_eq!(names.len(), expected.len(), "{names:?}");
            assert!(expected.iter().all(|name| names.contains(&name.as_str())), "{names:?}");
        }
    }
}
