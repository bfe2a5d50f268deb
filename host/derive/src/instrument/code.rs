//! The code that charges and checks, as a few operators that leave the stack as it was.
//!
//! The cell holds what was used less the limit: it is negative while there is gas, and grows. In tight loops (loops in
//! which no other code runs) what is used is added up in a local instead, which engines keep in a register, and held
//! against what was left when the outermost of them began.

use wasm_encoder::{BlockType, Function};

/// Where a function's code finds what it counts with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    /// The global that is the cell.
    pub(crate) cell: u32,
    /// In functions with tight loops: the local that adds up. The next one holds what was left.
    pub(crate) sum: Option<u32>,
    /// The local that holds a length, in functions with bulk operators.
    pub(crate) length: u32,
}

/// The block at whose end a function traps when it is out of gas: how many blocks out it is. A function that gives more
/// than one value has none, and traps on the spot.
pub(crate) type Out = Option<u32>;

impl Places {
    /// Adds a constant to the cell, and the local if it may hold something.
    pub(crate) fn charge(self, code: &mut Function, amount: i64, with_sum: bool) {
        let mut code = code.instructions();
        code.global_get(self.cell);
        if amount != 0 {
            code.i64_const(amount).i64_add();
        }
        match self.sum.filter(|_| with_sum) {
            Some(sum) => code.local_get(sum).i64_add().global_set(self.cell).i64_const(0).local_set(sum),
            None => code.global_set(self.cell),
        };
    }

    /// Adds a constant to the local.
    pub(crate) fn note(self, code: &mut Function, amount: i64) {
        if let Some(sum) = self.sum {
            code.instructions().local_get(sum).i64_const(amount).i64_add().local_set(sum);
        }
    }

    /// Adds the length on top of the stack, which stays there, and a constant, to the cell or to the local.
    pub(crate) fn charge_length(self, code: &mut Function, amount: i64, to_sum: bool) {
        let mut code = code.instructions();
        code.local_tee(self.length).local_get(self.length).i64_extend_i32_u().i64_const(amount).i64_add();
        match self.sum.filter(|_| to_sum) {
            Some(sum) => code.local_get(sum).i64_add().local_set(sum),
            None => code.global_get(self.cell).i64_add().global_set(self.cell),
        };
    }

    /// Before the outermost tight loop: keeps what is left.
    pub(crate) fn keep_what_is_left(self, code: &mut Function) {
        if let Some(sum) = self.sum {
            code.instructions().i64_const(0).global_get(self.cell).i64_sub().local_set(sum + 1);
        }
    }

    /// Traps when there is no gas left: by the cell, or in a tight loop by the local.
    pub(crate) fn check(self, code: &mut Function, by_sum: bool, out: Out) {
        let mut inner = code.instructions();
        match self.sum.filter(|_| by_sum) {
            Some(sum) => inner.local_get(sum).local_get(sum + 1).i64_ge_s(),
            None => inner.global_get(self.cell).i64_const(0).i64_ge_s(),
        };
        match out {
            Some(depth) => {
                inner.br_if(depth);
            }
            None => {
                inner.if_(BlockType::Empty);
                self.trap(code);
                code.instructions().end();
            }
        }
    }

    /// Traps. Whoever looks at the cell then sees that the gas is out.
    pub(crate) fn trap(self, code: &mut Function) {
        if self.sum.is_some() {
            self.charge(code, 0, true);
        }
        code.instructions().unreachable();
    }
}
