//! The first pass over a module: what has to be known before any of it is written again.

use super::InstrumentError;
use super::operators::refused;
use super::startup::Startup;
use crate::schedule::Schedule;
use wasmparser::{
    BlockType, CompositeInnerType, FunctionBody, Operator, Parser, Payload, TypeRef, TypeSectionReader,
    ValType,
};

/// The name of the cell in the modules of a component, as an export and as an import's module and name; by it, what is
/// instrumented is known again.
pub const CELL: &str = "tollgate:gas";

/// Functions whose code is at most this much look at the cell before they call others, and not when they begin; and
/// those that take at most this much with all that they call don't look at all, but leave that to their callers.
pub(crate) const SMALL: u64 = 512;

/// How many numbers go in and out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arity {
    pub(crate) parameters: u32,
    pub(crate) results: u32,
}

/// The type of a function.
#[derive(Debug, Clone, Default)]
struct Type {
    parameters: u32,
    results: Vec<ValType>,
}

/// What has to be known of a block before its end was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Block {
    /// An `if` that has an `else`.
    pub(crate) has_else: bool,
    /// Some `br_table` goes to its label: an edge on which nothing can be charged.
    pub(crate) in_table: bool,
    /// Other code may run inside.
    pub(crate) calls: bool,
}

/// One function of the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    /// Every block, in the order in which they begin.
    pub(crate) blocks: Vec<Block>,
    /// A loop inside of which no other code runs.
    pub(crate) has_tight_loop: bool,
    /// A bulk operator whose length is known when it runs.
    pub(crate) has_bulk: bool,
    /// What all its code takes, each operator once.
    pub(crate) cost: u64,
    has_loop: bool,
    /// Calls functions that are not known.
    calls_unknown: bool,
    callees: Vec<u32>,
}

/// A module before it is written again.
#[derive(Debug, Default)]
pub(crate) struct Module {
    types: Vec<Type>,
    /// The type of each function, imported ones first.
    signatures: Vec<u32>,
    pub(crate) imported_functions: u32,
    pub(crate) imported_globals: u32,
    pub(crate) globals: u32,
    pub(crate) functions: Vec<Function>,
    /// The most that a call of a function takes, where that is little.
    small: Vec<Option<u64>>,
    pub(crate) startup: Startup,
}

impl Module {
    /// Reads a module. Its validity is the caller's to check.
    pub(crate) fn of(parser: Parser, bytes: &[u8], schedule: &Schedule) -> Result<Self, InstrumentError> {
        let mut module = Self::default();
        for payload in parser.parse_all(bytes) {
            module.read(payload?, schedule)?;
        }
        module.weigh();
        Ok(module)
    }

    fn read(&mut self, payload: Payload<'_>, schedule: &Schedule) -> Result<(), InstrumentError> {
        match payload {
            Payload::TypeSection(section) => self.read_types(section)?,
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if import.module == CELL {
                        return Err(InstrumentError::AlreadyMetered);
                    }
                    match import.ty {
                        TypeRef::Func(index) => self.signatures.push(index),
                        TypeRef::Global(_) => self.imported_globals += 1,
                        _ => {}
                    }
                    self.startup.import(&import.ty);
                }
                self.imported_functions = self.signatures.len() as u32;
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    self.signatures.push(index?);
                }
            }
            Payload::GlobalSection(section) => {
                self.globals = section.count();
                self.startup.globals(section)?;
            }
            Payload::TableSection(section) => self.startup.tables(section)?,
            Payload::MemorySection(section) => self.startup.memories(section)?,
            Payload::ElementSection(section) => self.startup.elements(section)?,
            Payload::DataSection(section) => self.startup.data(section)?,
            Payload::StartSection { func, .. } => self.startup.start(func),
            Payload::ExportSection(section) => {
                for export in section {
                    if export?.name == CELL {
                        return Err(InstrumentError::AlreadyMetered);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => self.functions.push(Function::of(&body, schedule)?),
            _ => {}
        }
        Ok(())
    }

    fn read_types(&mut self, section: TypeSectionReader<'_>) -> Result<(), InstrumentError> {
        for group in section {
            for sub in group?.types() {
                self.types.push(match &sub.composite_type.inner {
                    CompositeInnerType::Func(ty) => {
                        Type { parameters: ty.params().len() as u32, results: ty.results().to_vec() }
                    }
                    _ => Type::default(),
                });
            }
        }
        Ok(())
    }

    /// How many types there are; one more comes after them.
    pub(crate) fn type_count(&self) -> u32 {
        self.types.len() as u32
    }

    /// How many functions there are, imported ones included.
    pub(crate) fn function_count(&self) -> u32 {
        self.signatures.len() as u32
    }

    /// How many numbers a function takes, and what it gives.
    pub(crate) fn signature(&self, function: u32) -> (u32, &[ValType]) {
        let index = self.signatures.get(function as usize).copied().unwrap_or(u32::MAX);
        self.types.get(index as usize).map_or((0, &[]), |ty| (ty.parameters, ty.results.as_slice()))
    }

    /// What a block takes and gives.
    pub(crate) fn block(&self, ty: BlockType) -> Arity {
        match ty {
            BlockType::Empty => Arity::default(),
            BlockType::Type(_) => Arity { parameters: 0, results: 1 },
            BlockType::FuncType(index) => self.types.get(index as usize).map_or(Arity::default(), |ty| {
                Arity { parameters: ty.parameters, results: ty.results.len() as u32 }
            }),
        }
    }

    /// The most that a call of a function takes, if that is little; such functions don't look at the cell.
    pub(crate) fn small(&self, function: u32) -> Option<u64> {
        self.small.get(function as usize).copied().flatten()
    }

    /// Finds the small functions: those without loops whose callees are all small. Each round finds those that call
    /// one level more; what is deeper than the rounds go is not small.
    fn weigh(&mut self) {
        const ROUNDS: usize = 6;
        let imported = self.imported_functions as usize;
        let mut small: Vec<Option<u64>> = vec![None; imported + self.functions.len()];
        for _ in 0..ROUNDS {
            let found = |function: &Function| {
                let mut cost = function.cost;
                for callee in &function.callees {
                    cost += small.get(*callee as usize).copied().flatten()?;
                }
                let is_small =
                    !function.has_loop && !function.has_bulk && !function.calls_unknown && cost <= SMALL;
                is_small.then_some(cost)
            };
            let next: Vec<Option<u64>> = self.functions.iter().map(found).collect();
            small.truncate(imported);
            small.extend(next);
        }
        self.small = small;
    }
}

