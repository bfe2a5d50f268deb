//! One function, written again with charges.
//!
//! What operators cost is noted while code is read, and charged as late as possible. At each point of the code some
//! constant is noted and not yet charged: the *debt*. Where paths join, they must agree on it; whichever path arrives
//! first says what it is there and pays nothing, and the others pay the difference, which may be negative. So the cell
//! plus the debt is at every point exactly what was used, and an `if` without `else` costs only those that go inside.
//!
//! Debts are paid in full before other code runs (calls), before the function ends, before `unreachable`, and before
//! a `br_table`, on whose edges nothing can be put.

use super::InstrumentError;
use super::code::{Out, Places};
use super::facts::{Block, Function as Facts, Module, SMALL, as_constant, is_bulk, short};
use crate::schedule::Schedule;
use wasm_encoder::{BlockType, Function, ValType};
use wasmparser::{FunctionBody, Operator};

/// After code that may take this much the cell is looked at, also where there is no loop.
const MOST_UNCHECKED: u64 = 16_384;

/// What is known at one point of the code.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Noted and not yet charged.
    debt: u64,
    /// The local may hold something that the cell does not.
    has_sum: bool,
    /// The most that was used since the cell was looked at.
    unchecked: u64,
    /// This call of the function has looked at the cell.
    has_looked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Block,
    Loop,
    If,
}

/// A block that is open.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    /// Its label takes values along.
    has_values: bool,
    /// What holds at its label: at the beginning of a loop, behind the end of anything else. Unknown until the first
    /// path arrives there, unless something says it ahead.
    label: Option<State>,
    /// Some path arrives at the end.
    is_reached: bool,
    /// What holds at the `else` of an `if`.
    head: Option<State>,
    /// In a tight loop.
    is_tight: bool,
}

pub(crate) struct Writer<'a> {
    module: &'a Module,
    schedule: &'a Schedule,
    facts: &'a Facts,
    places: Places,
    /// What is added to the index of globals that are not imported.
    global_shift: u32,
    code: Function,
    frames: Vec<Frame>,
    /// None where no path arrives.
    state: Option<State>,
    /// How many blocks began.
    begun: usize,
    /// The operator before, if it is a constant.
    constant: Option<u64>,
    /// All of the body is inside a block at whose end the function traps.
    is_wrapped: bool,
}

impl<'a> Writer<'a> {
    /// A writer for the function of this index among those that the module defines. `code` has the function's locals,
    /// and those that `places` speaks of; `results` are the function's.
    pub(crate) fn new(
        module: &'a Module,
        schedule: &'a Schedule,
        defined: usize,
        (places, global_shift): (Places, u32),
        (code, results): (Function, &[ValType]),
    ) -> Result<Self, InstrumentError> {
        let facts = module.functions.get(defined).ok_or(InstrumentError::Uneven)?;
        let is_small = module.small(module.imported_functions + defined as u32).is_some();
        let function = Frame {
            kind: Kind::Function,
            has_values: !results.is_empty(),
            label: Some(State::default()),
            is_reached: false,
            head: None,
            is_tight: false,
        };
        // The engine counts 1 for each call, so that an empty function is not free.
        let state = Some(State { debt: 1, ..State::default() });
        let mut writer = Self {
            module,
            schedule,
            facts,
            places,
            global_shift,
            code,
            frames: vec![function],
            state,
            begun: 0,
            constant: None,
            is_wrapped: false,
        };
        let body = match results {
            [] => Some(BlockType::Empty),
            [one] => Some(BlockType::Result(*one)),
            _ => None,
        };
        if let Some(body) = body.filter(|_| !is_small) {
            // The trap is behind the end, so that engines don't lay it out in the middle of loops.
            writer.code.instructions().block(BlockType::Empty).block(body);
            writer.is_wrapped = true;
        }
        if facts.cost > SMALL {
            writer.check();
        }
        Ok(writer)
    }

    /// Writes the whole body.
    pub(crate) fn write(mut self, body: &FunctionBody<'_>) -> Result<Function, InstrumentError> {
        let mut reader = body.get_operators_reader()?;
        let bytes = body.as_bytes();
        let begin = body.range().start;
        while !reader.eof() {
            let from = reader.original_position() - begin;
            let operator = reader.read()?;
            let to = reader.original_position() - begin;
            let raw = bytes.get(from as usize..to as usize).ok_or(InstrumentError::Uneven)?;
            self.operator(&operator, raw)?;
            self.constant = as_constant(&operator);
        }
        if self.is_wrapped {
            self.code.instructions().return_().end();
            self.places.trap(&mut self.code);
            self.code.instructions().end();
        }
        Ok(self.code)
    }

