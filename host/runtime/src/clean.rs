//! Proof, before anything is served, that a slot of the instance pool comes back as it was: on this kernel, with this
//! engine and these settings.
//!
//! Tenants follow one another in the same slots. How a slot is cleared depends on the machine: pages are given back to
//! the kernel, or those that the kernel says were written are copied over. A core module of the host's own fills all
//! that it has, is dropped, and the next instance in the same slot must find nothing of it.

use wasmtime::{Engine, Func, Global, Instance, Memory, Module, Ref, Store, Table, Val};

/// Pages (64 KiB) that the module begins with, and that it takes besides, if a slot has room for them.
const PAGES: u64 = 1;
const MORE_PAGES: u64 = 15;
const SCRIBBLE: u8 = 0xa5;

/// The module in binary: a memory of one page with the text `gate` at 60,000, a table of ten, and a global of 7.
///
/// ```text
/// (module (table (export "t") 10 funcref) (memory (export "m") 1) (global (export "g") (mut i32) (i32.const 7))
///   (data (i32.const 60000) "gate"))
/// ```
const MODULE: &[u8] = &[
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version 1
    0x04, 0x04, 0x01, 0x70, 0x00, 0x0a, // one table of funcref, at least 10
    0x05, 0x03, 0x01, 0x00, 0x01, // one memory, at least 1 page
    0x06, 0x06, 0x01, 0x7f, 0x01, 0x41, 0x07, 0x0b, // one global, i32, mutable, 7
    0x07, 0x0d, 0x03, 0x01, b't', 0x01, 0x00, 0x01, b'm', 0x02, 0x00, 0x01, b'g', 0x03, 0x00, // exports
    0x0b, 0x0c, 0x01, 0x00, 0x41, 0xe0, 0xd4, 0x03, 0x0b, // data at 60,000
    0x04, b'g', b'a', b't', b'e',
];

/// Where the module's own data are.
const DATA: (usize, &[u8]) = (60_000, b"gate");

/// What was not clean, if anything.
pub(crate) fn proved(engine: &Engine) -> wasmtime::Result<Option<&'static str>> {
    let module = Module::new(engine, MODULE)?;
    // The first instance is the one that scribbles; the others find what it left, and scribble too.
    for _ in 0..3 {
        if let Some(what) = one(engine, &module)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// Makes an instance, looks at all of it, and fills all of it.
fn one(engine: &Engine, module: &Module) -> wasmtime::Result<Option<&'static str>> {
    let mut slot = Slot::take(engine, module)?;
    if let Some(what) = slot.dirt() {
        return Ok(Some(what));
    }
    if slot.memory.grow(&mut slot.store, MORE_PAGES).is_ok() && !slot.grown_memory_is_clean() {
        return Ok(Some("memory that was grown"));
    }
    slot.fill()?;
    Ok(None)
}

/// A slot of the pool, with an instance of the module in it.
struct Slot {
    store: Store<()>,
    memory: Memory,
    table: Table,
    global: Global,
}

impl Slot {
    fn take(engine: &Engine, module: &Module) -> wasmtime::Result<Self> {
        let mut store = Store::new(engine, ());
        if store.get_fuel().is_ok() {
            store.set_fuel(u64::MAX)?;
        }
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Instance::new(&mut store, module, &[])?;
        let missing = || wasmtime::format_err!("the module for the proof has no such export");
        let memory = instance.get_memory(&mut store, "m").ok_or_else(missing)?;
        let table = instance.get_table(&mut store, "t").ok_or_else(missing)?;
        let global = instance.get_global(&mut store, "g").ok_or_else(missing)?;
        Ok(Self { store, memory, table, global })
    }

    /// What is not as the module says, if anything.
    fn dirt(&mut self) -> Option<&'static str> {
        let Self { store, memory, table, global } = self;
        if memory.size(&*store) != PAGES || !memory.data(&*store).iter().copied().eq(image()) {
            return Some("memory");
        }
        if !(0..table.size(&*store)).all(|at| matches!(table.get(&mut *store, at), Some(Ref::Func(None)))) {
            return Some("a table");
        }
        if !matches!(global.get(&mut *store), Val::I32(7)) {
            return Some("a global");
        }
        None
    }

    fn grown_memory_is_clean(&self) -> bool {
        self.memory.data(&self.store).iter().skip((PAGES << 16) as usize).all(|byte| *byte == 0)
    }

    fn fill(&mut self) -> wasmtime::Result<()> {
        let Self { store, memory, table, global } = self;
        memory.data_mut(&mut *store).fill(SCRIBBLE);
        let function = Func::wrap(&mut *store, || {});
        for at in 0..table.size(&*store) {
            table.set(&mut *store, at, Ref::Func(Some(function)))?;
        }
        global.set(&mut *store, Val::I32(-1))
    }
}

/// What the memory begins as.
fn image() -> impl Iterator<Item = u8> {
    let (at, data) = DATA;
    let bytes = (PAGES << 16) as usize;
    (0..bytes).map(move |byte| byte.checked_sub(at).and_then(|byte| data.get(byte)).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engines;
    use crate::gas::Schedule;
    use crate::limits::Capacity;

    /// What is found of a slot that something of this kind was left in.
    fn found(left: impl FnOnce(&mut Slot)) -> Option<&'static str> {
        let capacity =
            Capacity { instances: 2, memory_bytes: 1 << 20, gate_instances: 1, ..Capacity::default() };
        let engine = Engines::start(&capacity, &Schedule::default()).unwrap().apps;
        let mut slot = Slot::take(&engine, &Module::new(&engine, MODULE).unwrap()).unwrap();
        left(&mut slot);
        slot.dirt()
    }

    #[test]
    fn a_slot_of_which_one_byte_is_not_clean_is_found() {
        assert_eq!(found(|_| {}), None);
        // The first byte, the last, and one of the module's own text.
        for at in [0, 65_535, 60_001] {
            let left = found(|slot| slot.memory.data_mut(&mut slot.store)[at] ^= 1);
            assert_eq!(left, Some("memory"), "at {at}");
        }
        let grown = found(|slot| assert!(slot.memory.grow(&mut slot.store, 1).is_ok()));
        assert_eq!(grown, Some("memory"), "a page too many");
    }

    #[test]
    fn a_table_or_a_global_that_is_not_clean_is_found() {
        let in_table = |slot: &mut Slot| {
            let function = Func::wrap(&mut slot.store, || {});
            slot.table.set(&mut slot.store, 9, Ref::Func(Some(function))).unwrap();
        };
        assert_eq!(found(in_table), Some("a table"));
        assert_eq!(found(|slot| slot.global.set(&mut slot.store, Val::I32(8)).unwrap()), Some("a global"));
    }

    #[test]
    fn a_byte_in_memory_that_was_grown_is_found() {
        found(|slot| {
            assert!(slot.memory.grow(&mut slot.store, MORE_PAGES).is_ok() && slot.grown_memory_is_clean());
            let last = slot.memory.data_size(&slot.store) - 1;
            slot.memory.data_mut(&mut slot.store)[last] = 1;
            assert!(!slot.grown_memory_is_clean());
        });
    }

    #[test]
    fn what_a_filled_slot_leaves_would_be_found() {
        assert_eq!(found(|slot| slot.fill().unwrap()), Some("memory"));
    }
}
