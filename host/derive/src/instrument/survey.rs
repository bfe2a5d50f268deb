//! The first pass over a component: what its parts are, and how many things each of them has by its end.

use super::operators::guest_features;
use super::{GAS_INTERFACE, InstrumentError};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    Encoding, Instance, Parser, Payload, ValidPayload, Validator,
};

/// Indices that the things get which are added to a component's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) core_functions: u32,
    pub(crate) functions: u32,
    pub(crate) types: u32,
    pub(crate) instances: u32,
    pub(crate) components: u32,
    pub(crate) modules: u32,
    pub(crate) core_instances: u32,
}

/// A core module: its size, and the core instances that are made of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Core {
    bytes: u64,
    pub(crate) instances: Vec<u32>,
}

/// One component, nested or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Its own core modules.
    pub(crate) cores: Vec<Core>,
    /// The instances it makes of components that count.
    pub(crate) counting: Vec<u32>,
    /// For each component that it defines, which scope that is.
    inner: Vec<usize>,
    pub(crate) next: Next,
}

impl Scope {
    /// Whether anything in it counts, so that it has gas to tell.
    pub(crate) fn counts(&self) -> bool {
        self.home().is_some() || !self.counting.is_empty()
    }

    /// The module that has the cell, and its instance: the largest of those of which there is one instance. (Every
    /// component with instances has one, but for those that make several of each module.)
    pub(crate) fn home(&self) -> Option<(usize, u32)> {
        let once =
            self.cores.iter().enumerate().filter_map(|(index, core)| match core.instances.as_slice() {
                [only] => Some((core.bytes, index, *only)),
                _ => None,
            });
        once.max_by_key(|(bytes, _, _)| *bytes).map(|(_, index, instance)| (index, instance))
    }

    /// Whether a module can import the cell: all its instances come after the home.
    pub(crate) fn comes_after_home(&self, module: usize) -> bool {
        let instances = self.cores.get(module).map_or(&[][..], |core| &core.instances);
        self.home().is_some_and(|(_, home)| instances.iter().all(|instance| *instance > home))
    }

    /// The core instances that have a cell of their own, the home first.
    pub(crate) fn cells(&self) -> Vec<u32> {
        let Some((home, instance)) = self.home() else { return Vec::new() };
        let others = self.cores.iter().enumerate();
        let others = others.filter(|(index, _)| *index != home && !self.comes_after_home(*index));
        [instance].into_iter().chain(others.flat_map(|(_, core)| core.instances.iter().copied())).collect()
    }
}

/// The scopes of a component in the order in which they begin; the first is the component itself.
pub(crate) fn survey(bytes: &[u8]) -> Result<Vec<Scope>, InstrumentError> {
    let mut survey = Survey::default();
    let mut validator = Validator::new_with_features(guest_features());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        survey.before(&payload, &validator)?;
        if let ValidPayload::Func(..) = validator.payload(&payload)? {
            // The code was validated before.
        }
    }
    Ok(survey.scopes)
}

#[derive(Default)]
struct Survey {
    scopes: Vec<Scope>,
    /// The scopes that are open; none for a core module.
    open: Vec<Option<usize>>,
}

impl Survey {
    fn here(&mut self) -> Option<&mut Scope> {
        let index = self.open.last().copied().flatten()?;
        self.scopes.get_mut(index)
    }

    /// Looks at a section before the validator does, which knows what came before it.
    fn before(&mut self, payload: &Payload<'_>, validator: &Validator) -> Result<(), InstrumentError> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => self.begin(),
            Payload::Version { .. } => self.open.push(None),
            Payload::ModuleSection { unchecked_range, .. } => {
                if let Some(scope) = self.here() {
                    let bytes = unchecked_range.end - unchecked_range.start;
                    scope.cores.push(Core { bytes, instances: Vec::new() });
                }
            }
            Payload::InstanceSection(section) => {
                let first = validator.types(0).map_or(0, |types| types.core_instance_count());
                for (place, instance) in section.clone().into_iter().enumerate() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let core = self.here().and_then(|scope| scope.cores.get_mut(module_index as usize));
                        core.ok_or(InstrumentError::Uneven)?.instances.push(first + place as u32);
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                let first = validator.types(0).map_or(0, |types| types.component_instance_count());
                for (place, instance) in section.clone().into_iter().enumerate() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        self.instantiate(component_index, first + place as u32)?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let ty = import?.ty;
                    if matches!(ty, ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)) {
                        return Err(InstrumentError::Shape(
                            "it imports code (a module or a component), which could not be counted",
                        ));
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.name.name == GAS_INTERFACE {
                        return Err(InstrumentError::AlreadyMetered);
                    }
                    if is_code(export.kind) {
                        return Err(InstrumentError::Shape("it exports code (a module or a component)"));
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    refuse_code(&alias?)?;
                }
            }
            Payload::End(_) => self.end(validator),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self) {
        let index = self.scopes.len();
        if let Some(scope) = self.here() {
            scope.inner.push(index);
        }
        self.scopes.push(Scope::default());
        self.open.push(Some(index));
    }

    fn instantiate(&mut self, component: u32, instance: u32) -> Result<(), InstrumentError> {
        let inner = self.here().and_then(|scope| scope.inner.get(component as usize).copied());
        let counts = inner.and_then(|inner| self.scopes.get(inner)).ok_or(InstrumentError::Uneven)?.counts();
        if let Some(scope) = self.here().filter(|_| counts) {
            scope.counting.push(instance);
        }
        Ok(())
    }

    fn end(&mut self, validator: &Validator) {
        let next = validator.types(0).map(|types| Next {
            core_functions: types.function_count(),
            functions: types.component_function_count(),
            types: types.component_type_count(),
            instances: types.component_instance_count(),
            components: types.component_count(),
            modules: types.module_count(),
            core_instances: types.core_instance_count(),
        });
        if let (Some(scope), Some(next)) = (self.here(), next) {
            scope.next = next;
        }
        self.open.pop();
    }
}

fn is_code(kind: ComponentExternalKind) -> bool {
    matches!(kind, ComponentExternalKind::Module | ComponentExternalKind::Component)
}

fn refuse_code(alias: &ComponentAlias<'_>) -> Result<(), InstrumentError> {
    let is_code = match alias {
        ComponentAlias::InstanceExport { kind, .. } => is_code(*kind),
        ComponentAlias::Outer { kind, .. } => {
            matches!(kind, ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component)
        }
        ComponentAlias::CoreInstanceExport { .. } => false,
    };
    if is_code {
        return Err(InstrumentError::Shape(
            "it takes code (a module or a component) from elsewhere by an alias",
        ));
    }
    Ok(())
}
