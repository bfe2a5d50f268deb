//! A component, written again: every core module in it counts, and an interface tells how much.
//!
//! In each component the largest core module has the cell, because a module's own global is the cheapest to reach. Those
//! that are instantiated after it import the cell. Those before can't: they have cells of their own (in practice a module
//! of some trampolines), and what is told is the sum.

use super::facts::CELL;
use super::survey::{Scope, survey};
use super::{Cell, GAS_INTERFACE, InstrumentError, cell, module};
use crate::schedule::Schedule;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentExportKind, ComponentInstanceSection, InstanceSection,
    ModuleArg, ModuleSection, NestedComponentSection, RawSection,
};
use wasmparser::{Chunk, Instance, InstanceSectionReader, Parser, Payload};

/// Writes a component again. Its validity is the caller's to check. If it does not tell, nothing is added to it but what
/// counts in its modules.
pub(crate) fn instrument(
    bytes: &[u8],
    schedule: &Schedule,
    limit: u64,
    tells: bool,
) -> Result<Component, InstrumentError> {
    let scopes = survey(bytes)?;
    let mut rewriter = Rewriter { bytes, schedule, limit, tells, scopes: scopes.into_iter() };
    rewriter.component(Parser::new(0), bytes)
}

struct Rewriter<'a> {
    /// The whole component: ranges count from its first byte.
    bytes: &'a [u8],
    schedule: &'a Schedule,
    limit: u64,
    /// Whether it exports what tells and sets its cells.
    tells: bool,
    /// The scopes that have not begun.
    scopes: std::vec::IntoIter<Scope>,
}

impl Rewriter<'_> {
    fn component(&mut self, mut parser: Parser, mut rest: &[u8]) -> Result<Component, InstrumentError> {
        let scope = self.scopes.next().ok_or(InstrumentError::Uneven)?;
        check(&scope)?;
        let mut written = Component::new();
        let mut modules = 0;
        while !rest.is_empty() {
            let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
                return Err(InstrumentError::Uneven);
            };
            rest = rest.get(consumed..).ok_or(InstrumentError::Uneven)?;
            match payload {
                Payload::ModuleSection { parser, unchecked_range } => {
                    let inner = slice(self.bytes, &unchecked_range)?;
                    rest = rest.get(inner.len()..).ok_or(InstrumentError::Uneven)?;
                    let module =
                        module::instrument(parser, inner, self.schedule, &self.cell(&scope, modules))?;
                    written.section(&ModuleSection(&module));
                    modules += 1;
                }
                Payload::ComponentSection { parser, unchecked_range } => {
                    let inner = slice(self.bytes, &unchecked_range)?;
                    rest = rest.get(inner.len()..).ok_or(InstrumentError::Uneven)?;
                    let component = self.component(parser, inner)?;
                    written.section(&NestedComponentSection(&component));
                }
                other => self.section(&mut written, other, &scope)?,
            }
        }
        if !self.tells {
            return Ok(written);
        }
        if scope.home().is_some() {
            cell::tell(&mut written, &scope.cells(), self.limit, scope.next, GAS_INTERFACE);
        } else {
            tell_the_sum(&mut written, &scope);
        }
        Ok(written)
    }

    /// Where a module of a component has its cell.
    fn cell(&self, scope: &Scope, module: usize) -> Cell {
        let is_home = scope.home().is_some_and(|(home, _)| home == module);
        if !is_home && scope.comes_after_home(module) {
            return Cell::Imported { module: CELL.to_owned(), name: CELL.to_owned() };
        }
        Cell::Exported { name: CELL.to_owned(), limit: self.limit }
    }

    /// Writes any other section. Most stay as they are: what is added comes last, so no index changes.
    fn section(
        &self,
        written: &mut Component,
        payload: Payload<'_>,
        scope: &Scope,
    ) -> Result<(), InstrumentError> {
        match payload {
            Payload::Version { .. } | Payload::End(_) => {}
            Payload::InstanceSection(section) => {
                written.section(&instances(section, scope)?);
            }
            other => {
                let (id, range) = other.as_section().ok_or(InstrumentError::Uneven)?;
                written.section(&RawSection { id, data: slice(self.bytes, &range)? });
            }
        }
        Ok(())
    }
}

