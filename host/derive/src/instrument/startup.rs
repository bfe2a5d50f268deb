//! What the engine counts before any function of a module is called.
//!
//! The engine makes a function of its own for each module that needs one: it works out globals, fills tables and
//! memories, and calls the module's start function. It counts fuel there as in any other function, with one more
//! peculiarity: what it has noted but not yet added to the counter is lost at the function's end, and in a branch for
//! memory that is mapped and needs no filling. That is part of the count, so it is reproduced here, in the engine's own
//! order. See `translate_module_startup` in wasmtime-internal-cranelift 48.0.8.
//!
//! It holds for engines that map initial memory (the default on Linux), as the host does.

use wasmparser::{
    BinaryReaderError, ConstExpr, DataKind, DataSectionReader, ElementItems, ElementKind,
    ElementSectionReader, GlobalSectionReader, MemorySectionReader, Operator, TableInit, TableSectionReader,
    TypeRef,
};

type Result<T> = std::result::Result<T, BinaryReaderError>;

/// Tables up to this size are filled ahead, and data that spans up to this many bytes is mapped however sparse it is.
const MOST_TABLE: u64 = 1 << 20;
const MOST_IMAGE: u64 = 16 << 20;

/// A bulk operator of a constant cost up to this does not add what was noted to the counter.
const CHEAP_BULK: u64 = 128;

/// An active element segment.
#[derive(Debug)]
struct Segment {
    table: u32,
    offset: Offset,
    elements: u64,
    /// Operators of its elements, where they are expressions.
    expressions: Option<u64>,
}

/// An active data segment.
#[derive(Debug)]
struct Data {
    memory: u32,
    offset: Offset,
    bytes: u64,
}

/// Where a segment goes: how many operators say so, and the place, if it is one constant.
#[derive(Debug, Clone, Copy)]
struct Offset {
    operators: u64,
    constant: Option<u64>,
}

#[derive(Debug)]
struct Table {
    minimum: u64,
    is_function_table: bool,
    /// Operators of its initial value, when it has one.
    initial: Option<u64>,
    initial_is_function: bool,
}

/// What the engine does before a module's functions may be called.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    imported_tables: u32,
    imported_memories: u32,
    tables: Vec<Table>,
    /// Initial sizes in bytes.
    memories: Vec<u64>,
    /// Operators of each global that is more than a constant.
    globals: Vec<u64>,
    /// Operators of each passive segment, where its elements are expressions.
    passive: Vec<u64>,
    segments: Vec<Segment>,
    data: Vec<Data>,
    start: Option<u32>,
}

/// The counter, and what is noted for it.
#[derive(Default)]
struct Count {
    counted: u64,
    noted: u64,
}

impl Count {
    fn add(&mut self) {
        self.counted += std::mem::take(&mut self.noted);
    }

    fn constant_bulk(&mut self, units: u64) {
        self.noted += units;
        if units > CHEAP_BULK {
            self.add();
        }
    }
}

impl Startup {
    pub(crate) fn import(&mut self, ty: &TypeRef) {
        match ty {
            TypeRef::Table(_) => self.imported_tables += 1,
            TypeRef::Memory(_) => self.imported_memories += 1,
            _ => {}
        }
    }

    pub(crate) fn globals(&mut self, section: GlobalSectionReader<'_>) -> Result<()> {
        for global in section {
            let expression = global?.init_expr;
            let operators = operators(&expression)?;
            if operators != 1 || constant(&expression)?.is_none() {
                self.globals.push(operators);
            }
        }
        Ok(())
    }

    pub(crate) fn tables(&mut self, section: TableSectionReader<'_>) -> Result<()> {
        for table in section {
            let table = table?;
            let (mut initial, mut initial_is_function) = (None, false);
            if let TableInit::Expr(expression) = &table.init {
                let operators = operators(expression)?;
                let first = expression.get_operators_reader().read()?;
                initial_is_function = operators == 1 && matches!(first, Operator::RefFunc { .. });
                initial = Some(operators);
            }
            self.tables.push(Table {
                minimum: table.ty.initial,
                is_function_table: table.ty.element_type.is_func_ref(),
                initial,
                initial_is_function,
            });
        }
        Ok(())
    }

    pub(crate) fn memories(&mut self, section: MemorySectionReader<'_>) -> Result<()> {
        for memory in section {
            self.memories.push(memory?.initial.saturating_mul(64 << 10));
        }
        Ok(())
    }