impl Function {
    fn of(body: &FunctionBody<'_>, schedule: &Schedule) -> Result<Self, InstrumentError> {
        let mut function = Self { cost: 1, ..Self::default() };
        // The blocks that are open, the function itself left out.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let mut reader = body.get_operators_reader()?;
        let mut constant = None;
        while !reader.eof() {
            let operator = reader.read()?;
            function.cost += schedule.cost(&operator);
            function.see(&operator, &mut open, constant)?;
            constant = as_constant(&operator);
        }
        Ok(function)
    }

    fn see(
        &mut self,
        operator: &Operator<'_>,
        open: &mut Vec<(usize, bool)>,
        constant: Option<u64>,
    ) -> Result<(), InstrumentError> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let is_loop = matches!(operator, Operator::Loop { .. });
                self.has_loop |= is_loop;
                open.push((self.blocks.len(), is_loop));
                self.blocks.push(Block::default());
            }
            Operator::Else => self.mark(open.last(), |block| block.has_else = true),
            Operator::End => {
                if let Some((index, true)) = open.pop() {
                    self.has_tight_loop |= self.blocks.get(index).is_some_and(|block| !block.calls);
                }
            }
            Operator::BrTable { targets } => {
                for depth in targets.targets().chain([Ok(targets.default())]) {
                    let place = open.len().checked_sub(1 + depth? as usize);
                    self.mark(place.and_then(|place| open.get(place)), |block| block.in_table = true);
                }
            }
            Operator::Call { function_index } => {
                self.callees.push(*function_index);
                self.calls_within(open);
            }
            Operator::CallIndirect { .. } => {
                self.calls_unknown = true;
                self.calls_within(open);
            }
            // What is called instead of returning runs in no block of this function.
            Operator::ReturnCall { function_index } => self.callees.push(*function_index),
            Operator::ReturnCallIndirect { .. } => self.calls_unknown = true,
            other if is_bulk(other) => match short(constant) {
                Some(length) => self.cost += length,
                None => self.has_bulk = true,
            },
            _ => {}
        }
        Ok(())
    }

    fn mark(&mut self, open: Option<&(usize, bool)>, what: fn(&mut Block)) {
        if let Some(block) = open.and_then(|(index, _)| self.blocks.get_mut(*index)) {
            what(block);
        }
    }

    fn calls_within(&mut self, open: &[(usize, bool)]) {
        for place in open {
            self.mark(Some(place), |block| block.calls = true);
        }
    }
}

/// Looks for an operator that guests may not use.
pub(crate) fn find_refused(body: &FunctionBody<'_>) -> Result<(), InstrumentError> {
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let offset = reader.original_position();
        if let Some((name, proposal)) = refused(&reader.read()?) {
            return Err(InstrumentError::Operator { name, proposal, offset });
        }
    }
    Ok(())
}

/// Operators that also cost 1 for each byte or element, by the number on top of the stack.
pub(crate) fn is_bulk(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. }
    )
}

/// The number that an operator puts on the stack, if it is a constant that can be a length.
pub(crate) fn as_constant(operator: &Operator<'_>) -> Option<u64> {
    match operator {
        Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
        _ => None,
    }
}

/// The length of a bulk operator, where it is known ahead and so short that the operator is like any other.
pub(crate) fn short(constant: Option<u64>) -> Option<u64> {
    const SHORT: u64 = 1_024;
    constant.filter(|length| *length <= SHORT)
}
