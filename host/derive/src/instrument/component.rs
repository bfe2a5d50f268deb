//! A component, written again: every core module in it counts, and an interface tells how much.

use super::facts::CELL_MODULE;
use super::survey::{Scope, survey};
use super::{Cell, GAS_INTERFACE, InstrumentError, cell, module};
use crate::schedule::Schedule;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentExportKind, ComponentInstanceSection, InstanceSection,
    ModuleArg, ModuleSection, NestedComponentSection, RawSection,
};
use wasmparser::{Chunk, ComponentAlias, Instance, InstanceSectionReader, Parser, Payload};

/// Writes a component again. Its validity is the caller's to check.
pub(crate) fn instrument(
    bytes: &[u8],
    schedule: &Schedule,
    limit: u64,
) -> Result<Component, InstrumentError> {
    let scopes = survey(bytes)?;
    let imported = Cell::Imported { module: CELL_MODULE.to_owned(), name: cell::CELL.to_owned() };
    let mut rewriter = Rewriter { bytes, schedule, limit, imported, scopes: scopes.into_iter() };
    rewriter.component(Parser::new(0), bytes)
}

struct Rewriter<'a> {
    /// The whole component: ranges count from its first byte.
    bytes: &'a [u8],
    schedule: &'a Schedule,
    limit: u64,
    imported: Cell,
    /// The scopes that have not begun.
    scopes: std::vec::IntoIter<Scope>,
}

impl Rewriter<'_> {
    fn component(&mut self, mut parser: Parser, mut rest: &[u8]) -> Result<Component, InstrumentError> {
        let scope = self.scopes.next().ok_or(InstrumentError::Uneven)?;
        if scope.has_modules && !scope.counting.is_empty() {
            return Err(InstrumentError::Shape(
                "a component in it has core modules of its own and instances of components with core modules: \
                 compose them side by side",
            ));
        }
        let mut written = Component::new();
        if scope.has_modules {
            cell::begin(&mut written, self.limit);
        }
        let shift = u32::from(scope.has_modules);
        while !rest.is_empty() {
            let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
                return Err(InstrumentError::Uneven);
            };
            rest = rest.get(consumed..).ok_or(InstrumentError::Uneven)?;
            match payload {
                Payload::ModuleSection { parser, unchecked_range } => {
                    let inner = slice(self.bytes, &unchecked_range)?;
                    rest = rest.get(inner.len()..).ok_or(InstrumentError::Uneven)?;
                    let module = module::instrument(parser, inner, self.schedule, &self.imported)?;
                    written.section(&ModuleSection(&module));
                }
                Payload::ComponentSection { parser, unchecked_range } => {
                    let inner = slice(self.bytes, &unchecked_range)?;
                    rest = rest.get(inner.len()..).ok_or(InstrumentError::Uneven)?;
                    let component = self.component(parser, inner)?;
                    written.section(&NestedComponentSection(&component));
                }
                other => self.section(&mut written, other, shift)?,
            }
        }
        end(&mut written, &scope);
        Ok(written)
    }

    /// Writes any other section. Most stay as they are: nothing that they speak of got another index.
    fn section(
        &self,
        written: &mut Component,
        payload: Payload<'_>,
        shift: u32,
    ) -> Result<(), InstrumentError> {
        match payload {
            Payload::Version { .. } | Payload::End(_) => {}
            Payload::InstanceSection(section) => {
                written.section(&instances(section, shift)?);
            }
            Payload::ComponentAliasSection(section) => {
                let mut aliases = ComponentAliasSection::new();
                for alias in section {
                    aliases.alias(shifted(alias?, shift)?);
                }
                written.section(&aliases);
            }
            // Names go by index, and the indices of instances are others now.
            Payload::CustomSection(section) if section.name() == "component-name" => {}
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

/// Core instances: every module gets the cell besides what it asks for.
fn instances(section: InstanceSectionReader<'_>, shift: u32) -> Result<InstanceSection, InstrumentError> {
    let mut written = InstanceSection::new();
    for instance in section {
        match instance? {
            Instance::Instantiate { module_index, args } => {
                let asked = args.iter();
                let mut all: Vec<_> = asked
                    .map(|argument| (argument.name, ModuleArg::Instance(argument.index + shift)))
                    .collect();
                all.push(cell::argument());
                written.instantiate(module_index + shift, all);
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

fn shifted(alias: ComponentAlias<'_>, shift: u32) -> Result<Alias<'_>, InstrumentError> {
    let malformed = |error: wasm_encoder::reencode::Error| InstrumentError::Malformed(error.to_string());
    Ok(match alias {
        ComponentAlias::InstanceExport { kind, instance_index, name } => {
            Alias::InstanceExport { instance: instance_index, kind: kind.into(), name }
        }
        ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
            let kind = RoundtripReencoder.export_kind(kind).map_err(malformed)?;
            Alias::CoreInstanceExport { instance: instance_index + shift, kind, name }
        }
        // Of code there are none: the survey refuses them.
        ComponentAlias::Outer { kind, count, index } => Alias::Outer { kind: kind.into(), count, index },
    })
}

/// Adds the interface that tells the gas, if anything counts.
fn end(written: &mut Component, scope: &Scope) {
    let next = scope.next;
    if scope.has_modules {
        cell::lift(written, next.core_functions, next.types, next.functions);
        return cell::export(written, GAS_INTERFACE, next.instances);
    }
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