    pub(crate) fn elements(&mut self, section: ElementSectionReader<'_>) -> Result<()> {
        for element in section {
            let element = element?;
            let (elements, expressions) = match element.items {
                ElementItems::Functions(functions) => (u64::from(functions.count()), None),
                ElementItems::Expressions(_, all) => {
                    let count = u64::from(all.count());
                    let mut sum = 0;
                    for expression in all {
                        sum += operators(&expression?)?;
                    }
                    (count, Some(sum))
                }
            };
            match element.kind {
                ElementKind::Active { table_index, offset_expr } => self.segments.push(Segment {
                    table: table_index.unwrap_or(0),
                    offset: Offset::of(&offset_expr)?,
                    elements,
                    expressions,
                }),
                ElementKind::Passive => self.passive.push(expressions.unwrap_or(0)),
                ElementKind::Declared => {}
            }
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, section: DataSectionReader<'_>) -> Result<()> {
        for data in section {
            let data = data?;
            if let DataKind::Active { memory_index, offset_expr } = data.kind {
                let bytes = data.data.len() as u64;
                self.data.push(Data { memory: memory_index, offset: Offset::of(&offset_expr)?, bytes });
            }
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, function: u32) {
        self.start = Some(function);
    }

    /// The module's own start function.
    pub(crate) fn function(&self) -> Option<u32> {
        self.start
    }

    /// What the engine counts apart from what the start function itself takes.
    pub(crate) fn cost(&self) -> u64 {
        let tables: Vec<&Table> =
            self.tables.iter().filter(|table| !is_filled_ahead(table) && table.initial.is_some()).collect();
        let segments = self.segments.get(self.segments_filled_ahead()..).unwrap_or_default();
        let maps_memory = self.maps_memory();
        let is_needed = !self.globals.is_empty()
            || !self.passive.is_empty()
            || !tables.is_empty()
            || !segments.is_empty()
            || (!maps_memory && !self.data.is_empty())
            || (maps_memory && self.maps_some_and_not_all())
            || self.start.is_some();
        if !is_needed {
            return 0;
        }
        let mut count = Count { counted: 1, noted: 0 };
        count.noted += self.globals.iter().chain(&self.passive).sum::<u64>();
        for table in tables {
            count.noted += table.initial.unwrap_or(0);
            count.constant_bulk(table.minimum);
        }
        for segment in segments {
            count.noted += segment.offset.operators;
            count.constant_bulk(segment.elements);
            count.noted += segment.expressions.unwrap_or(0);
        }
        if maps_memory && self.data.iter().any(|data| data.bytes > 0) {
            // Added to the counter in a branch that is never taken.
            count.noted = 0;
        } else if !maps_memory {
            for data in &self.data {
                count.noted += data.offset.operators;
                count.add();
                count.counted += data.bytes;
            }
        }
        if self.start.is_some() {
            count.noted += 1;
            count.add();
        }
        count.counted
    }

    /// Whether some memories have data and others have none: the engine takes the latter for memories to be filled.
    fn maps_some_and_not_all(&self) -> bool {
        let has_data = |memory: u32| self.data.iter().any(|data| data.memory == memory && data.bytes > 0);
        let defined = self.imported_memories..self.imported_memories + self.memories.len() as u32;
        self.data.iter().any(|data| data.bytes > 0) && !defined.clone().all(has_data)
    }

    /// How many of the active element segments are applied ahead: those before the first that can't be.
    fn segments_filled_ahead(&self) -> usize {
        let is_ahead = |segment: &Segment| {
            let defined = segment.table.checked_sub(self.imported_tables)?;
            let table = self.tables.get(defined as usize)?;
            let top = segment.offset.constant?.checked_add(segment.elements)?;
            let is_ahead = top <= table.minimum.min(MOST_TABLE)
                && table.is_function_table
                && segment.expressions.is_none()
                && (table.initial.is_none() || is_filled_ahead(table));
            is_ahead.then_some(())
        };
        self.segments.iter().take_while(|segment| is_ahead(segment).is_some()).count()
    }

    /// Whether the engine maps the initial memory, all of it or none.
    fn maps_memory(&self) -> bool {
        let mut spans: Vec<(u64, u64, u64)> = vec![(u64::MAX, 0, 0); self.memories.len()];
        for data in &self.data {
            let defined = data.memory.checked_sub(self.imported_memories).map(|index| index as usize);
            let place = defined.and_then(|index| Some((self.memories.get(index)?, spans.get_mut(index)?)));
            let end = data.offset.constant.and_then(|start| start.checked_add(data.bytes));
            let (Some((size, span)), Some(start), Some(end)) = (place, data.offset.constant, end) else {
                return false;
            };
            if end > *size {
                return false;
            }
            if data.bytes > 0 {
                *span = (span.0.min(start), span.1.max(end), span.2 + data.bytes);
            }
        }
        spans.iter().filter(|(_, _, bytes)| *bytes > 0).all(|(start, end, bytes)| {
            let image = end - start;
            image < bytes.saturating_mul(2) || image < MOST_IMAGE
        })
    }
}

fn is_filled_ahead(table: &Table) -> bool {
    table.initial_is_function && table.minimum <= MOST_TABLE
}

impl Offset {
    fn of(expression: &ConstExpr<'_>) -> Result<Self> {
        let operators = operators(expression)?;
        let constant = if operators == 1 { constant(expression)?.flatten() } else { None };
        Ok(Self { operators, constant })
    }
}

/// How many operators an expression has, its end left out.
fn operators(expression: &ConstExpr<'_>) -> Result<u64> {
    let mut reader = expression.get_operators_reader();
    let mut count = 0;
    while !reader.eof() {
        if !matches!(reader.read()?, Operator::End) {
            count += 1;
        }
    }
    Ok(count)
}

/// Whether an expression's first operator is a constant, and if so, its value where it is a place.
fn constant(expression: &ConstExpr<'_>) -> Result<Option<Option<u64>>> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Some(Some(u64::from(value.cast_unsigned()))),
        Operator::I64Const { value } => Some(Some(value.cast_unsigned())),
        Operator::F32Const { .. } | Operator::F64Const { .. } | Operator::V128Const { .. } => Some(None),
        _ => None,
    })
}
