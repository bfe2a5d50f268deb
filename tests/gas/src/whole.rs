//! Whole components: every function that they export is called with values made up for its types.

use crate::PLENTY;
use std::path::PathBuf;
use tollgate_derive::instrument::GAS_INTERFACE;
use wasmtime::component::{Component, Func, Instance, Linker, Type, Val};
use wasmtime::{Engine, Store};

/// One call of an exported function on a fresh instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The function.
    pub name: String,
    /// What it gave, as text; none when it trapped.
    pub result: Option<String>,
    /// What the start and the call used; none where nothing can be read any more.
    pub used: Option<u64>,
}

/// Where built guests lie, if some are built.
#[expect(clippy::disallowed_methods, reason = "the tests' own target folder")]
pub fn folder_of_guests() -> Option<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    };
    let folder = target.join("guests");
    folder.is_dir().then_some(folder)
}

/// Calls each function that the component exports, each on an instance of its own. What it imports traps.
pub fn call_everything(engine: &Engine, bytes: &[u8], counts_fuel: bool) -> Vec<Counted> {
    let component = Component::new(engine, bytes).unwrap();
    let mut linker: Linker<()> = Linker::new(engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let names = functions(engine, &component);
    let mut all = Vec::new();
    for (interface, name) in names {
        let mut store = Store::new(engine, ());
        if counts_fuel {
            store.set_fuel(PLENTY).unwrap();
        }
        let Ok(instance) = linker.instantiate(&mut store, &component) else { continue };
        let function = find(&mut store, &instance, interface.as_deref(), &name);
        let result = call(&mut store, &function);
        let used = if counts_fuel {
            Some(PLENTY - store.get_fuel().unwrap())
        } else if result.is_some() {
            let used = find(&mut store, &instance, Some(GAS_INTERFACE), "used");
            let mut results = [Val::Bool(false)];
            used.call(&mut store, &[], &mut results).unwrap();
            let Val::U64(used) = results[0] else { panic!("{results:?}") };
            Some(used)
        } else {
            None
        };
        all.push(Counted { name: format!("{} {name}", interface.unwrap_or_default()), result, used });
    }
    all
}

/// The functions that a component exports, those of its interfaces included, but for those that tell gas.
fn functions(engine: &Engine, component: &Component) -> Vec<(Option<String>, String)> {
    use wasmtime::component::types::ComponentItem;
    let mut names = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => names.push((None, name.to_owned())),
            ComponentItem::ComponentInstance(instance) if name != GAS_INTERFACE => {
                let inner = instance.exports(engine);
                let functions = inner.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                names.extend(functions.map(|(inner, _)| (Some(name.to_owned()), inner.to_owned())));
            }
            _ => {}
        }
    }
    names
}

fn find(store: &mut Store<()>, instance: &Instance, interface: Option<&str>, name: &str) -> Func {
    let outer = interface.map(|interface| instance.get_export_index(&mut *store, None, interface).unwrap());
    let index = instance.get_export_index(&mut *store, outer.as_ref(), name).unwrap();
    instance.get_func(&mut *store, index).unwrap()
}

fn call(store: &mut Store<()>, function: &Func) -> Option<String> {
    let ty = function.ty(&*store);
    let arguments: Option<Vec<Val>> = ty.params().map(|(_, ty)| sample(&ty)).collect();
    let mut results: Vec<Val> = ty.results().map(|_| Val::Bool(false)).collect();
    function.call(&mut *store, &arguments?, &mut results).ok()?;
    Some(format!("{results:?}"))
}

/// Some value of a type; none where a value can't be made up.
fn sample(ty: &Type) -> Option<Val> {
    Some(match ty {
        Type::Bool => Val::Bool(true),
        Type::S8 => Val::S8(7),
        Type::U8 => Val::U8(7),
        Type::S16 => Val::S16(7),
        Type::U16 => Val::U16(7),
        Type::S32 => Val::S32(7),
        Type::U32 => Val::U32(7),
        Type::S64 => Val::S64(7),
        Type::U64 => Val::U64(7),
        Type::Float32 => Val::Float32(1.5),
        Type::Float64 => Val::Float64(1.5),
        Type::Char => Val::Char('é'),
        Type::String => Val::String("a text, größer".into()),
        Type::List(list) => Val::List((0..3).map(|_| sample(&list.ty())).collect::<Option<_>>()?),
        Type::Record(record) => Val::Record(
            record
                .fields()
                .map(|field| Some((field.name.to_owned(), sample(&field.ty)?)))
                .collect::<Option<_>>()?,
        ),
        Type::Tuple(tuple) => Val::Tuple(tuple.types().map(|ty| sample(&ty)).collect::<Option<_>>()?),
        Type::Variant(variant) => {
            let case = variant.cases().next()?;
            let inner = match &case.ty {
                Some(ty) => Some(Box::new(sample(ty)?)),
                None => None,
            };
            Val::Variant(case.name.to_owned(), inner)
        }
        Type::Enum(all) => Val::Enum(all.names().next()?.to_owned()),
        Type::Option(option) => Val::Option(Some(Box::new(sample(&option.ty())?))),
        Type::Result(result) => Val::Result(Ok(match result.ok() {
            Some(ty) => Some(Box::new(sample(&ty)?)),
            None => None,
        })),
        Type::Flags(flags) => Val::Flags(flags.names().take(1).map(str::to_owned).collect()),
        _ => return None,
    })
}
