//! The paths that code names: `a::b::c`, with the braces of `use` spread out.

use crate::lexer::{Kind, Token};
use std::collections::BTreeSet;

/// A path, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The modules written out in the file that it stands in.
    pub(crate) within: Vec<&'a str>,
    /// Its parts; `*` ends a glob.
    pub(crate) parts: Vec<&'a str>,
    /// What a `use` calls it here.
    pub(crate) alias: Option<&'a str>,
}

/// What a file names and defines.
#[derive(Default)]
pub(crate) struct Uses<'a> {
    /// Every path of two parts and more, and every `use`.
    pub(crate) named: Vec<Named<'a>>,
    /// The items that it defines, wherever in the file.
    pub(crate) defined: BTreeSet<&'a str>,
}

/// Reads tokens.
pub(crate) fn uses<'a>(tokens: &[Token<'a>]) -> Uses<'a> {
    Reader { tokens, at: 0, within: Vec::new(), uses: Uses::default() }.read()
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// The modules open here, each with the depth of its brace.
    within: Vec<(&'a str, usize)>,
    uses: Uses<'a>,
}

impl<'a> Reader<'_, 'a> {
    fn read(mut self) -> Uses<'a> {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(self.at).copied() {
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
                self.within.retain(|&(_, open)| open <= depth);
            } else if token.is("use") && self.ident(1).is_some_and(|next| next != "<") {
                self.at += 1;
                self.tree(&[]);
                continue;
            } else if let (Some(name), true, true) = (self.ident(1), token.is("mod"), self.sign(2, "{")) {
                self.within.push((name, depth + 1));
            } else if token.kind == Kind::Ident {
                self.definition(token);
                self.path();
                continue;
            }
            self.at += 1;
        }
        self.uses
    }

    fn ident(&self, ahead: usize) -> Option<&'a str> {
        let token = self.tokens.get(self.at + ahead)?;
        (token.kind == Kind::Ident || token.is("::") || token.is("{")).then_some(token.text)
    }

    fn sign(&self, ahead: usize, text: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.is(text))
    }

    fn definition(&mut self, keyword: Token<'a>) {
        const KEYWORDS: [&str; 9] =
            ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];
        let ahead = if self.sign(1, "!") { 2 } else { 1 };
        if KEYWORDS.contains(&keyword.text)
            && let Some(name) = self.ident(ahead)
        {
            self.uses.defined.insert(name);
        }
    }

    /// Takes the path that starts here, and records it if it has several parts.
    ///
    /// A macro's own name is left out, as exported ones stand at the root and not in their module. So is what a macro
    /// names by `$crate`: it is needed where the macro is used.
    fn path(&mut self) {
        let line = self.tokens[self.at].line;
        let goes_on = self.at > 0 && ["::", "$"].iter().any(|sign| self.tokens[self.at - 1].is(sign));
        let mut parts = vec![self.tokens[self.at].text];
        self.at += 1;
        while self.sign(0, "::")
            && let Some(next) = self.tokens.get(self.at + 1).filter(|next| next.kind == Kind::Ident)
        {
            parts.push(next.text);
            self.at += 2;
        }
        if self.sign(0, "!") && !self.sign(1, "=") {
            parts.pop();
        }
        if parts.len() > 1 && !goes_on {
            self.record(line, parts, None);
        }
    }

    /// Takes one branch of a `use`, up to what ends it.
    fn tree(&mut self, before: &[&'a str]) {
        let mut parts = before.to_vec();
        let mut line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut alias = None;
        while let Some(token) = self.tokens.get(self.at).copied() {
            if token.is("{") {
                self.at += 1;
                while self.at < self.tokens.len() && !self.sign(0, "}") {
                    self.tree(&parts);
                    self.at += usize::from(self.sign(0, ","));
                    if self.sign(0, ";") {
                        return;
                    }
                }
                self.at += 1;
                return;
            }
            if token.is(";") || token.is(",") || token.is("}") {
                break;
            }
            self.at += 1;
            if token.is("as") {
                alias = self.ident(0);
                self.at += 1;
            } else if token.kind == Kind::Ident || token.is("*") {
                line = token.line;
                // `a::{self}` is `a`; `self::a` stays.
                if !token.is("self") || parts.is_empty() {
                    parts.push(token.text);
                }
            } else if !token.is("::") {
                return;
            }
        }
        let alias = alias.or(parts.last().copied());
        if !parts.is_empty() {
            self.record(line, parts, alias);
        }
    }

    fn record(&mut self, line: usize, parts: Vec<&'a str>, alias: Option<&'a str>) {
        let within = self.within.iter().map(|&(name, _)| name).collect();
        self.uses.named.push(Named { line, within, parts, alias });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn read(text: &str) -> Vec<String> {
        let tokens = lex(text).tokens;
        let show = |named: &Named<'_>| {
            let alias = named.alias.map(|alias| format!(" as {alias}")).unwrap_or_default();
            format!("{}{}{alias}", named.within.iter().map(|name| format!("[{name}]")).collect::<String>(), {
                named.parts.join("::")
            })
        };
        uses(&tokens).named.iter().map(show).collect()
    }

    #[test]
    fn braces_of_use_are_spread_out() {
        assert_eq!(
            read("pub use crate::{a::{self, B as C}, d::*}; use ::e; g"),
            ["crate::a as a", "crate::a::B as C", "crate::d::* as *", "e as e"]
        );
    }

    #[test]
    fn paths_in_code_count_and_methods_do_not() {
        assert_eq!(read("x: crate::a::B<super::C> = y.z(D::e::<F>())"), ["crate::a::B", "super::C", "D::e"]);
        assert_eq!(read("<T as A::B>::C::d"), ["A::B"]);
    }

    #[test]
    fn macros_are_no_part_of_a_path() {
        assert_eq!(
            read("crate::log!(a::b); a::c::d!(); use $crate::e::f; a::g != h"),
            ["a::b", "a::c", "a::g"]
        );
    }

    #[test]
    fn modules_written_out_are_named() {
        assert_eq!(read("mod a { mod b { use c; } use d; } use e;"), ["[a][b]c as c", "[a]d as d", "e as e"]);
    }

    #[test]
    fn a_capture_is_no_use() {
        assert_eq!(read("fn f() -> impl A + use<'a> { b::c }"), ["b::c"]);
    }

    #[test]
    fn a_use_that_is_cut_short_ends() {
        for text in ["use", "use a::{", "use a::{b,", "use a::{b;", "use {{{", "use a as"] {
            read(text);
        }
    }
}
