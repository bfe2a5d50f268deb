//! The policy text to checked rules.

use crate::directory::Directory;
use crate::facts::Diagnostic;
use crate::reads::Reads;
use crate::size::{self, line_of};
use crate::vocabulary::{Kind, Vocabulary};
use cedar_policy_core::ast::{
    Effect, Entity, EntityUID, Expr, ExprKind, Literal, Policy, PolicyID, PolicySet,
};
use cedar_policy_core::validator::ValidationMode;
use cedar_policy_core::{est, parser};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest policy id in bytes.
const MAX_ID_BYTES: usize = 128;
/// After so many diagnostics the rest is left out.
const MAX_DIAGNOSTICS: usize = 50;

/// One policy, ready to be evaluated.
pub(crate) struct Rule {
    pub(crate) id: String,
    /// Where it begins in the text, from 1.
    pub(crate) line: u32,
    pub(crate) effect: Effect,
    /// The policy with its scope; without source locations, which cost time at each step of the evaluation.
    pub(crate) policy: Policy,
    /// Its `when` and `unless` clauses, if it has any.
    pub(crate) condition: Option<Arc<Expr>>,
    /// What the condition reads.
    pub(crate) reads: Reads,
    /// The configured entities that the condition names.
    pub(crate) named: Vec<Arc<Entity>>,
}

/// Parses and validates the policies. The rules come sorted by id.
pub(crate) fn parse(
    text: &str,
    words: &Vocabulary,
    directory: &Directory,
) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    size::check(text).map_err(|problem| vec![problem])?;
    let set = parser::parse_policyset(text).map_err(|errors| {
        errors.iter().take(MAX_DIAGNOSTICS).map(|error| explain(error, text)).collect::<Vec<_>>()
    })?;
    let mut problems: Vec<Diagnostic> = set
        .templates()
        .map(|template| {
            let line = template.loc().map(|loc| line_of(text, loc.start()));
            Diagnostic::new(
                "a policy with `?principal` or `?resource` is a template; name the entity instead",
            )
            .on(line)
        })
        .collect();
    let mut rules = Vec::new();
    let mut lines: HashMap<String, u32> = HashMap::new();
    for policy in in_order(&set) {
        let line = policy.loc().map_or(1, |loc| line_of(text, loc.start()));
        match checked(policy, text, line, words, directory) {
            Ok(rule) => {
                if let Some(first) = lines.insert(rule.id.clone(), line) {
                    let message = format!("the id `{}` is also that of the policy on line {first}", rule.id);
                    problems.push(Diagnostic::new(message).at(&rule.id).on(Some(line)));
                }
                rules.push(rule);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        return Ok(rules);
    }
    problems.sort_by_key(|problem| problem.line);
    problems.truncate(MAX_DIAGNOSTICS);
    Err(problems)
}

/// The policies as they stand in the text.
fn in_order(set: &PolicySet) -> Vec<&Policy> {
    let mut policies: Vec<&Policy> = set.static_policies().collect();
    policies.sort_by_key(|policy| policy.loc().map_or(0, parser::Loc::start));
    policies
}

fn checked(
    policy: &Policy,
    text: &str,
    line: u32,
    words: &Vocabulary,
    directory: &Directory,
) -> Result<Rule, Vec<Diagnostic>> {
    let id = id_of(policy).map_err(|message| vec![Diagnostic::new(message).on(Some(line))])?;
    let policy = policy.new_id(PolicyID::from_string(&id));
    let found = |problem: Diagnostic| {
        let line = problem.line.or(Some(line));
        problem.at(&id).on(line)
    };
    let single = PolicySet::singleton(policy.clone());
    let result = words.validator.validate(&single, ValidationMode::Strict);
    // Cedar reports a mistake once for each action and type of principal.
    let mut problems: Vec<_> = result.validation_errors().map(|error| found(explain(error, text))).collect();
    let condition = policy.condition();
    for (uid, at) in literals(&condition) {
        if let Some(Err(shape)) = Kind::of(uid).map(|kind| kind.check_id(uid.eid().as_ref())) {
            let line = at.map(|at| line_of(text, at));
            problems.push(found(
                Diagnostic::new(format!("`{uid}` can never match: the id must be {shape}")).on(line),
            ));
        }
    }
    if !problems.is_empty() {
        problems.sort_by(|a, b| (a.line, &a.message).cmp(&(b.line, &b.message)));
        problems.dedup();
        return Err(problems);
    }
    let plain = without_locations(&policy, &id).map_err(|message| vec![found(Diagnostic::new(message))])?;
    let condition = plain.non_scope_constraints_arc().map(Arc::clone);
    let reads = condition.as_deref().map_or(Reads::NOTHING, Reads::of);
    let named = condition.iter().flat_map(|condition| literals(condition));
    let mut named: Vec<_> = named.filter_map(|(uid, _)| directory.get(uid).map(Arc::clone)).collect();
    named.sort_by(|a, b| a.uid().cmp(b.uid()));
    named.dedup_by(|a, b| a.uid() == b.uid());
    Ok(Rule { id, line, effect: plain.effect(), policy: plain, condition, reads, named })
}

/// The id from `@id("…")`, or the one that Cedar counted.
fn id_of(policy: &Policy) -> Result<String, String> {
    let Some((_, annotation)) = policy.annotations().find(|(key, _)| key.as_ref() == "id") else {
        return Ok(policy.id().to_string());
    };
    let id = annotation.val.as_str();
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(format!("a policy's id must have 1 to {MAX_ID_BYTES} bytes and no control characters"));
    }
    Ok(id.to_owned())
}

/// The same policy, rebuilt from its syntax tree alone.
fn without_locations(policy: &Policy, id: &str) -> Result<Policy, String> {
    let tree = est::Policy::from(policy.clone());
    tree.try_into_ast_policy(Some(PolicyID::from_string(id))).map_err(|error| error.to_string())
}

/// Every entity that an expression names, with the place in the text where it is known.
fn literals(expression: &Expr) -> impl Iterator<Item = (&EntityUID, Option<usize>)> {
    expression.subexpressions().filter_map(|part| match part.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => {
            Some((uid.as_ref(), part.source_loc().or_else(|| uid.loc()).map(parser::Loc::start)))
        }
        _ => None,
    })
}

/// Cedar's error with its help, as one of ours.
fn explain(error: &dyn miette::Diagnostic, text: &str) -> Diagnostic {
    // Cedar begins validation messages with the policy's id, which has a field of its own here.
    let message = error.to_string();
    let message = match message.split_once("`, ") {
        Some((start, rest)) if start.starts_with("for policy `") => rest,
        _ => &message,
    };
    let message = without_action(message);
    let message = match error.help() {
        Some(help) => format!("{message}; {help}"),
        None => message,
    };
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    Diagnostic::new(message).on(offset.map(|offset| line_of(text, offset)))
}

/// Every action has the same context, so which one Cedar tried is of no use: `context for Action::"GET"`.
fn without_action(message: &str) -> String {
    let named = message.split_once(" in context for Action::\"");
    match named.and_then(|(before, rest)| Some((before, rest.split_once('"')?.1))) {
        Some((before, after)) => format!("{before} in context{after}"),
        None => message.to_owned(),
    }
}
