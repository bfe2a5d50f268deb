//! The words that policies may use: the schema, its entity types, its actions, and how ids are made.

use crate::facts::Diagnostic;
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::{Validator, ValidatorSchema};
use std::sync::Arc;

/// The schema that every policy is checked against, in Cedar's schema syntax.
pub const SCHEMA: &str = include_str!("../tollgate.cedarschema");

/// The id of the one anonymous principal.
pub(crate) const ANONYMOUS_ID: &str = "anonymous";
/// The id of the one host principal.
pub(crate) const HOST_ID: &str = "host";
/// The action of every method without an action of its own.
pub(crate) const OTHER_METHOD: &str = "other";
/// The longest name of a client or group in bytes.
const MAX_NAME_BYTES: usize = 128;

/// An entity type of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Action,
    Anonymous,
    App,
    Client,
    Group,
    Headers,
    Host,
    Route,
    Tenant,
}

impl Kind {
    const ALL: [(&'static str, Self); 9] = [
        ("Action", Self::Action),
        ("Anonymous", Self::Anonymous),
        ("App", Self::App),
        ("Client", Self::Client),
        ("Group", Self::Group),
        ("Headers", Self::Headers),
        ("Host", Self::Host),
        ("Route", Self::Route),
        ("Tenant", Self::Tenant),
    ];

    /// The kind with this name in the schema.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }

    /// The kind of an entity.
    pub(crate) fn of(uid: &EntityUID) -> Option<Self> {
        Self::named(&uid.entity_type().to_string())
    }

    /// Says what an id of this kind looks like, if this is none.
    pub(crate) fn check_id(self, id: &str) -> Result<(), &'static str> {
        let parts: Vec<&str> = id.split('/').collect();
        let names = |count: usize| parts.len() == count && parts.iter().all(|part| is_name(part));
        match self {
            // The schema lists every action, so the validator knows better.
            Self::Action => Ok(()),
            Self::Anonymous => (id == ANONYMOUS_ID).then_some(()).ok_or("`anonymous`"),
            Self::Host => (id == HOST_ID).then_some(()).ok_or("`host`"),
            Self::Headers => Err("`context.headers`: headers have no id of their own"),
            Self::Tenant => names(1).then_some(()).ok_or("`tenant`, of a-z, 0-9 and `-`"),
            Self::App => names(2).then_some(()).ok_or("`tenant/app`, each of a-z, 0-9 and `-`"),
            Self::Route => names(3).then_some(()).ok_or("`tenant/app/route`, each of a-z, 0-9 and `-`"),
            Self::Client | Self::Group => id
                .split_once('/')
                .filter(|(tenant, name)| is_name(tenant) && is_free_name(name))
                .map(|_| ())
                .ok_or("`tenant/name`"),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_free_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The schema, ready to use.
pub(crate) struct Vocabulary {
    pub(crate) validator: Validator,
    /// Every action and action group, with its ancestors.
    pub(crate) actions: Vec<Arc<Entity>>,
    types: Vec<(Kind, EntityType)>,
}

impl Vocabulary {
    /// Reads the schema.
    pub(crate) fn new() -> Result<Self, Diagnostic> {
        let broken = |error: &dyn std::fmt::Display| {
            Diagnostic::new(format!("the engine's own schema does not load: {error}"))
        };
        let (schema, _warnings) = ValidatorSchema::from_cedarschema_str(SCHEMA, Extensions::all_available())
            .map_err(|e| broken(&e))?;
        let actions = schema.action_entities().map_err(|e| broken(&e))?;
        let types = Kind::ALL
            .iter()
            .map(|&(name, kind)| Ok((kind, EntityType::from_normalized_str(name).map_err(|e| broken(&e))?)))
            .collect::<Result<_, Diagnostic>>()?;
        let actions = actions.iter().cloned().map(Arc::new).collect();
        Ok(Self { validator: Validator::new(schema), actions, types })
    }

    /// The entity of this kind with this id.
    pub(crate) fn uid(&self, kind: Kind, id: &str) -> Option<EntityUID> {
        let (_, entity_type) = self.types.iter().find(|(known, _)| *known == kind)?;
        Some(EntityUID::from_components(entity_type.clone(), Eid::new(id), None))
    }
}
