//! The first pass over a component: what its parts are, and how many things each of them has by its end.

use super::operators::guest_features;
use super::{GAS_INTERFACE, InstrumentError};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    Encoding, Parser, Payload, ValidPayload, Validator,
};

/// Indices that the things get which are added to a component's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) core_functions: u32,
    pub(crate) functions: u32,
    pub(crate) types: u32,
    pub(crate) instances: u32,
    pub(crate) components: u32,
}

/// One component, nested or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// It has core modules of its own.
    pub(crate) has_modules: bool,
    /// The instances it makes of components that count.
    pub(crate) counting: Vec<u32>,
    /// For each component that it defines, which scope that is.
    inner: Vec<usize>,
    pub(crate) next: Next,
}

impl Scope {
    /// Whether anything in it counts, so that it has gas to tell.
    pub(crate) fn counts(&self) -> bool {
        self.has_modules || !self.counting.is_empty()
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
            Payload::Version { .. } => {
                if let Some(scope) = self.here() {
                    scope.has_modules = true;
                }
                self.open.push(None);
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
