//! The same bytes in two engines: one counts fuel by itself, the other runs what the instrumenter made. What they count
//! must be the same number.
//!
//! The engines are configured as the host's are (`host/runtime/src/engine.rs`), without epochs, which count nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use it"
)]

mod http;
mod whole;

pub use http::answer;
pub use whole::{Counted, call_everything, folder_of_guests};

use tollgate_derive::Schedule;
use tollgate_derive::instrument::{self, Cell};
use tollgate_runtime::doors;
use wasmtime::{Engine, Global, GlobalType, Instance, Module, Mutability, Store, Trap, Val, ValType};

/// More than any test uses.
pub const PLENTY: u64 = 1 << 50;

/// An engine that makes code as the host does for apps, and one that does not count; without epochs in both.
pub fn engine(counts: bool) -> Engine {
    let mut config = doors::engine_of_apps();
    config.consume_fuel(counts).epoch_interruption(false);
    Engine::new(&config).unwrap()
}

/// How a call ended, as far as both engines must agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With these results, as text.
    Returned(String),
    /// With a trap.
    Trapped(Option<Trap>),
}

impl Ending {
    /// Whether the engine has counted everything by now. A trap in the middle of a block loses what is not added up.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Trapped(Some(Trap::UnreachableCodeReached)))
    }
}

/// What a module did: how its start and each of its exported functions ended, and what was used by then.
pub type Story = Vec<(String, Ending, u64)>;

/// Runs the module in the engine that counts, each export once with zeros, on one instance. Without imports.
pub fn counted_by_the_engine(engine: &Engine, bytes: &[u8]) -> Story {
    let module = Module::new(engine, bytes).unwrap();
    let mut store = Store::new(engine, ());
    store.set_fuel(PLENTY).unwrap();
    let instance = Instance::new(&mut store, &module, &[]);
    story(&mut store, instance, |store, _| PLENTY - store.get_fuel().unwrap())
}

/// Instruments the module, and runs it in the engine that does not count.
pub fn counted_by_itself(engine: &Engine, bytes: &[u8], is_imported: bool) -> Story {
    let cell = if is_imported {
        Cell::Imported { module: "a host".into(), name: "gas".into() }
    } else {
        Cell::Exported { name: "tollgate:gas".into(), limit: PLENTY }
    };
    let written = instrument::module(bytes, &Schedule::default(), &cell).unwrap();
    let module = Module::new(engine, written).unwrap();
    let mut store = Store::new(engine, ());
    let full = Val::I64(-(PLENTY as i64));
    let global = Global::new(&mut store, GlobalType::new(ValType::I64, Mutability::Var), full).unwrap();
    let imports = if is_imported { vec![global.into()] } else { Vec::new() };
    let instance = Instance::new(&mut store, &module, &imports);
    story(&mut store, instance, |store, instance| {
        let cell = if is_imported {
            global
        } else {
            match instance {
                Some(instance) => instance.get_global(&mut *store, "tollgate:gas").unwrap(),
                // What did not start has no exports.
                None => return 0,
            }
        };
        cell.get(store).unwrap_i64().cast_unsigned().wrapping_add(PLENTY)
    })
}

fn story(
    store: &mut Store<()>,
    instance: wasmtime::Result<Instance>,
    used: impl Fn(&mut Store<()>, Option<&Instance>) -> u64,
) -> Story {
    let ended = |result: wasmtime::Result<String>| match result {
        Ok(text) => Ending::Returned(text),
        Err(error) => Ending::Trapped(error.downcast_ref::<Trap>().copied()),
    };
    let (instance, start) = match instance {
        Ok(instance) => (Some(instance), Ok(String::new())),
        Err(error) => (None, Err(error)),
    };
    let mut story = vec![("start".to_owned(), ended(start), used(store, instance.as_ref()))];
    let Some(instance) = instance else { return story };
    let functions: Vec<_> = instance
        .exports(&mut *store)
        .filter_map(|export| Some((export.name().to_owned(), export.into_func()?)))
        .collect();
    for (name, function) in functions {
        let ty = function.ty(&*store);
        let arguments: Vec<Val> = ty.params().map(|ty| ty.default_value().unwrap()).collect();
        let mut results: Vec<Val> = ty.results().map(|ty| ty.default_value().unwrap()).collect();
        let result = function.call(&mut *store, &arguments, &mut results);
        // References differ from store to store.
        let shown = results.iter().map(|value| match value {
            Val::FuncRef(function) => format!("function {}", function.is_some()),
            other => format!("{other:?}"),
        });
        let ending = ended(result.map(|()| shown.collect::<Vec<_>>().join(" ")));
        let used = used(store, Some(&instance));
        story.push((name, ending, used));
    }
    story
}

/// Asserts that both stories are one: the same endings, and the same use wherever the engine has counted everything.
/// Says how many numbers were compared.
pub fn assert_same(what: &str, bytes: &[u8], counting: &Engine, plain: &Engine) -> usize {
    let by_the_engine = counted_by_the_engine(counting, bytes);
    let mut compared = 0;
    for is_imported in [false, true] {
        let by_itself = counted_by_itself(plain, bytes, is_imported);
        assert_eq!(by_the_engine.len(), by_itself.len());
        let mut before = (0, 0);
        for (one, other) in by_the_engine.iter().zip(&by_itself) {
            assert_eq!((&one.0, &one.1), (&other.0, &other.1), "{what}");
            // What did not start has no cell to read.
            let can_be_read = is_imported || matches!(by_itself[0].1, Ending::Returned(_));
            if one.1.is_counted() && can_be_read {
                let used = (one.2 - before.0, other.2 - before.1);
                assert_eq!(
                    used.0, used.1,
                    "{what}: at `{}` ({:?}), imported cell: {is_imported}",
                    one.0, one.1
                );
                compared += 1;
            }
            before = (one.2, other.2);
        }
    }
    compared
}