    fn operator(&mut self, operator: &Operator<'_>, raw: &[u8]) -> Result<(), InstrumentError> {
        let cost = self.schedule.cost(operator);
        if let Some(state) = &mut self.state {
            state.debt += cost;
            state.unchecked += cost;
            if state.unchecked > MOST_UNCHECKED && !self.is_tight() {
                self.pay(0, true);
                self.check();
            }
        }
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                return self.open(operator, raw);
            }
            Operator::Else => self.otherwise()?,
            Operator::End => return self.close(raw),
            Operator::Br { relative_depth } => {
                self.go(*relative_depth)?;
                self.copy(raw);
                self.state = None;
                return Ok(());
            }
            Operator::BrIf { relative_depth } => return self.go_if(*relative_depth, raw),
            Operator::BrTable { targets } => {
                for depth in targets.targets().chain([Ok(targets.default())]) {
                    self.arrive_from_table(depth?)?;
                }
                self.copy(raw);
                self.state = None;
                return Ok(());
            }
            Operator::Call { function_index } => self.before_call(Some(*function_index)),
            Operator::CallIndirect { .. } => self.before_call(None),
            Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                let callee = match operator {
                    Operator::ReturnCall { function_index } => Some(*function_index),
                    _ => None,
                };
                self.before_call(callee);
                self.copy(raw);
                self.state = None;
                return Ok(());
            }
            Operator::Return | Operator::Unreachable => {
                self.pay(0, true);
                self.copy(raw);
                self.state = None;
                return Ok(());
            }
            Operator::GlobalGet { global_index } => {
                let index = self.global(*global_index);
                self.code.instructions().global_get(index);
                return Ok(());
            }
            Operator::GlobalSet { global_index } => {
                let index = self.global(*global_index);
                self.code.instructions().global_set(index);
                return Ok(());
            }
            other if is_bulk(other) => self.bulk(),
            _ => {}
        }
        self.copy(raw);
        Ok(())
    }

    fn copy(&mut self, raw: &[u8]) {
        self.code.raw(raw.iter().copied());
    }

    fn global(&self, index: u32) -> u32 {
        if index < self.module.imported_globals { index } else { index + self.global_shift }
    }

    /// Whether this point is in a tight loop.
    fn is_tight(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.is_tight)
    }

    /// Charges until the debt is `debt`, and, if asked, until the local holds nothing.
    fn pay(&mut self, debt: u64, into_cell: bool) {
        let is_tight = self.is_tight();
        let Some(state) = &mut self.state else { return };
        let amount = state.debt.cast_signed() - debt.cast_signed();
        state.debt = debt;
        if is_tight && !into_cell {
            if amount != 0 {
                self.places.note(&mut self.code, amount);
                state.has_sum = true;
            }
        } else if amount != 0 || (into_cell && state.has_sum) {
            self.places.charge(&mut self.code, amount, state.has_sum);
            state.has_sum = false;
        }
    }

    fn check(&mut self) {
        let out: Out = self.is_wrapped.then_some(self.frames.len() as u32);
        let by_sum = self.is_tight();
        self.places.check(&mut self.code, by_sum, out);
        if let Some(state) = &mut self.state {
            (state.unchecked, state.has_looked) = (0, true);
        }
    }

    /// Before other code runs: all is paid, and unless that code is small, the cell was looked at in this call of the
    /// function; so no functions can call each other without end.
    fn before_call(&mut self, callee: Option<u32>) {
        self.pay(0, true);
        let small = callee.and_then(|callee| self.module.small(callee));
        if small.is_none() && self.state.is_some_and(|state| !state.has_looked) {
            self.check();
        }
        if let Some(state) = &mut self.state {
            // What is not small looks before it takes more.
            state.unchecked += small.unwrap_or(SMALL);
        }
    }

    /// Charges a bulk operator for its length. The length is on top of the stack.
    fn bulk(&mut self) {
        if let (Some(length), Some(state)) = (short(self.constant), &mut self.state) {
            state.debt += length;
            state.unchecked += length;
            return;
        }
        let is_tight = self.is_tight();
        let Some(state) = &mut self.state else { return };
        let debt = std::mem::take(&mut state.debt);
        state.has_sum |= is_tight;
        self.places.charge_length(&mut self.code, debt.cast_signed(), is_tight);
        self.check();
    }

    fn open(&mut self, operator: &Operator<'_>, raw: &[u8]) -> Result<(), InstrumentError> {
        let facts: Block = self.facts.blocks.get(self.begun).copied().ok_or(InstrumentError::Uneven)?;
        self.begun += 1;
        let (kind, ty) = match operator {
            Operator::Block { blockty } => (Kind::Block, *blockty),
            Operator::Loop { blockty } => (Kind::Loop, *blockty),
            Operator::If { blockty } => (Kind::If, *blockty),
            _ => return Err(InstrumentError::Uneven),
        };
        let arity = self.module.block(ty);
        let has_values = if kind == Kind::Loop { arity.parameters > 0 } else { arity.results > 0 };
        let was_tight = self.is_tight();
        let is_tight = was_tight || (kind == Kind::Loop && !facts.calls);
        let is_if_alone = kind == Kind::If && !facts.has_else;
        if facts.in_table && (kind == Kind::Loop || is_if_alone) {
            self.pay(0, false);
        }
        if kind == Kind::Loop && !is_tight {
            // The cell is looked at in every turn, so nothing may be in the local.
            if let Some(State { debt, has_sum: true, .. }) = self.state {
                self.pay(debt, true);
            }
        }
        let head = self.state;
        let mut frame = Frame { kind, has_values, label: None, is_reached: false, head, is_tight };
        if kind == Kind::Loop {
            frame.label = head.map(|state| State { has_sum: is_tight, unchecked: 0, ..state });
        } else if is_if_alone {
            (frame.label, frame.is_reached) = (head, head.is_some());
        } else if facts.in_table {
            frame.label = head.map(|_| State { has_looked: true, ..State::default() });
        }
        if kind == Kind::Loop && is_tight && !was_tight && self.state.is_some() {
            self.places.keep_what_is_left(&mut self.code);
        }
        self.copy(raw);
        self.frames.push(frame);
        if kind == Kind::Loop && self.state.is_some() {
            self.state = self.frames.last().and_then(|frame| frame.label);
            self.check();
        }
        Ok(())
    }

    /// At `else`: the first arm goes to the end, the second begins.
    fn otherwise(&mut self) -> Result<(), InstrumentError> {
        self.go(0)?;
        self.state = self.frames.last().and_then(|frame| frame.head);
        Ok(())
    }

    fn close(&mut self, raw: &[u8]) -> Result<(), InstrumentError> {
        let is_loop = self.frames.last().is_some_and(|frame| frame.kind == Kind::Loop);
        if !is_loop {
            self.go(0)?;
        }
        self.copy(raw);
        let frame = self.frames.pop().ok_or(InstrumentError::Uneven)?;
        if !is_loop {
            self.state = frame.label.filter(|_| frame.is_reached);
        }
        Ok(())
    }

    /// What has to be done on the way to a label: until which debt to pay, and whether the local must be empty there.
    fn way(&self, depth: u32) -> Result<(usize, Option<(u64, bool)>), InstrumentError> {
        let place = self.frames.len().checked_sub(1 + depth as usize).ok_or(InstrumentError::Uneven)?;
        let frame = self.frames.get(place).ok_or(InstrumentError::Uneven)?;
        let into_cell = match frame.kind {
            Kind::Function => true,
            Kind::Loop => !frame.is_tight,
            Kind::Block | Kind::If => false,
        };
        Ok((place, frame.label.map(|label| (label.debt, into_cell))))
    }

    /// Pays what the way to a label asks for, and notes that a path arrives there.
    fn go(&mut self, depth: u32) -> Result<(), InstrumentError> {
        let (place, way) = self.way(depth)?;
        if let Some((debt, into_cell)) = way {
            self.pay(debt, into_cell);
        }
        self.arrive(place);
        Ok(())
    }

    /// Notes what holds on the path that arrives at a label.
    fn arrive(&mut self, place: usize) {
        let (Some(state), Some(frame)) = (self.state, self.frames.get_mut(place)) else { return };
        frame.is_reached = true;
        if frame.kind != Kind::Loop {
            let label = frame.label.get_or_insert(state);
            label.has_sum |= state.has_sum;
            label.unchecked = label.unchecked.max(state.unchecked);
            label.has_looked &= state.has_looked;
        }
    }

    /// Charges nothing on the edges of a table: all is paid before, as each of its labels expects.
    fn arrive_from_table(&mut self, depth: u32) -> Result<(), InstrumentError> {
        let (place, way) = self.way(depth)?;
        let into_cell = way.is_some_and(|(_, into_cell)| into_cell);
        if self.state.is_some_and(|state| state.debt > 0 || (into_cell && state.has_sum)) {
            self.pay(0, into_cell);
        }
        self.arrive(place);
        Ok(())
    }

    /// `br_if`. What the way there costs is charged on that way alone, where it can be.
    fn go_if(&mut self, depth: u32, raw: &[u8]) -> Result<(), InstrumentError> {
        let (place, way) = self.way(depth)?;
        let Some(state) = self.state else {
            self.copy(raw);
            return Ok(());
        };
        let asks = way.is_some_and(|(debt, into_cell)| debt != state.debt || (into_cell && state.has_sum));
        let goes_back_or_takes_values =
            self.frames.get(place).is_some_and(|frame| frame.kind == Kind::Loop || frame.has_values);
        if !asks || goes_back_or_takes_values {
            // A loop goes round far more often than it ends, so its way back is the usual one.
            self.go(depth)?;
            self.copy(raw);
            return Ok(());
        }
        self.code.instructions().if_(BlockType::Empty);
        self.go(depth)?;
        self.code.instructions().br(depth + 1).end();
        self.state = Some(state);
        Ok(())
    }
}
