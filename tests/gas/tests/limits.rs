//! What a component tells, how it stops, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use tollgate_derive::Schedule;
use tollgate_derive::instrument::{self, Cell, GAS_INTERFACE, InstrumentError};
use tollgate_gas_tests::{PLENTY, call_everything, engine};
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store, Trap};

/// A component that works `n` turns in one module, which calls another that came before it and one that comes after.
const WORKER: &str = r#"(component
  (core module $before (func (export "one") (result i32) i32.const 1))
  (core module $main (import "before" "one" (func $one (result i32))) (table (export "t") 1 funcref)
    (type $step (func (param i32) (result i32)))
    (func (export "work") (param i32) (result i32)
      (loop local.get 0 call $one i32.sub local.tee 0 br_if 0)
      (loop i32.const 100 local.get 0 i32.const 1 i32.add local.tee 0 i32.gt_s br_if 0)
      local.get 0 i32.const 0 call_indirect (type $step)))
  (core module $after (import "main" "t" (table 1 funcref)) (func $step (param i32) (result i32) local.get 0)
    (elem (i32.const 0) func $step))
  (core instance $b (instantiate $before))
  (core instance $m (instantiate $main (with "before" (instance $b))))
  (core instance (instantiate $after (with "main" (instance $m))))
  (func (export "work") (param "n" s32) (result s32) (canon lift (core func $m "work"))))"#;

fn worker() -> Vec<u8> {
    wat::parse_str(WORKER).unwrap()
}

fn metered(bytes: &[u8], limit: u64) -> Vec<u8> {
    instrument::component(bytes, &Schedule::default(), limit).unwrap()
}

struct Running {
    store: Store<()>,
    instance: Instance,
}

impl Running {
    fn start(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        let component = Component::new(engine, bytes)?;
        let mut store = Store::new(engine, ());
        let instance = Linker::new(engine).instantiate(&mut store, &component)?;
        Ok(Self { store, instance })
    }

    fn call(
        &mut self,
        interface: Option<&str>,
        name: &str,
        arguments: &[Val],
    ) -> wasmtime::Result<Option<Val>> {
        let outer =
            interface.map(|name| self.instance.get_export_index(&mut self.store, None, name).unwrap());
        let index = self.instance.get_export_index(&mut self.store, outer.as_ref(), name).unwrap();
        let function = self.instance.get_func(&mut self.store, index).unwrap();
        let mut results = vec![Val::Bool(false); function.ty(&self.store).results().len()];
        function.call(&mut self.store, arguments, &mut results)?;
        Ok(results.pop())
    }

    fn used(&mut self) -> u64 {
        match self.call(Some(GAS_INTERFACE), "used", &[]).unwrap() {
            Some(Val::U64(used)) => used,
            other => panic!("{other:?}"),
        }
    }

    fn set(&mut self, used: u64, limit: u64) {
        self.call(Some(GAS_INTERFACE), "set", &[Val::U64(used), Val::U64(limit)]).unwrap();
    }

    fn work(&mut self, turns: i32) -> wasmtime::Result<Option<Val>> {
        self.call(None, "work", &[Val::S32(turns)])
    }
}

fn is_out_of_gas(result: wasmtime::Result<Option<Val>>) -> bool {
    result.is_err_and(|error| error.downcast_ref::<Trap>() == Some(&Trap::UnreachableCodeReached))
}

#[test]
fn a_component_tells_what_all_its_modules_used_together() {
    let (bytes, counting, plain) = (worker(), engine(true), engine(false));
    let by_the_engine = call_everything(&counting, &bytes, true);
    let by_itself = call_everything(&plain, &metered(&bytes, PLENTY), false);
    assert_eq!(by_the_engine, by_itself);
    assert!(by_itself[0].used.is_some_and(|used| used > 500), "{by_itself:?}");
}

#[test]
fn a_run_is_within_its_gas_if_it_ends_and_used_less_than_the_limit() {
    let engine = engine(false);
    let bytes = metered(&worker(), PLENTY);
    let mut running = Running::start(&engine, &bytes).unwrap();
    running.set(0, PLENTY);
    running.work(1_000).unwrap();
    let needed = running.used();
    let within = |limit: u64| {
        let mut running = Running::start(&engine, &bytes).unwrap();
        running.set(0, limit);
        running.work(1_000).is_ok() && running.used() < limit
    };
    let verdicts = [needed - 1, needed, needed + 1, needed / 2, 1].map(within);
    assert_eq!(verdicts, [false, false, true, false, false]);
}

#[test]
fn out_of_gas_is_a_trap_long_before_the_work_is_done() {
    let engine = engine(false);
    let mut running = Running::start(&engine, &metered(&worker(), PLENTY)).unwrap();
    running.set(0, 10_000);
    // Two thousand million turns would take seconds.
    assert!(is_out_of_gas(running.work(2_000_000_000)));
}

