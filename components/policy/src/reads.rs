//! Which facts an expression can read, found from its syntax tree. Nothing else is built for a decision.

use crate::vocabulary::Kind;
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Var};

/// A set of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads(u32);

impl Reads {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const METHOD: Self = Self(1);
    pub(crate) const SCHEME: Self = Self(1 << 1);
    pub(crate) const HOST: Self = Self(1 << 2);
    pub(crate) const PATH: Self = Self(1 << 3);
    pub(crate) const QUERY: Self = Self(1 << 4);
    pub(crate) const CLIENT_ADDRESS: Self = Self(1 << 5);
    pub(crate) const HEADERS: Self = Self(1 << 6);
    pub(crate) const TIME: Self = Self(1 << 7);
    pub(crate) const RECEIVED_AT: Self = Self(1 << 8);
    pub(crate) const BODY_LENGTH: Self = Self(1 << 9);
    pub(crate) const COMPONENT: Self = Self(1 << 10);
    pub(crate) const TRACE_ID: Self = Self(1 << 11);
    /// Every attribute of the context.
    pub(crate) const CONTEXT: Self = Self((1 << 12) - 1);
    /// The principal's groups or tags.
    pub(crate) const PRINCIPAL: Self = Self(1 << 12);
    /// The action's groups.
    pub(crate) const ACTION: Self = Self(1 << 13);
    /// The parents, attributes or tags of route, app or tenant.
    pub(crate) const RESOURCE: Self = Self(1 << 14);
    /// What this expression can read. A policy that was validated reads no attribute but the schema's.
    pub(crate) fn of(expression: &Expr) -> Self {
        let mut reads = Self::NOTHING;
        let mut mentions = Self::NOTHING;
        let mut looks_up = false;
        // How often `context` stands there, and how often of these as the left side of an attribute.
        let (mut contexts, mut accesses) = (0_usize, 0_usize);
        for part in expression.subexpressions() {
            match part.expr_kind() {
                ExprKind::Var(Var::Context) => contexts += 1,
                ExprKind::Var(Var::Principal) => mentions = mentions.and(Self::PRINCIPAL),
                ExprKind::Var(Var::Action) => mentions = mentions.and(Self::ACTION),
                ExprKind::Var(Var::Resource) => mentions = mentions.and(Self::RESOURCE),
                ExprKind::Lit(Literal::EntityUID(uid)) => {
                    mentions = mentions.and(Self::named_by(Kind::of(uid)))
                }
                ExprKind::BinaryApp { op: BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag, .. } => {
                    looks_up = true
                }
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                    if is_context(expr) {
                        accesses += 1;
                        reads = reads.and(Self::attribute(attr));
                    } else {
                        looks_up = true;
                    }
                }
                ExprKind::ExtHasAttr { expr, attrs } => {
                    looks_up = true;
                    if is_context(expr) {
                        accesses += 1;
                        reads = reads.and(Self::attribute(attrs.first()));
                    }
                }
                _ => {}
            }
        }
        if contexts != accesses {
            reads = reads.and(Self::CONTEXT);
        }
        if looks_up { reads.and(mentions) } else { reads }
    }

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of these is read.
    pub(crate) const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    fn attribute(name: &str) -> Self {
        match name {
            "method" => Self::METHOD,
            "scheme" => Self::SCHEME,
            "host" => Self::HOST,
            "path" => Self::PATH,
            "query" => Self::QUERY,
            "clientAddress" => Self::CLIENT_ADDRESS,
            "headers" => Self::HEADERS,
            "time" => Self::TIME,
            "receivedAt" => Self::RECEIVED_AT,
            "bodyLength" => Self::BODY_LENGTH,
            "component" => Self::COMPONENT,
            "traceId" => Self::TRACE_ID,
            _ => Self::CONTEXT,
        }
    }

    /// A policy may name an entity that turns out to be the request's own.
    fn named_by(kind: Option<Kind>) -> Self {
        match kind {
            Some(Kind::Client | Kind::Anonymous | Kind::Host) => Self::PRINCIPAL,
            Some(Kind::Route | Kind::App | Kind::Tenant) => Self::RESOURCE,
            Some(Kind::Group | Kind::Action | Kind::Headers) | None => Self::NOTHING,
        }
    }
}

fn is_context(expression: &Expr) -> bool {
    matches!(expression.expr_kind(), ExprKind::Var(Var::Context))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(expression: &str) -> Reads {
        Reads::of(&expression.parse().unwrap())
    }

    #[test]
    fn attributes_of_the_context_are_told_apart() {
        assert_eq!(reads("true"), Reads::NOTHING);
        assert_eq!(reads("context.path like \"/*\" || context[\"path\"] == \"/\""), Reads::PATH);
        assert_eq!(
            reads("context has query && context.host == context.query"),
            Reads::QUERY.and(Reads::HOST)
        );
        assert_eq!(reads("context.headers.hasTag(\"a\")"), Reads::HEADERS);
        assert_eq!(reads("!(context has headers.a)"), Reads::HEADERS);
    }

    #[test]
    fn a_context_that_is_passed_on_is_read_whole() {
        assert_eq!(reads("context == context"), Reads::CONTEXT);
        assert_eq!(reads("(if true then context else context).path == \"/\""), Reads::CONTEXT);
        assert_eq!(reads("context.path == \"/\" && [context].contains(context)"), Reads::CONTEXT);
        assert_eq!(reads("context.unheardOf"), Reads::CONTEXT);
    }

    #[test]
    fn entities_are_read_only_where_something_is_looked_up() {
        assert_eq!(reads("principal == Client::\"a/b\" && resource == resource"), Reads::NOTHING);
        assert_eq!(reads("principal in Group::\"a/b\""), Reads::PRINCIPAL);
        assert_eq!(reads("resource.app == App::\"a/b\""), Reads::RESOURCE);
        assert_eq!(reads("Client::\"a/b\".hasTag(\"x\")"), Reads::PRINCIPAL);
        assert_eq!(reads("action in Action::\"read\""), Reads::ACTION);
        assert_eq!(reads("Group::\"a/b\" in Group::\"a/c\""), Reads::NOTHING);
    }
}
