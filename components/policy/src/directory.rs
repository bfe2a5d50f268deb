//! The entities of the configuration, with their ancestors worked out once.

use crate::facts::Diagnostic;
use crate::vocabulary::{Kind, Vocabulary};
use cedar_policy_core::ast::{Entity, EntityUID, PartialValue, Value};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The most entities of one configuration.
pub const MAX_ENTITIES: usize = 10_000;
/// The most groups that a client or group may lie in, directly and indirectly.
pub(crate) const MAX_ANCESTORS: usize = 64;

/// An entity as Cedar's JSON writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEntity {
    uid: RawUid,
    #[serde(default)]
    attrs: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    parents: Vec<RawUid>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// The name of an entity: `{"type": "Group", "id": "acme/admins"}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUid {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

impl RawUid {
    fn shown(&self) -> String {
        format!("{}::\"{}\"", self.kind, self.id.escape_debug())
    }

    fn check(&self) -> Result<Kind, String> {
        let kind = Kind::named(&self.kind)
            .filter(|kind| {
                matches!(kind, Kind::App | Kind::Client | Kind::Group | Kind::Route | Kind::Tenant)
            })
            .ok_or_else(|| {
                format!("`{}` cannot be configured; use Group, Client, Tenant, App or Route", self.shown())
            })?;
        kind.check_id(&self.id).map_err(|shape| format!("the id of `{}` must be {shape}", self.shown()))?;
        Ok(kind)
    }
}

/// The configured entities and the schema's actions.
pub(crate) struct Directory {
    entities: HashMap<EntityUID, Arc<Entity>>,
}

impl Directory {
    /// Checks the configured entities and works out their ancestors.
    pub(crate) fn new(raw: Vec<RawEntity>, words: &Vocabulary) -> Result<Self, Vec<Diagnostic>> {
        if raw.len() > MAX_ENTITIES {
            return Err(vec![Diagnostic::new(format!("more than {MAX_ENTITIES} entities"))]);
        }
        let mut problems = Vec::new();
        let mut checked: HashMap<EntityUID, Checked> = HashMap::new();
        for entity in raw {
            let shown = entity.uid.shown();
            match Checked::new(entity, words) {
                Ok((uid, one)) => {
                    if checked.insert(uid, one).is_some() {
                        problems.push(Diagnostic::new(format!("`{shown}` is there twice")).at(shown));
                    }
                }
                Err(message) => problems.push(Diagnostic::new(message).at(shown)),
            }
        }
        for uid in checked.keys() {
            if let Err(message) = ancestors(uid, &checked) {
                problems.push(Diagnostic::new(message).at(uid.to_string()));
            }
        }
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
            return Err(problems);
        }
        let actions = words.actions.iter().map(|action| (action.uid().clone(), Arc::clone(action)));
        let mut directory = Self { entities: actions.collect() };
        for (uid, one) in &checked {
            let entity = match one.kind {
                Kind::Client | Kind::Group => {
                    let above = ancestors(uid, &checked).unwrap_or_default();
                    let parents = one.parents.iter().cloned().collect();
                    Some(entity(uid.clone(), Vec::new(), parents, above, one.tags.clone()))
                }
                kind => place(kind, uid.eid().as_ref(), one.tags.clone(), words),
            };
            if let Some(entity) = entity {
                directory.entities.insert(uid.clone(), Arc::new(entity));
            }
        }
        Ok(directory)
    }

    /// The configured entity or action with this name.
    pub(crate) fn get(&self, uid: &EntityUID) -> Option<&Arc<Entity>> {
        self.entities.get(uid)
    }

    /// Everything that is configured, and the actions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entity> {
        self.entities.values().map(AsRef::as_ref)
    }

    /// A tenant, app or route: as configured, or made from its id alone.
    pub(crate) fn place(&self, kind: Kind, uid: &EntityUID, words: &Vocabulary) -> Option<Arc<Entity>> {
        match self.entities.get(uid) {
            Some(known) => Some(Arc::clone(known)),
            None => place(kind, uid.eid().as_ref(), Vec::new(), words).map(Arc::new),
        }
    }

    /// A principal with the groups that the facts name, and those that the configuration adds.
    pub(crate) fn principal(&self, uid: &EntityUID, groups: Vec<EntityUID>) -> Arc<Entity> {
        let known = self.entities.get(uid);
        if let (Some(known), true) = (known, groups.is_empty()) {
            return Arc::clone(known);
        }
        let mut principal = known.map_or_else(|| Entity::with_uid(uid.clone()), |known| (**known).clone());
        for group in groups {
            for above in self.entities.get(&group).iter().flat_map(|group| group.ancestors()) {
                principal.add_indirect_ancestor(above.clone());
            }
            principal.add_parent(group);
        }
        Arc::new(principal)
    }
}