#[test]
fn a_limit_holds_while_a_component_starts() {
    let endless = r#"(component (core module $m (func $spin (loop br 0)) (start $spin)) (core instance (instantiate $m)))"#;
    let engine = engine(false);
    let bytes = metered(&wat::parse_str(endless).unwrap(), 1_000_000);
    let error = Running::start(&engine, &bytes).err().unwrap();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
}

#[test]
fn functions_that_only_call_each_other_run_out_of_gas() {
    // Each calls the next one twice, and no loop is anywhere: 2^40 calls.
    let next = |place: u32| format!("(func $f{place} call $f{0} call $f{0})", place + 1);
    let all: String = (0..40).map(next).collect();
    let text = format!(
        r#"(component (core module $m {all} (func $f40) (func (export "run") call $f0))
           (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))"#
    );
    let mut running =
        Running::start(&engine(false), &metered(&wat::parse_str(text).unwrap(), 1_000_000)).unwrap();
    assert!(is_out_of_gas(running.call(None, "run", &[])));
}

#[test]
fn components_side_by_side_tell_their_sum() {
    let part = |turns: u32| {
        format!(
            r#"(component (core module $m (func (export "go") (local i32) (local.set 0 (i32.const {turns}))
                 (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)))
               (core instance $i (instantiate $m)) (func (export "go") (canon lift (core func $i "go"))))"#
        )
    };
    let composed = |parts: &[u32]| {
        let components: String = parts.iter().map(|turns| part(*turns)).collect();
        let instances: String =
            (0..parts.len()).map(|part| format!("(instance (instantiate {part}))")).collect();
        let exports: String =
            (0..parts.len()).map(|part| format!(r#"(export "go{part}" (func {part} "go"))"#)).collect();
        wat::parse_str(format!("(component {components} {instances} {exports})")).unwrap()
    };
    let (counting, plain) = (engine(true), engine(false));
    for parts in [&[30][..], &[30, 500], &[30, 500, 7]] {
        let bytes = composed(parts);
        assert_eq!(
            call_everything(&counting, &bytes, true),
            call_everything(&plain, &metered(&bytes, PLENTY), false)
        );
        let mut running = Running::start(&plain, &metered(&bytes, PLENTY)).unwrap();
        running.set(1_000, PLENTY);
        for part in 0..parts.len() {
            running.call(None, &format!("go{part}"), &[]).unwrap();
        }
        let least: u64 = parts.iter().map(|turns| u64::from(*turns) * 5).sum();
        let used = running.used() - 1_000;
        assert!(used > least && used < least + 50, "{used}");
        running.set(0, 20);
        assert!(is_out_of_gas(running.call(None, "go0", &[])));
    }
}

#[test]
fn what_counts_already_is_refused() {
    let once = metered(&worker(), PLENTY);
    assert_eq!(
        instrument::component(&once, &Schedule::default(), PLENTY),
        Err(InstrumentError::AlreadyMetered)
    );
    let module = wat::parse_str("(module (func (export \"f\")))").unwrap();
    let cell = Cell::Exported { name: "tollgate:gas".into(), limit: PLENTY };
    let once = instrument::module(&module, &Schedule::default(), &cell).unwrap();
    assert_eq!(instrument::module(&once, &Schedule::default(), &cell), Err(InstrumentError::AlreadyMetered));
}

#[test]
fn operators_that_guests_may_not_use_are_named() {
    let cases = [
        ("(module (memory 1) (func i32.const 0 i32.const 1 i32.atomic.rmw.add drop))", "I32AtomicRmwAdd"),
        ("(module (tag $t) (func (throw $t)))", "Throw"),
        ("(module (type $t (func)) (func (param (ref $t)) local.get 0 call_ref $t))", "CallRef"),
        ("(module (type $s (struct)) (func struct.new $s drop))", "StructNew"),
        ("(module (func (result i64 i64) i64.const 1 i64.const 2 i64.mul_wide_u))", "I64MulWideU"),
    ];
    let cell = Cell::Exported { name: "gas".into(), limit: PLENTY };
    for (text, expected) in cases {
        let bytes = wat::parse_str(text).unwrap();
        match instrument::module(&bytes, &Schedule::default(), &cell) {
            Err(InstrumentError::Operator { name, .. }) => assert_eq!(name, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let wide = wat::parse_str("(module (memory i64 1))").unwrap();
    let error = instrument::module(&wide, &Schedule::default(), &cell).unwrap_err();
    assert!(error.to_string().contains("memory64"), "{error}");
}

#[test]
fn code_from_elsewhere_is_refused() {
    let cases = [
        r#"(component (import "m" (core module)))"#,
        r#"(component (core module $m) (export "m" (core module $m)))"#,
        r#"(component (core module $m) (component (core instance (instantiate $m))))"#,
        r#"(component (component $c (core module $m) (core instance (instantiate $m))) (instance (instantiate $c))
             (core module $m) (core instance (instantiate $m)))"#,
    ];
    for text in cases {
        let bytes = wat::parse_str(text).unwrap();
        let result = instrument::component(&bytes, &Schedule::default(), PLENTY);
        assert!(matches!(result, Err(InstrumentError::Shape(_))), "{text}: {result:?}");
    }
}
