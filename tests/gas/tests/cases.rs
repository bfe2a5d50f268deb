//! Hand-written modules: each kind of control flow and each operator whose cost depends on more than its name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use tollgate_gas_tests::{Ending, assert_same, counted_by_the_engine, engine};

/// Runs modules in text, each one's exports once with zeros, and compares what was used.
fn same(cases: &[&str]) {
    let (counting, plain) = (engine(true), engine(false));
    for text in cases {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(assert_same(text, &bytes, &counting, &plain) > 1, "{text}");
    }
}

#[test]
fn straight_code_and_calls_cost_the_same() {
    same(&[
        r#"(module (func (export "empty")))"#,
        r#"(module (func (export "five") (result i32) i32.const 2 i32.const 3 i32.add))"#,
        r#"(module (func $a (result i32) i32.const 1) (func (export "b") (result i32) call $a call $a i32.add nop))"#,
        r#"(module (func (export "priced") (result i64 f64 i32)
             i64.const 7 i64.const 2 i64.div_s f64.const 2 f64.sqrt i32.const 5 i32.const 3 i32.rem_u))"#,
        r#"(module (type $t (func (result i32))) (table 2 2 funcref) (elem (i32.const 0) $a $b)
             (func $a (result i32) i32.const 1) (func $b (result i32) i32.const 2 drop i32.const 0 call_indirect (type $t))
             (func (export "through") (result i32) i32.const 1 call_indirect (type $t)))"#,
        r#"(module (func $fib (param i32) (result i32)
               local.get 0 i32.const 2 i32.lt_s if (result i32) local.get 0 else
               local.get 0 i32.const 1 i32.sub call $fib local.get 0 i32.const 2 i32.sub call $fib i32.add end)
             (func (export "fib") (result i32) i32.const 12 call $fib))"#,
    ]);
}

