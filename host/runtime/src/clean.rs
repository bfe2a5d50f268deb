//! Proof, before anything is served, that a slot of the instance pool comes back as it was: on this kernel, with this
//! engine and these settings.
//!
//! Tenants follow one another in the same slots. How a slot is cleared depends on the machine: pages are given back to
//! the kernel, or those that the kernel says were written are copied over. A core module of the host's own fills all
//! that it has, is dropped, and the next instance in the same slot must find nothing of it.

use wasmtime::{Engine, Func, Instance, Module, Ref, Store, Val};

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
    if memory.size(&store) != PAGES || !memory.data(&store).iter().copied().eq(image()) {
        return Ok(Some("memory"));
    }
    if !(0..table.size(&store)).all(|at| matches!(table.get(&mut store, at), Some(Ref::Func(None)))) {
        return Ok(Some("a table"));
    }
    if !matches!(global.get(&mut store), Val::I32(7)) {
        return Ok(Some("a global"));
    }
    let grown = memory.grow(&mut store, MORE_PAGES).is_ok();
    if grown && memory.data(&store).iter().skip((PAGES << 16) as usize).any(|byte| *byte != 0) {
        return Ok(Some("memory that was grown"));
    }
    memory.data_mut(&mut store).fill(SCRIBBLE);
    let function = Func::wrap(&mut store, || {});
    for at in 0..table.size(&store) {
        table.set(&mut store, at, Ref::Func(Some(function)))?;
    }
    global.set(&mut store, Val::I32(-1))?;
    Ok(None)
}

/// What the memory begins as.
fn image() -> impl Iterator<Item = u8> {
    let (at, data) = DATA;
    let bytes = (PAGES << 16) as usize;
    (0..bytes).map(move |byte| byte.checked_sub(at).and_then(|byte| data.get(byte)).copied().unwrap_or(0))
}
