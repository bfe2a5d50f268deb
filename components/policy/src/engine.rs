//! The engine: a configuration in force, and the decision on one request.

use crate::directory::{Directory, RawEntity};
use crate::facts::{Diagnostic, Facts, Reasons, Verdict};
use crate::question::{Constructors, Question};
use crate::reads::Reads;
use crate::rules::{self, Rule};
use crate::scope::ScopeIndex;
use crate::vocabulary::Vocabulary;
use cedar_policy_core::ast::{Effect, Literal, SlotEnv, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use serde::Deserialize;

/// The longest configuration in bytes.
pub const MAX_CONFIG_BYTES: usize = 1024 * 1024;

/// Decides on requests by the configuration last accepted. Reads no clock and keeps nothing between decisions.
#[derive(Default)]
pub struct Engine {
    active: Option<Active>,
}

/// A configuration in force.
struct Active {
    words: Vocabulary,
    directory: Directory,
    /// Sorted by id.
    rules: Vec<Rule>,
    scopes: ScopeIndex,
    constructors: Constructors,
    no_slots: SlotEnv,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    policies: String,
    #[serde(default)]
    entities: Vec<RawEntity>,
}

impl Engine {
    /// An engine that denies until it is configured.
    #[must_use]
    pub const fn new() -> Self {
        Self { active: None }
    }

    /// Puts a configuration in force: a JSON object with `policies` (Cedar text) and `entities` (Cedar's entity
    /// JSON; may be left out).
    ///
    /// # Errors
    /// Everything that is wrong with it, up to 50 findings. The configuration before stays in force.
    pub fn configure(&mut self, config: &[u8]) -> Result<(), Vec<Diagnostic>> {
        self.active = Some(Active::new(config)?);
        Ok(())
    }

    /// Decides on one request. A request is allowed if some permit matches, no forbid does, and no rule that might
    /// apply fails to evaluate. The answer depends on the configuration and these facts alone.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Verdict {
        let failed = |error: String| Verdict::Deny(Reasons { policies: Vec::new(), errors: vec![error] });
        match &self.active {
            Some(active) => active.decide(facts).unwrap_or_else(failed),
            None => failed("the policy engine is not configured".to_owned()),
        }
    }
}

impl Active {
    fn new(config: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let one = |diagnostic| vec![diagnostic];
        if config.len() > MAX_CONFIG_BYTES {
            return Err(one(Diagnostic::new(format!(
                "the configuration has more than {MAX_CONFIG_BYTES} bytes"
            ))));
        }
        let raw: RawConfig = serde_json::from_slice(config).map_err(|error| {
            let message = format!("the configuration is not as expected: {error}");
            one(Diagnostic::new(message).on(u32::try_from(error.line()).ok().filter(|&line| line > 0)))
        })?;
        let words = Vocabulary::new().map_err(one)?;
        let constructors = Constructors::new().map_err(|error| one(Diagnostic::new(error)))?;
        let directory = Directory::new(raw.entities, &words)?;
        let rules = rules::parse(&raw.policies, &words, &directory)?;
        if rules.iter().any(|rule| rule.reads.any(Reads::TIME)) {
            constructors.warm_up().map_err(|error| one(Diagnostic::new(error)))?;
        }
        let scopes = ScopeIndex::new(&rules, &words, &directory);
        Ok(Self { words, directory, rules, scopes, constructors, no_slots: SlotEnv::new() })
    }

    fn decide(&self, facts: &Facts) -> Result<Verdict, String> {
        let question = Question::new(facts)?;
        let (place, cuts) = question.place();
        let candidates = self.scopes.candidates(&question.asker(), question.action(), place, cuts);
        let candidates: Vec<&Rule> =
            candidates.iter().flat_map(|set| set.iter()).filter_map(|index| self.rules.get(index)).collect();
        let mut tally = Tally::default();
        if candidates.iter().all(|rule| rule.condition.is_none()) {
            for rule in candidates {
                tally.count(rule, Ok(true));
            }
            return Ok(tally.verdict());
        }
        let (request, entities) =
            question.build(&candidates, &self.words, &self.directory, &self.constructors)?;
        let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
        for rule in candidates {
            tally.count(rule, self.holds(rule, &evaluator));
        }
        Ok(tally.verdict())
    }

    /// Whether a rule's clauses hold. That its scope does is known.
    fn holds(&self, rule: &Rule, evaluator: &Evaluator<'_>) -> Result<bool, String> {
        let Some(condition) = &rule.condition else { return Ok(true) };
        let value = evaluator.interpret(condition, &self.no_slots).map_err(|error| error.to_string())?;
        match value.value_kind() {
            ValueKind::Lit(Literal::Bool(holds)) => Ok(*holds),
            _ => Err("its condition is not a boolean".to_owned()),
        }
    }
}

/// What the rules of one request came to.
#[derive(Default)]
struct Tally {
    permits: Vec<String>,
    forbids: Vec<String>,
    errors: Vec<String>,
}

impl Tally {
    fn count(&mut self, rule: &Rule, holds: Result<bool, String>) {
        match (holds, rule.effect) {
            (Ok(true), Effect::Permit) => self.permits.push(rule.id.clone()),
            (Ok(true), Effect::Forbid) => self.forbids.push(rule.id.clone()),
            (Ok(false), _) => {}
            (Err(error), _) => {
                self.errors.push(format!("policy `{}` (line {}): {error}", rule.id, rule.line))
            }
        }
    }

    fn verdict(self) -> Verdict {
        let denied = !self.forbids.is_empty() || !self.errors.is_empty() || self.permits.is_empty();
        let policies = if denied { self.forbids } else { self.permits };
        let reasons = Reasons { policies, errors: self.errors };
        if denied { Verdict::Deny(reasons) } else { Verdict::Allow(reasons) }
    }
}

#[cfg(test)]
mod tests;
