//! The code that charges and checks, as a few operators that leave the stack as it was.
//!
//! The cell holds what was used less the limit: it is negative while there is gas, and grows. In tight loops (loops in
//! which no other code runs) what is used is added up in a local instead, which engines keep in a register.

use wasm_encoder::{BlockType, Function, InstructionSink};

/// How much may add up in the local before it is moved to the cell, and the cell looked at.
const CHUNK: i64 = 1 << 16;

/// Where a function's code finds what it counts with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    /// The global that is the cell.
    pub(crate) cell: u32,
    /// The local that adds up, in functions with tight loops.
    pub(crate) sum: u32,
    /// The local that holds a length, in functions with bulk operators.
    pub(crate) length: u32,
}

impl Places {
    /// Adds a constant to the cell, and the local if it may hold something.
    pub(crate) fn charge(self, code: &mut Function, amount: i64, with_sum: bool) {
        let mut code = code.instructions();
        code.global_get(self.cell);
        if amount != 0 {
            code.i64_const(amount).i64_add();
        }
        if with_sum {
            code.local_get(self.sum).i64_add();
        }
        code.global_set(self.cell);
        if with_sum {
            code.i64_const(0).local_set(self.sum);
        }
    }

    /// Adds a constant to the local.
    pub(crate) fn note(self, code: &mut Function, amount: i64) {
        code.instructions().local_get(self.sum).i64_const(amount).i64_add().local_set(self.sum);
    }

    /// Adds the length on top of the stack, which stays there, and a constant, to the cell or to the local.
    pub(crate) fn charge_length(self, code: &mut Function, amount: i64, to_sum: bool) {
        let mut code = code.instructions();
        code.local_tee(self.length).local_get(self.length).i64_extend_i32_u().i64_const(amount).i64_add();
        if to_sum {
            code.local_get(self.sum).i64_add().local_set(self.sum);
        } else {
            code.global_get(self.cell).i64_add().global_set(self.cell);
        }
    }

    /// Traps when the cell says that there is no gas left.
    pub(crate) fn check(self, code: &mut Function) {
        self.trap_when_out(&mut code.instructions());
    }

    /// The same in a tight loop: looks at the local, and only when much has added up, at the cell.
    pub(crate) fn check_sum(self, code: &mut Function) {
        let mut inner = code.instructions();
        inner.local_get(self.sum).i64_const(CHUNK).i64_gt_s().if_(BlockType::Empty);
        self.charge(code, 0, true);
        let mut inner = code.instructions();
        self.trap_when_out(&mut inner);
        inner.end();
    }

    fn trap_when_out(self, code: &mut InstructionSink<'_>) {
        code.global_get(self.cell).i64_const(0).i64_ge_s();
        code.if_(BlockType::Empty).unreachable().end();
    }
}
