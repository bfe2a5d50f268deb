//! Which rules can apply to a request, by their scope alone.
//!
//! A scope is a conjunction of three conditions, on principal, action and resource; none can fail to evaluate. So
//! a rule whose scope does not hold is false, whatever its clauses say, and may be left out. For each principal,
//! action and resource that a rule names, the index holds the set of rules whose condition it meets; what a request
//! asks of the index is a few look-ups and one intersection.

use crate::directory::Directory;
use crate::rules::Rule;
use crate::vocabulary::{ANONYMOUS_ID, HOST_ID, Kind, Vocabulary};
use cedar_policy_core::ast::{
    ActionConstraint, Entity, EntityReference, EntityType, EntityUID, PrincipalOrResourceConstraint,
};
use std::collections::HashMap;

/// A set of rules, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleSet(Box<[u64]>);

impl RuleSet {
    fn empty(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)].into_boxed_slice())
    }

    fn insert(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    fn add(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    fn keep(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }

    /// The rules in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest.checked_sub(1)?;
                Some(index * 64 + bit)
            })
        })
    }
}

/// Who asks, as far as scopes can see.
pub(crate) enum Asker<'a> {
    Anonymous,
    Host,
    /// A client's id, and those of its groups.
    Client(&'a str, &'a [String]),
}

/// The rules by scope.
pub(crate) struct ScopeIndex {
    anonymous: RuleSet,
    host: RuleSet,
    /// Rules for any client.
    clients: RuleSet,
    /// Further rules by the id of the client.
    client: HashMap<String, RuleSet>,
    /// Further rules by the id of a group of the client, those of the groups above it included.
    group: HashMap<String, RuleSet>,
    /// Rules by action.
    action: HashMap<String, RuleSet>,
    /// Rules for any route.
    routes: RuleSet,
    /// Further rules by the id of the route, its app or its tenant; these ids differ in their number of slashes.
    place: HashMap<String, RuleSet>,
}

impl ScopeIndex {
    pub(crate) fn new(rules: &[Rule], words: &Vocabulary, directory: &Directory) -> Self {
        let none = RuleSet::empty(rules.len());
        let mut index = Self {
            anonymous: none.clone(),
            host: none.clone(),
            clients: none.clone(),
            client: HashMap::new(),
            group: HashMap::new(),
            action: HashMap::new(),
            routes: none.clone(),
            place: HashMap::new(),
        };
        for (number, rule) in rules.iter().enumerate() {
            index.add_principal(number, rule.policy.principal_constraint().as_inner(), &none);
            index.add_resource(number, rule.policy.resource_constraint().as_inner(), &none);
            for action in &words.actions {
                if action_meets(rule.policy.action_constraint(), action) {
                    let name: &str = action.uid().eid().as_ref();
                    index.action.entry(name.to_owned()).or_insert_with(|| none.clone()).insert(number);
                }
            }
        }
        index.close(directory, &none);
        index
    }

    fn add_principal(&mut self, rule: usize, constraint: &PrincipalOrResourceConstraint, none: &RuleSet) {
        let (kind, target) = parts(constraint);
        if matches!(kind, None | Some(Kind::Anonymous))
            && target.is_none_or(|t| t.meets(Kind::Anonymous, ANONYMOUS_ID))
        {
            self.anonymous.insert(rule);
        }
        if matches!(kind, None | Some(Kind::Host)) && target.is_none_or(|t| t.meets(Kind::Host, HOST_ID)) {
            self.host.insert(rule);
        }
        if !matches!(kind, None | Some(Kind::Client)) {
            return;
        }
        match target {
            None => self.clients.insert(rule),
            Some(Target { kind: Some(Kind::Client), id, .. }) => insert(&mut self.client, id, rule, none),
            Some(Target { kind: Some(Kind::Group), id, within: true }) => {
                insert(&mut self.group, id, rule, none)
            }
            Some(_) => {}
        }
    }

