//! One core module, written again: its code with charges, its cell, and a start function that charges what the engine
//! would count at the module's start.

use super::body::Writer;
use super::code::Places;
use super::facts::Module as Facts;
use super::{Cell, InstrumentError};
use crate::schedule::Schedule;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, Module, SectionId, StartSection, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, ExportSectionReader, FunctionBody, FunctionSectionReader,
    GlobalSectionReader, ImportSectionReader, Parser, TypeSectionReader,
};

type Result<T = ()> = std::result::Result<T, reencode::Error<InstrumentError>>;

const CELL_TYPE: GlobalType = GlobalType { val_type: ValType::I64, mutable: true, shared: false };

/// Writes a module again. Its validity is the caller's to check.
pub(crate) fn instrument(
    parser: Parser,
    bytes: &[u8],
    schedule: &Schedule,
    cell: &Cell,
) -> std::result::Result<Module, InstrumentError> {
    let facts = Facts::of(parser.clone(), bytes, schedule)?;
    let startup = facts.startup.cost();
    let mut rewriter = Rewriter { facts: &facts, schedule, cell, startup, done: 0 };
    let mut module = Module::new();
    rewriter.parse_core_module(&mut module, parser, bytes).map_err(|error| match error {
        reencode::Error::UserError(error) => error,
        other => InstrumentError::Malformed(other.to_string()),
    })?;
    Ok(module)
}

struct Rewriter<'a> {
    facts: &'a Facts,
    schedule: &'a Schedule,
    cell: &'a Cell,
    /// What is charged before the module's own start function runs.
    startup: u64,
    /// How many function bodies are written.
    done: usize,
}

impl Rewriter<'_> {
    fn is_imported(&self) -> bool {
        matches!(self.cell, Cell::Imported { .. })
    }

    fn cell_index(&self) -> u32 {
        let imported = self.facts.imported_globals;
        if self.is_imported() { imported } else { imported + self.facts.globals }
    }

    fn global_shift(&self) -> u32 {
        u32::from(self.is_imported())
    }

    /// The start function that is added, if one is.
    fn start(&self) -> Option<u32> {
        (self.startup > 0).then(|| self.facts.function_count())
    }

    fn add_type(&self, types: &mut TypeSection) {
        if self.startup > 0 {
            types.ty().function([], []);
        }
    }

    fn add_import(&self, imports: &mut ImportSection) {
        if let Cell::Imported { module, name } = self.cell {
            imports.import(module, name, EntityType::Global(CELL_TYPE));
        }
    }

    fn add_function(&self, functions: &mut FunctionSection) {
        if self.startup > 0 {
            functions.function(self.facts.type_count());
        }
    }

    fn add_global(&self, globals: &mut GlobalSection) {
        if let Cell::Exported { limit, .. } = self.cell {
            globals.global(CELL_TYPE, &ConstExpr::i64_const(full(*limit)));
        }
    }

    fn add_export(&self, exports: &mut ExportSection) {
        if let Cell::Exported { name, .. } = self.cell {
            exports.export(name, ExportKind::Global, self.cell_index());
        }
    }

    fn add_code(&self, code: &mut CodeSection) {
        if self.startup == 0 {
            return;
        }
        let places = Places { cell: self.cell_index(), ..Places::default() };
        let mut function = Function::new([]);
        places.charge(&mut function, i64::try_from(self.startup).unwrap_or(i64::MAX), false);
        if let Some(start) = self.facts.startup.function() {
            function.instructions().call(start);
        }
        function.instructions().end();
        code.function(&function);
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<Function> {
        let user = reencode::Error::UserError;
        let defined = self.done;
        self.done += 1;
        let facts = self.facts.functions.get(defined).ok_or(user(InstrumentError::Uneven))?;
        let (parameters, results) = self.facts.signature(self.facts.imported_functions + defined as u32);
        let mut locals = Vec::new();
        let mut count = parameters;
        for pair in body.get_locals_reader()? {
            let (more, ty) = pair?;
            count = count.saturating_add(more);
            locals.push((more, self.val_type(ty)?));
        }
        let mut places = Places { cell: self.cell_index(), ..Places::default() };
        if facts.has_tight_loop {
            places.sum = Some(count);
            count += 2;
            locals.push((2, ValType::I64));
        }
        if facts.has_bulk {
            places.length = count;
            locals.push((1, ValType::I32));
        }
        let rest = (places, self.global_shift());
        let results: Vec<ValType> = results.iter().map(|ty| self.val_type(*ty)).collect::<Result<_>>()?;
        Writer::new(self.facts, self.schedule, defined, rest, (Function::new(locals), &results))
            .and_then(|writer| writer.write(body))
            .map_err(user)
    }
}

