//! Bounds on the policy text, before the parser sees it.
//!
//! Parsing, validating and evaluating recurse once for each level of nesting, and a syntax tree takes far more
//! memory than its text. Inside a component either would end in a trap, which is no way to say what is wrong.

use crate::facts::Diagnostic;

/// The most policies of one configuration.
pub const MAX_POLICIES: usize = 1_000;
/// The most tokens of the policy text.
pub(crate) const MAX_TOKENS: usize = 100_000;
/// The deepest nesting: see [`check`].
pub(crate) const MAX_DEPTH: usize = 128;
/// What one pair of brackets adds to the depth: the parser passes through all levels of precedence for each.
const BRACKET_DEPTH: usize = 4;

/// An open bracket, or the text outside of all.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Operators since the last comma: `a || b || c` nests twice.
    operators: usize,
    /// Member accesses and calls since the last operator: `a.b.c` nests twice.
    accesses: usize,
}

/// Checks that there are at most [`MAX_POLICIES`] policies, [`MAX_TOKENS`] tokens, and no expression deeper than
/// [`MAX_DEPTH`], where each operator and each access in a row counts 1 and each bracket 4.
pub(crate) fn check(text: &str) -> Result<(), Diagnostic> {
    let bytes = text.as_bytes();
    let mut scan = Scan { levels: vec![Level::default()], ..Scan::default() };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += match byte {
            b'"' => string_length(bytes.get(at..).unwrap_or_default()),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                bytes.iter().skip(at).position(|&b| b == b'\n').unwrap_or(bytes.len() - at)
            }
            b if is_word(b) => bytes.iter().skip(at).take_while(|&&b| is_word(b)).count(),
            b'&' | b'|' if bytes.get(at + 1) == Some(&byte) => 2,
            _ => 1,
        };
        let token = text.get(start..at).unwrap_or_default();
        if !byte.is_ascii_whitespace() {
            scan.token(token);
            scan.within_bounds().map_err(|problem| problem.on(Some(line_of(text, start))))?;
        }
    }
    Ok(())
}

/// The line, from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The length of the string literal that begins the text, with its quotes; an unfinished one takes the rest.
fn string_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[derive(Default)]
struct Scan {
    levels: Vec<Level>,
    tokens: usize,
    policies: usize,
    /// The sum over all levels, kept up to date.
    depth: usize,
}

impl Scan {
    fn token(&mut self, token: &str) {
        self.tokens += 1;
        match token {
            "(" | "[" | "{" => {
                self.access();
                self.levels.push(Level::default());
                self.depth += BRACKET_DEPTH;
            }
            ")" | "]" | "}" if self.levels.len() > 1 => {
                self.reset();
                self.levels.pop();
                self.depth -= BRACKET_DEPTH;
            }
            "." => self.access(),
            "&&" | "||" | "+" | "-" | "*" | "!" | "if" => self.operator(),
            "," => self.reset(),
            ";" => {
                self.reset();
                self.policies += usize::from(self.levels.len() == 1);
            }
            _ => {}
        }
    }

    fn access(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.accesses += 1;
            self.depth += 1;
        }
    }

    fn operator(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            self.depth = self.depth - level.accesses + 1;
            level.accesses = 0;
            level.operators += 1;
        }
    }

    fn reset(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            self.depth -= level.operators + level.accesses;
            *level = Level::default();
        }
    }

    fn within_bounds(&self) -> Result<(), Diagnostic> {
        let problem = if self.policies > MAX_POLICIES {
            format!("more than {MAX_POLICIES} policies; join some")
        } else if self.tokens > MAX_TOKENS {
            format!(
                "the policies have more than {MAX_TOKENS} tokens; use groups and tags in place of long lists"
            )
        } else if self.depth > MAX_DEPTH {
            format!(
                "this expression nests deeper than {MAX_DEPTH}; split the policy, or use a set or a group"
            )
        } else {
            return Ok(());
        };
        Err(Diagnostic::new(problem))
    }
}

#[cfg(test)]
mod tests;