    fn add_resource(&mut self, rule: usize, constraint: &PrincipalOrResourceConstraint, none: &RuleSet) {
        let (kind, target) = parts(constraint);
        if !matches!(kind, None | Some(Kind::Route)) {
            return;
        }
        match target {
            None => self.routes.insert(rule),
            Some(Target { kind: Some(Kind::Route), id, .. }) => insert(&mut self.place, id, rule, none),
            Some(Target { kind: Some(Kind::App | Kind::Tenant), id, within: true }) => {
                insert(&mut self.place, id, rule, none);
            }
            Some(_) => {}
        }
    }

    /// Gives configured clients and groups the rules of the groups above them.
    fn close(&mut self, directory: &Directory, none: &RuleSet) {
        let direct = self.group.clone();
        for entity in directory.iter() {
            let map = match Kind::of(entity.uid()) {
                Some(Kind::Client) => &mut self.client,
                Some(Kind::Group) => &mut self.group,
                _ => continue,
            };
            for above in entity.ancestors() {
                let above: &str = above.eid().as_ref();
                if let Some(rules) = direct.get(above) {
                    let id: &str = entity.uid().eid().as_ref();
                    map.entry(id.to_owned()).or_insert_with(|| none.clone()).add(rules);
                }
            }
        }
    }

    /// The rules whose scope holds. `place` is `tenant/app/route`, with the lengths of `tenant` and `tenant/app`.
    pub(crate) fn candidates(
        &self,
        asker: &Asker<'_>,
        action: &str,
        place: &str,
        cuts: [usize; 2],
    ) -> Option<RuleSet> {
        let mut found = match asker {
            Asker::Anonymous => self.anonymous.clone(),
            Asker::Host => self.host.clone(),
            Asker::Client(id, groups) => {
                let mut found = self.clients.clone();
                for rules in
                    self.client.get(*id).into_iter().chain(groups.iter().filter_map(|id| self.group.get(id)))
                {
                    found.add(rules);
                }
                found
            }
        };
        found.keep(self.action.get(action)?);
        let mut here = self.routes.clone();
        for length in cuts.into_iter().chain([place.len()]) {
            if let Some(rules) = place.get(..length).and_then(|id| self.place.get(id)) {
                here.add(rules);
            }
        }
        found.keep(&here);
        Some(found)
    }
}

fn insert(map: &mut HashMap<String, RuleSet>, id: &str, rule: usize, none: &RuleSet) {
    map.entry(id.to_owned()).or_insert_with(|| none.clone()).insert(rule);
}

/// The entity that a scope names.
#[derive(Clone, Copy)]
struct Target<'a> {
    kind: Option<Kind>,
    id: &'a str,
    /// `in`; otherwise `==`.
    within: bool,
}

impl Target<'_> {
    /// Whether an entity without parents meets the condition.
    fn meets(&self, kind: Kind, id: &str) -> bool {
        self.kind == Some(kind) && self.id == id
    }
}

fn target(reference: &EntityReference, within: bool) -> Option<Target<'_>> {
    match reference {
        EntityReference::EUID(uid) => Some(Target { kind: Kind::of(uid), id: uid.eid().as_ref(), within }),
        // A template's slot: refused at configuration.
        EntityReference::Slot(_) => None,
    }
}

/// The type and the entity that a scope asks for. A type outside of the schema does not get past the validator.
fn parts(constraint: &PrincipalOrResourceConstraint) -> (Option<Kind>, Option<Target<'_>>) {
    // No principal or resource is of kind `Headers`, so an unknown type matches nothing.
    let kind = |name: &EntityType| Some(Kind::named(&name.to_string()).unwrap_or(Kind::Headers));
    match constraint {
        PrincipalOrResourceConstraint::Any => (None, None),
        PrincipalOrResourceConstraint::Is(name) => (kind(name), None),
        PrincipalOrResourceConstraint::Eq(reference) => (None, target(reference, false)),
        PrincipalOrResourceConstraint::In(reference) => (None, target(reference, true)),
        PrincipalOrResourceConstraint::IsIn(name, reference) => (kind(name), target(reference, true)),
    }
}

fn action_meets(constraint: &ActionConstraint, action: &Entity) -> bool {
    let within = |uid: &EntityUID| action.uid() == uid || action.is_descendant_of(uid);
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => action.uid() == uid.as_ref(),
        ActionConstraint::In(uids) => uids.iter().any(|uid| within(uid)),
    }
}

#[cfg(test)]
mod tests;