#[test]
fn branches_cost_what_was_taken() {
    let branches = [
        r#"(block local.get $c br_if 0 i32.const 1 drop)"#,
        r#"(block (block local.get $c br_if 1 i32.const 1 drop local.get $c i32.eqz br_if 0 i32.const 2 drop) i32.const 3 drop nop i32.const 4 drop)"#,
        r#"local.get $c if i32.const 1 drop end"#,
        r#"local.get $c if i32.const 1 drop else i32.const 1 i32.const 2 i32.add drop end i32.const 9 drop"#,
        r#"local.get $c if return end i32.const 1 drop local.get $c i32.eqz if return end i32.const 2 drop"#,
        r#"(block $out (block $a (block $b (block $c2 local.get $c br_table $a $b $c2 $out) i32.const 1 drop br $out)
              i32.const 1 i32.const 2 i32.add drop) i32.const 1 i32.eqz i32.eqz drop)"#,
        r#"(block (result i32) i32.const 5 local.get $c br_if 0 i32.const 1 i32.add i32.const 6 local.get $c br_if 1 drop) drop"#,
        r#"(block $x local.get $c if i32.const 1 drop br $x else i32.const 1 i32.eqz drop end unreachable)"#,
        r#"(block $x br $x i32.const 1 drop (loop br 0) local.get $c if unreachable else br $x end)"#,
        r#"i32.const 3 local.get $c if (param i32) (result i32) i32.const 1 i32.add else i32.const 2 i32.mul i32.eqz end drop"#,
        r#"(block $o local.get $c if local.get $c br_table 0 1 $o 0 i32.const 3 drop end i32.const 4 drop)"#,
        r#"(block $o local.get $c if (block local.get $c br_table 0 1 $o 0) i32.const 3 drop else i32.const 3 drop i32.const 3 drop end i32.const 4 drop)"#,
    ];
    for branch in branches {
        let calls: String = (0..4)
            .map(|c| format!(r#"(func (export "with {c}") (result i32) i32.const {c} call $f i32.const 1)"#))
            .collect();
        same(&[&format!("(module (func $f (param $c i32) {branch}) {calls})")]);
    }
}

#[test]
fn loops_cost_each_turn() {
    let loops = [
        // A tight loop, counted down.
        "(loop local.get $n i32.const 1 i32.sub local.tee $n br_if 0)",
        // Two ways out, and one back in the middle.
        "(block (loop local.get $n i32.const 3 i32.rem_u i32.eqz br_if 1 local.get $n i32.const 1 i32.sub local.tee $n i32.const 5 i32.gt_s br_if 0 i32.const 1 drop br 0))",
        // A loop with calls, around one without.
        "(loop (local.set $m (i32.const 4)) (loop local.get $m i32.const 1 i32.sub local.tee $m br_if 0) call $g local.get $n i32.const 1 i32.sub local.tee $n br_if 0)",
        // The other way round is not tight either.
        "(loop (local.set $m (i32.const 4)) (loop call $g local.get $m i32.const 1 i32.sub local.tee $m br_if 0) local.get $n i32.const 1 i32.sub local.tee $n br_if 0)",
        // Back from the inner loop to the head of the outer one.
        "(block $out (loop $o local.get $n i32.eqz br_if $out local.get $n i32.const 1 i32.sub local.set $n (loop $i local.get $n i32.const 1 i32.and br_if $o local.get $n i32.eqz br_if $out local.get $n i32.const 1 i32.sub local.set $n br $i)))",
        // The same where the outer one calls.
        "(block $out (loop $o local.get $n i32.eqz br_if $out call $g local.get $n i32.const 1 i32.sub local.set $n (loop $i local.get $n i32.const 1 i32.and br_if $o local.get $n i32.eqz br_if $out local.get $n i32.const 1 i32.sub local.set $n br $i)))",
        // A table that goes back and out, from a tight loop.
        "(block $out (loop $o (block $b local.get $n i32.const 1 i32.sub local.tee $n i32.const 3 i32.and br_table $b $o $out $b) i32.const 1 drop local.get $n i32.const 0 i32.gt_s br_if $o))",
        // A table that goes to the head of a loop that calls, from a tight one inside.
        "(block $out (loop $o call $g local.get $n i32.const 0 i32.le_s br_if $out (loop $i local.get $n i32.const 1 i32.sub local.tee $n i32.const 3 i32.and br_table $i $o $i $out)))",
        // Returns from inside.
        "(loop local.get $n i32.const 4 i32.eq if return end local.get $n i32.const 1 i32.sub local.tee $n br_if 0)",
        "(loop local.get $n i32.const 1 i32.sub local.tee $n i32.eqz br_if 1 br 0)",
        // A value goes round.
        "i32.const 10 (loop (param i32) (result i32) i32.const 1 i32.sub local.tee $m local.get $m br_if 0) drop",
        // Never comes to its end.
        "(block (loop local.get $n i32.const 1 i32.sub local.tee $n i32.eqz br_if 1 br 0) unreachable)",
        // Two in a row, with a join between them.
        "(loop local.get $n i32.const 1 i32.sub local.tee $n br_if 0) local.get $m if call $g end (local.set $n (i32.const 3)) (loop local.get $n i32.const 1 i32.sub local.tee $n br_if 0)",
    ];
    for body in loops {
        same(&[&format!(
            r#"(module (func $g i32.const 1 drop) (func $f (param $n i32) (local $m i32) {body})
              (func (export "seven") i32.const 7 call $f) (func (export "twelve") i32.const 12 call $f)
              (func (export "many") i32.const 70001 call $f))"#
        )]);
    }
}

#[test]
fn bulk_operators_cost_their_length() {
    let run = |body: &str| {
        format!(
            r#"(module (memory 2 4) (memory $m 1) (table $t 10 200 funcref) (table $u 20 funcref)
              (data $d "some bytes to copy") (elem $e func $nothing $nothing $nothing)
              (func $nothing)
              (func $len (param i32) (result i32) local.get 0)
              (func (export "run") {body}))"#
        )
    };
    let known = "i32.const 4";
    let late = "i32.const 4 call $len";
    let none = "i32.const 0 call $len";
    let long = "i32.const 3000";
    for length in [known, late, none, long] {
        let tables = length != long;
        for body in [
            format!("i32.const 1 i32.const 2 {length} memory.fill"),
            format!("i32.const 1 i32.const 2 {length} memory.copy"),
            format!("i32.const 1 i32.const 2 {length} memory.copy 0 $m"),
            format!("(loop i32.const 1 i32.const 2 {length} memory.fill)"),
        ] {
            same(&[&run(&body)]);
        }
        if tables {
            for body in [
                format!("i32.const 0 i32.const 1 {length} memory.init $d"),
                format!("i32.const 1 i32.const 2 {length} table.copy $u $t"),
                format!("i32.const 1 ref.null func {length} table.fill $t"),
                format!("ref.func $nothing {length} table.grow $t drop"),
                format!("i32.const 0 i32.const 0 {length} table.copy data.drop $d elem.drop $e"),
            ] {
                same(&[&run(&body)]);
            }
        }
    }
    for body in [
        "i32.const 1 i32.const 0 i32.const 2 table.init $e",
        "i32.const 1 i32.const 0 i32.const 2 call $len table.init $e",
        // More than there may be: nothing grows, and the asked length is charged all the same.
        "ref.null func i32.const -1 table.grow $t drop",
        "ref.null func i32.const 500 call $len table.grow $t drop",
        "i32.const 1 memory.grow drop i32.const 100 call $len memory.grow drop memory.size drop",
    ] {
        same(&[&run(body)]);
    }
}