fn slice<'a>(bytes: &'a [u8], range: &std::ops::Range<u64>) -> Result<&'a [u8], InstrumentError> {
    bytes.get(range.start as usize..range.end as usize).ok_or(InstrumentError::Uneven)
}

/// Refuses what can't be told: cells in a component and in those that it makes, because a component may not call the
/// latter to ask; and modules of which only several instances are made.
fn check(scope: &Scope) -> Result<(), InstrumentError> {
    let runs = scope.cores.iter().any(|core| !core.instances.is_empty());
    if runs && !scope.counting.is_empty() {
        return Err(InstrumentError::Shape(
            "a component in it has core modules of its own and instances of components with core modules: compose them \
             side by side",
        ));
    }
    if runs && scope.home().is_none() {
        return Err(InstrumentError::Shape(
            "a component in it makes several instances of each of its core modules, and one instance of none",
        ));
    }
    Ok(())
}

/// Core instances: those after the home get its cell besides what they ask for.
fn instances(section: InstanceSectionReader<'_>, scope: &Scope) -> Result<InstanceSection, InstrumentError> {
    let mut written = InstanceSection::new();
    for instance in section {
        match instance? {
            Instance::Instantiate { module_index, args } => {
                let asked = args.iter().map(|argument| (argument.name, ModuleArg::Instance(argument.index)));
                let mut all: Vec<_> = asked.collect();
                let index = module_index as usize;
                if let Some((home, instance)) = scope.home()
                    && home != index
                    && scope.comes_after_home(index)
                {
                    all.push(cell::argument(instance));
                }
                written.instantiate(module_index, all);
            }
            Instance::FromExports(exports) => {
                let mut all = Vec::new();
                for export in exports {
                    let kind = RoundtripReencoder
                        .export_kind(export.kind)
                        .map_err(|error| InstrumentError::Malformed(error.to_string()))?;
                    all.push((export.name, kind, export.index));
                }
                written.export_items(all);
            }
        }
    }
    Ok(written)
}

/// In a composition: exports what tells the sum of all that count.
fn tell_the_sum(written: &mut Component, scope: &Scope) {
    let next = scope.next;
    if scope.counting.is_empty() {
        return;
    }
    let mut aliases = ComponentAliasSection::new();
    for instance in &scope.counting {
        let (kind, name) = (ComponentExportKind::Instance, GAS_INTERFACE);
        aliases.alias(Alias::InstanceExport { instance: *instance, kind, name });
    }
    if scope.counting.len() == 1 {
        written.section(&aliases);
        return cell::export(written, GAS_INTERFACE, next.instances);
    }
    let count = scope.counting.len() as u32;
    for instance in next.instances..next.instances + count {
        for name in [cell::USED, cell::SET] {
            aliases.alias(Alias::InstanceExport { instance, kind: ComponentExportKind::Func, name });
        }
    }
    written.section(&aliases);
    written.section(&NestedComponentSection(&cell::sum(scope.counting.len())));
    let names: Vec<String> = (0..scope.counting.len()).flat_map(cell::addend).collect();
    let arguments = names.iter().zip(next.functions..next.functions + 2 * count);
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(
        next.components,
        arguments.map(|(name, function)| (name.as_str(), ComponentExportKind::Func, function)),
    );
    written.section(&instances);
    let sum = next.instances + count;
    let mut aliases = ComponentAliasSection::new();
    for name in [cell::USED, cell::SET] {
        aliases.alias(Alias::InstanceExport { instance: sum, kind: ComponentExportKind::Func, name });
    }
    written.section(&aliases);
    cell::bundle(written, next.functions + 2 * count);
    cell::export(written, GAS_INTERFACE, sum + 1);
}