struct Checked {
    kind: Kind,
    parents: Vec<EntityUID>,
    tags: Vec<(String, String)>,
}

impl Checked {
    fn new(raw: RawEntity, words: &Vocabulary) -> Result<(EntityUID, Self), String> {
        let kind = raw.uid.check()?;
        let shown = raw.uid.shown();
        if !raw.attrs.is_empty() {
            return Err(format!("`{shown}` takes no attributes; use `tags`"));
        }
        let grouped = matches!(kind, Kind::Client | Kind::Group);
        if !grouped && !raw.parents.is_empty() {
            return Err(format!("the parents of `{shown}` follow from its id; leave out `parents`"));
        }
        let parents = raw.parents.iter().map(|parent| match parent.check()? {
            Kind::Group => words.uid(Kind::Group, &parent.id).ok_or_else(String::new),
            _ => Err(format!("`{shown}` can lie only in groups, not in `{}`", parent.shown())),
        });
        let parents = parents.collect::<Result<_, String>>()?;
        let uid = words.uid(kind, &raw.uid.id).ok_or_else(String::new)?;
        Ok((uid, Self { kind, parents, tags: raw.tags.into_iter().collect() }))
    }
}

/// All groups above an entity. Walks with a list of its own, so that a long chain cannot exhaust the stack.
fn ancestors(of: &EntityUID, all: &HashMap<EntityUID, Checked>) -> Result<HashSet<EntityUID>, String> {
    let mut found = HashSet::new();
    let mut open: Vec<&EntityUID> = vec![of];
    while let Some(uid) = open.pop() {
        for parent in all.get(uid).iter().flat_map(|one| &one.parents) {
            if parent == of {
                return Err(format!("`{of}` lies in itself"));
            }
            if found.insert(parent.clone()) {
                open.push(parent);
            }
            if found.len() > MAX_ANCESTORS {
                return Err(format!("`{of}` lies in more than {MAX_ANCESTORS} groups"));
            }
        }
    }
    Ok(found)
}

/// A tenant, app or route with the parents and attributes that its id implies.
fn place(kind: Kind, id: &str, tags: Vec<(String, String)>, words: &Vocabulary) -> Option<Entity> {
    let uid = words.uid(kind, id)?;
    let (tenant, rest) = id.split_once('/').unwrap_or((id, ""));
    let tenant = words.uid(Kind::Tenant, tenant)?;
    Some(match kind {
        Kind::App => entity(uid, Vec::new(), HashSet::from([tenant]), HashSet::new(), tags),
        Kind::Route => {
            let app_length = id.len() - rest.len() + rest.find('/').unwrap_or(rest.len());
            let app = words.uid(Kind::App, id.get(..app_length)?)?;
            let attributes = vec![("app", app.clone()), ("tenant", tenant.clone())];
            entity(uid, attributes, HashSet::from([app]), HashSet::from([tenant]), tags)
        }
        _ => entity(uid, Vec::new(), HashSet::new(), HashSet::new(), tags),
    })
}

fn entity(
    uid: EntityUID,
    attributes: Vec<(&str, EntityUID)>,
    parents: HashSet<EntityUID>,
    mut above: HashSet<EntityUID>,
    tags: Vec<(String, String)>,
) -> Entity {
    above.retain(|one| !parents.contains(one));
    let attributes = attributes.into_iter().map(|(name, uid)| (name.into(), PartialValue::Value(uid.into())));
    let tags = tags.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(Value::from(value))));
    Entity::new_with_attr_partial_value(uid, attributes, above, parents, tags)
}