#[test]
fn what_a_module_does_before_it_is_called_costs_the_same() {
    let export = r#"(func $f (export "f"))"#;
    let many: String = (0..140).map(|_| " $f").collect();
    let starts = [
        String::new(),
        "(start $f)".into(),
        "(memory 1) (data (i32.const 10) \"abc\") (start $f)".into(),
        "(memory 1) (data (i32.const 10) \"abc\")".into(),
        "(memory 1) (data (i32.const 10) \"\") (start $f)".into(),
        "(memory 1) (memory 1) (data (i32.const 10) \"abc\")".into(),
        "(memory 1) (memory 1) (data (i32.const 10) \"abc\") (data (memory 1) (i32.const 10) \"\")".into(),
        "(table 10 funcref) (elem (i32.const 1) $f $f)".into(),
        "(table 10 funcref) (elem (i32.const 1) $f $f) (start $f)".into(),
        "(table 10 funcref) (elem (i32.const 1) funcref (ref.func $f) (ref.null func))".into(),
        "(table 10 funcref) (elem (i32.const 1) funcref (ref.func $f) (ref.null func)) (start $f)".into(),
        "(elem $p func $f $f)".into(),
        "(elem $p funcref (ref.func $f) (ref.null func)) (start $f)".into(),
        format!("(table 200 funcref) (elem (i32.const 1) {many}) (start $f)"),
        format!("(table 200 funcref) (elem (i32.const 1) funcref (ref.null func)) (elem (i32.const 1) func {many})"),
        "(global i32 (i32.const 1)) (global (mut i64) (i64.add (i64.const 1) (i64.const 2))) (start $f)".into(),
        "(global i64 (i64.mul (i64.const 1) (i64.const 2)))".into(),
        "(memory 1) (data (i32.add (i32.const 10) (i32.const 3)) \"abc\") (start $f)".into(),
        "(memory 1) (data (i32.add (i32.const 10) (i32.const 3)) \"abc\")".into(),
        "(memory 1) (data (i32.const 3) \"abc\") (global i64 (i64.mul (i64.const 1) (i64.const 2))) (start $f)".into(),
        "(memory 400) (data (i32.const 0) \"abc\") (data (i32.const 25000000) \"abc\") (start $f)".into(),
        "(global $g funcref (ref.func $f)) (memory 1) (memory 1) (data (memory 1) (i32.const 3) \"abc\")".into(),
    ];
    for start in starts {
        same(&[&format!("(module {export} {start})")]);
    }
}

#[test]
fn simd_and_tail_calls_cost_the_same() {
    same(&[
        r#"(module (func (export "lanes") (result i32) (local v128)
             v128.const i32x4 1 2 3 4 i32.const 7 i32x4.splat i32x4.add local.tee 0 local.get 0 i32x4.mul i32x4.extract_lane 2))"#,
        r#"(module (func $down (param i32) (result i32)
             local.get 0 i32.eqz if i32.const 9 return end local.get 0 i32.const 1 i32.sub return_call $down)
             (func (export "down") (result i32) i32.const 1000 call $down))"#,
        r#"(module (type $t (func (param i32) (result i32))) (table 1 1 funcref) (elem (i32.const 0) $down)
             (func $down (param i32) (result i32)
             local.get 0 i32.eqz if (result i32) i32.const 9 else local.get 0 i32.const 1 i32.sub i32.const 0 return_call_indirect (type $t) end)
             (func (export "down") (result i32) i32.const 1000 call $down))"#,
    ]);
}

#[test]
fn a_trap_ends_both_in_the_same_way_and_unreachable_also_with_the_same_count() {
    same(&[
        r#"(module (func $boom unreachable) (func (export "boom") i32.const 1 drop call $boom i32.const 2 drop))"#,
        r#"(module (func (export "halfway") i32.const 1 i32.const 0 i32.div_u drop) (func (export "after") i32.const 1 drop))"#,
        r#"(module (memory 1) (func (export "out of bounds") i32.const -1 i32.load drop) (func (export "after")))"#,
    ]);
    let bytes =
        wat::parse_str(r#"(module (func (export "halfway") i32.const 1 i32.const 0 i32.div_u drop))"#)
            .unwrap();
    let story = counted_by_the_engine(&engine(true), &bytes);
    assert!(matches!(story.last(), Some((_, Ending::Trapped(Some(_)), _))), "{story:?}");
}