/// What a cell holds when nothing was used yet.
pub(crate) fn full(limit: u64) -> i64 {
    -i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Sections that speak of places in the code, which are others now.
fn speaks_of_places(name: &str) -> bool {
    name.starts_with(".debug")
        || name.starts_with("reloc.")
        || name.starts_with("metadata.code")
        || matches!(name, "linking" | "sourceMappingURL" | "external_debug_info")
}

impl Reencode for Rewriter<'_> {
    type Error = InstrumentError;

    fn global_index(&mut self, index: u32) -> Result<u32> {
        let shift = if index < self.facts.imported_globals { 0 } else { self.global_shift() };
        Ok(index + shift)
    }

    fn parse_custom_section(&mut self, module: &mut Module, section: CustomSectionReader<'_>) -> Result {
        if speaks_of_places(section.name()) {
            return Ok(());
        }
        utils::parse_custom_section(self, module, section)
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Result {
        utils::parse_type_section(self, types, section)?;
        self.add_type(types);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result {
        utils::parse_import_section(self, imports, section)?;
        self.add_import(imports);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result {
        utils::parse_function_section(self, functions, section)?;
        self.add_function(functions);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result {
        utils::parse_global_section(self, globals, section)?;
        self.add_global(globals);
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result {
        utils::parse_export_section(self, exports, section)?;
        self.add_export(exports);
        Ok(())
    }

    fn start_section(&mut self, start: u32) -> Result<u32> {
        Ok(self.start().unwrap_or(start))
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Result {
        utils::parse_code_section(self, code, section)?;
        self.add_code(code);
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result {
        code.function(&self.body(&body)?);
        Ok(())
    }

    /// Adds the sections that are needed and that the module does not have.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result {
        let is_between = |section: SectionId| {
            after.is_none_or(|after| order(after) < order(section))
                && before.is_none_or(|before| order(before) > order(section))
        };
        if is_between(SectionId::Type) && self.startup > 0 {
            let mut types = TypeSection::new();
            self.add_type(&mut types);
            module.section(&types);
        }
        if is_between(SectionId::Import) && self.is_imported() {
            let mut imports = ImportSection::new();
            self.add_import(&mut imports);
            module.section(&imports);
        }
        if is_between(SectionId::Function) && self.startup > 0 {
            let mut functions = FunctionSection::new();
            self.add_function(&mut functions);
            module.section(&functions);
        }
        if is_between(SectionId::Global) && !self.is_imported() {
            let mut globals = GlobalSection::new();
            self.add_global(&mut globals);
            module.section(&globals);
        }
        if is_between(SectionId::Export) && !self.is_imported() {
            let mut exports = ExportSection::new();
            self.add_export(&mut exports);
            module.section(&exports);
        }
        if let Some(function_index) = self.start().filter(|_| is_between(SectionId::Start)) {
            module.section(&StartSection { function_index });
        }
        if is_between(SectionId::Code) && self.startup > 0 {
            let mut code = CodeSection::new();
            self.add_code(&mut code);
            module.section(&code);
        }
        Ok(())
    }
}

/// The order in which sections stand in a module.
fn order(section: SectionId) -> u8 {
    match section {
        SectionId::Custom => 0,
        SectionId::Type => 1,
        SectionId::Import => 2,
        SectionId::Function => 3,
        SectionId::Table => 4,
        SectionId::Memory => 5,
        SectionId::Tag => 6,
        SectionId::Global => 7,
        SectionId::Export => 8,
        SectionId::Start => 9,
        SectionId::Element => 10,
        SectionId::DataCount => 11,
        SectionId::Code => 12,
        SectionId::Data => 13,
    }
}
