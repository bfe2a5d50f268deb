//! The parts that are added to a component: what tells and sets its cells, and what adds up several components.

use super::facts::CELL;
use super::module::full;
use super::survey::Next;
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentImportSection, ComponentInstanceSection, ComponentTypeRef,
    ComponentTypeSection, ComponentValType, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, InstanceSection, ModuleArg, ModuleSection,
    PrimitiveValType, TypeSection, ValType,
};

pub(crate) const USED: &str = "used";
pub(crate) const SET: &str = "set";

/// A core module that tells what the cells say together, and sets them. It has the limit that they are counted from.
fn teller(cells: usize, limit: u64) -> wasm_encoder::Module {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I64]);
    types.ty().function([ValType::I64, ValType::I64], []);
    let number = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
    let mut imports = ImportSection::new();
    for cell in 0..cells {
        imports.import(&cell.to_string(), CELL, EntityType::Global(number));
    }
    let (cells, the_limit) = (0..cells as u32, cells as u32);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut globals = GlobalSection::new();
    globals.global(number, &ConstExpr::i64_const(-full(limit)));
    let mut exports = ExportSection::new();
    exports.export(USED, ExportKind::Func, 0).export(SET, ExportKind::Func, 1);
    let (mut used, mut set) = (Function::new([]), Function::new([]));
    used.instructions().i64_const(0);
    // A limit that is no positive number of 64 bits is the greatest that is one.
    let mut code = set.instructions();
    code.i64_const(i64::MAX).local_get(1).local_get(1).i64_const(0).i64_lt_s().select().local_tee(1);
    code.global_set(the_limit);
    for cell in cells {
        used.instructions().global_get(cell).global_get(the_limit).i64_add().i64_add();
        // What is set as used is the home's.
        if cell == 0 {
            code.local_get(0);
        } else {
            code.i64_const(0);
        }
        code.local_get(1).i64_sub().global_set(cell);
    }
    code.end();
    used.instructions().end();
    let mut code = CodeSection::new();
    code.function(&used).function(&set);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&functions).section(&globals).section(&exports);
    module.section(&code);
    module
}

/// What every module after the home is instantiated with besides what it asks for.
pub(crate) fn argument(home: u32) -> (&'static str, ModuleArg) {
    (CELL, ModuleArg::Instance(home))
}

/// Adds the types of the two functions; their indices begin at `first`.
fn types(component: &mut Component) {
    let number = ComponentValType::Primitive(PrimitiveValType::U64);
    let none: [(&str, ComponentValType); 0] = [];
    let mut types = ComponentTypeSection::new();
    types.function().params(none).result(Some(number));
    types.function().params([(USED, number), ("limit", number)]).result(None);
    component.section(&types);
}

/// Adds what tells and sets the cells of these core instances, and exports it.
pub(crate) fn tell(component: &mut Component, cells: &[u32], limit: u64, next: Next, name: &str) {
    component.section(&ModuleSection(&teller(cells.len(), limit)));
    let names: Vec<String> = (0..cells.len()).map(|cell| cell.to_string()).collect();
    let mut instances = InstanceSection::new();
    instances.instantiate(
        next.modules,
        names.iter().zip(cells).map(|(name, cell)| (name.as_str(), ModuleArg::Instance(*cell))),
    );
    component.section(&instances);
    let mut aliases = ComponentAliasSection::new();
    for name in [USED, SET] {
        let instance = next.core_instances;
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
    }
    component.section(&aliases);
    types(component);
    let mut canonical = CanonicalFunctionSection::new();
    canonical.lift(next.core_functions, next.types, []);
    canonical.lift(next.core_functions + 1, next.types + 1, []);
    component.section(&canonical);
    bundle(component, next.functions);
    export(component, name, next.instances);
}

/// Makes an instance of two functions that follow each other.
pub(crate) fn bundle(component: &mut Component, function: u32) {
    let mut instances = ComponentInstanceSection::new();
    instances.export_items([
        (USED, ComponentExportKind::Func, function),
        (SET, ComponentExportKind::Func, function + 1),
    ]);
    component.section(&instances);
}

/// Exports an instance under a name.
pub(crate) fn export(component: &mut Component, name: &str, instance: u32) {
    let mut exports = ComponentExportSection::new();
    exports.export(name, ComponentExportKind::Instance, instance, None);
    component.section(&exports);
}

/// The names of one counting component's functions among the imports of the sum.
pub(crate) fn addend(place: usize) -> [String; 2] {
    [format!("used{place}"), format!("set{place}")]
}

/// A component that adds up the gas of `count` others. It is a sibling of theirs, because a component may not call
/// those that it has made itself.
pub(crate) fn sum(count: usize) -> Component {
    let mut component = Component::new();
    types(&mut component);
    let mut imports = ComponentImportSection::new();
    let mut canonical = CanonicalFunctionSection::new();
    for place in 0..count {
        for (name, ty) in addend(place).iter().zip(0..) {
            imports.import(name.as_str(), ComponentTypeRef::Func(ty));
        }
    }
    let functions = count as u32 * 2;
    for function in 0..functions {
        canonical.lower(function, []);
    }
    component.section(&imports).section(&canonical);
    component.section(&ModuleSection(&sum_module(count)));
    let mut instances = InstanceSection::new();
    let names: Vec<String> = (0..count).flat_map(addend).collect();
    let lowered = names.iter().zip(0..functions);
    instances.export_items(lowered.map(|(name, function)| (name.as_str(), ExportKind::Func, function)));
    instances.instantiate(0, [("", ModuleArg::Instance(0))]);
    component.section(&instances);
    let mut aliases = ComponentAliasSection::new();
    for name in [USED, SET] {
        aliases.alias(Alias::CoreInstanceExport { instance: 1, kind: ExportKind::Func, name });
    }
    component.section(&aliases);
    let mut lifted = CanonicalFunctionSection::new();
    lifted.lift(functions, 0, []).lift(functions + 1, 1, []);
    component.section(&lifted);
    let mut exports = ComponentExportSection::new();
    exports.export(USED, ComponentExportKind::Func, functions, None);
    exports.export(SET, ComponentExportKind::Func, functions + 1, None);
    component.section(&exports);
    component
}

/// Adds up what the others used; what is set as used goes to the first, and the limit to each.
fn sum_module(count: usize) -> wasm_encoder::Module {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I64]);
    types.ty().function([ValType::I64, ValType::I64], []);
    let mut imports = ImportSection::new();
    for place in 0..count {
        for (name, ty) in addend(place).iter().zip(0..) {
            imports.import("", name, EntityType::Function(ty));
        }
    }
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let first = count as u32 * 2;
    let mut exports = ExportSection::new();
    exports.export(USED, ExportKind::Func, first).export(SET, ExportKind::Func, first + 1);
    let (mut used, mut set) = (Function::new([]), Function::new([]));
    used.instructions().i64_const(0);
    for place in 0..count as u32 {
        used.instructions().call(2 * place).i64_add();
        let mut set = set.instructions();
        if place == 0 {
            set.local_get(0);
        } else {
            set.i64_const(0);
        }
        set.local_get(1).call(2 * place + 1);
    }
    used.instructions().end();
    set.instructions().end();
    let mut code = CodeSection::new();
    code.function(&used).function(&set);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
    module
}
