//! Rust as tokens and comments: enough to tell code from strings and comments, and tests from the rest.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Ident,
    /// A string of any sort; its text is what stands between the quotes.
    Text,
    /// A sign; `::` is one.
    Sign,
    /// Numbers, characters, lifetimes.
    Other,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) kind: Kind,
    /// As written.
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// Whether it is this name or sign.
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Ident | Kind::Sign) && self.text == text
    }
}

/// A file in pieces.
pub(crate) struct Source<'a> {
    /// The code.
    pub(crate) tokens: Vec<Token<'a>>,
    /// Each line of each comment, with its line.
    pub(crate) comments: Vec<(usize, &'a str)>,
}

/// Takes a file apart. Code that does not compile gives some tokens, never a panic.
pub(crate) fn lex(text: &str) -> Source<'_> {
    let mut source = Source { tokens: Vec::new(), comments: Vec::new() };
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") || rest.starts_with("/*") {
            let length = comment_length(rest);
            let lines = rest[..length].lines().enumerate();
            source.comments.extend(lines.map(|(offset, text)| (line + offset, text)));
            length
        } else {
            let (kind, length, inner) = token(rest, first);
            source.tokens.push(Token { line, kind, text: inner });
            length
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    source
}

fn comment_length(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let bytes = &rest.as_bytes()[at..];
        if bytes.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if bytes.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The kind, the length and the text of the token that comes first.
fn token(rest: &str, first: char) -> (Kind, usize, &str) {
    if let Some((start, end, length)) = string(rest) {
        return (Kind::Text, length, &rest[start..end]);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |from: usize| rest[from..].find(|c| !is_word(c)).map_or(rest.len(), |end| from + end);
    if let Some(raw) = rest.strip_prefix("r#")
        && raw.starts_with(|c: char| c.is_alphabetic() || c == '_')
    {
        return (Kind::Ident, word(2), &rest[2..word(2)]);
    }
    if is_word(first) {
        let kind = if first.is_ascii_digit() { Kind::Other } else { Kind::Ident };
        return (kind, word(0), &rest[..word(0)]);
    }
    let length = match first {
        '\'' => quote_length(rest).unwrap_or_else(|| word(1)),
        ':' if rest.starts_with("::") => 2,
        _ => first.len_utf8(),
    };
    let kind = if first == '\'' { Kind::Other } else { Kind::Sign };
    (kind, length, &rest[..length])
}

/// Where the inside of a string starts and ends, and the length of the whole.
fn string(rest: &str) -> Option<(usize, usize, usize)> {
    let prefix = rest.find(|c| !matches!(c, 'r' | 'b' | 'c'))?;
    let raw = match &rest[..prefix] {
        "" | "b" | "c" => false,
        "r" | "br" | "cr" => true,
        _ => return None,
    };
    let hashes = rest[prefix..].find(|c| c != '#')?;
    let start = prefix + hashes + 1;
    if !rest[prefix + hashes..].starts_with('"') || (!raw && hashes > 0) {
        return None;
    }
    if raw {
        let close = format!("\"{}", "#".repeat(hashes));
        let end = rest[start..].find(&close).map_or(rest.len(), |end| start + end);
        return Some((start, end, (end + close.len()).min(rest.len())));
    }
    let end = closing(rest, start, b'"').unwrap_or(rest.len());
    Some((start, end, (end + 1).min(rest.len())))
}

/// The length of a character; none for a lifetime.
fn quote_length(rest: &str) -> Option<usize> {
    let mut chars = rest[1..].chars();
    match chars.next()? {
        '\\' => closing(rest, 1, b'\'').map(|end| end + 1),
        other => (chars.next()? == '\'').then_some(other.len_utf8() + 2),
    }
}

/// The next such quote that no backslash stands before.
fn closing(rest: &str, from: usize, quote: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

impl<'a> Source<'a> {
    /// The tokens without what stands behind `#[cfg(test)]`.
    pub(crate) fn outside_tests(&self) -> Vec<Token<'a>> {
        self.split().0
    }

    /// The names of the modules declared behind `#[cfg(test)]` that are files of their own.
    pub(crate) fn test_modules(&self) -> Vec<&'a str> {
        let module = |item: &[Token<'a>]| {
            let keyword = item.iter().position(|token| token.is("mod"))?;
            let [name, end, ..] = item.get(keyword + 1..)? else { return None };
            end.is(";").then_some(name.text)
        };
        self.split().1.into_iter().filter_map(module).collect()
    }

    /// What is no test, and each item that is.
    fn split(&self) -> (Vec<Token<'a>>, Vec<&[Token<'a>]>) {
        let tokens = &self.tokens;
        let (mut kept, mut tests) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let inner = usize::from(tokens.get(at + 1).is_some_and(|token| token.is("!")));
            let opens = tokens.get(at + 1 + inner).is_some_and(|token| token.is("["));
            if !(tokens[at].is("#") && opens) {
                kept.push(tokens[at]);
                at += 1;
                continue;
            }
            let end = group_end(tokens, at + 1 + inner);
            if !is_cfg_test(&tokens[at..end]) {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            } else if inner == 1 {
                return (Vec::new(), tests);
            } else {
                let item_end = item_end(tokens, end);
                tests.push(&tokens[end..item_end]);
                at = item_end;
            }
        }
        (kept, tests)
    }
}

fn is_cfg_test(attribute: &[Token<'_>]) -> bool {
    let has = |name| attribute.iter().any(|token| token.is(name));
    has("cfg") && has("test") && !has("not")
}

/// The place after the bracket that closes the one here.
fn group_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.kind == Kind::Sign {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The place after the item, field or arm that starts here, with the attributes that it may have.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    const ITEMS: [&str; 15] = [
        "pub", "fn", "mod", "use", "struct", "enum", "impl", "const", "static", "type", "trait", "async",
        "unsafe", "extern", "let",
    ];
    let mut at = start;
    while tokens.get(at).is_some_and(|token| token.is("#")) {
        at = group_end(tokens, at + 1);
    }
    let is_item = tokens.get(at).is_some_and(|token| ITEMS.iter().any(|item| token.is(item)));
    while let Some(token) = tokens.get(at) {
        if token.is("{") {
            return group_end(tokens, at);
        }
        if token.is("(") || token.is("[") {
            at = group_end(tokens, at);
        } else if token.is(";") || (token.is(",") && !is_item) {
            return at + 1;
        } else if token.is("}") {
            return at;
        } else {
            at += 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        lex(text).tokens.iter().map(|token| token.text).collect()
    }

    #[test]
    fn strings_characters_and_lifetimes_are_told_apart() {
        assert_eq!(words(r##"a("b\"//", r#"c"d"#, b"e", '\'', '"', 'x', &'life y)"##).join(" "), {
            r##"a ( b\"// , c"d , e , '\'' , '"' , 'x' , & 'life y )"##
        });
        assert_eq!(words("r#type::b'x'"), ["type", "::", "b", "'x'"]);
    }

    #[test]
    fn comments_nest_and_keep_their_lines() {
        let source = lex("a // one\n/* two /* three */\nfour */ b \"\n\" c");
        assert_eq!(source.comments, [(1, "// one"), (2, "/* two /* three */"), (3, "four */")]);
        let lines: Vec<_> = source.tokens.iter().map(|token| (token.line, token.text)).collect();
        assert_eq!(lines, [(1, "a"), (3, "b"), (3, "\n"), (4, "c")]);
    }

    #[test]
    fn what_is_cut_short_does_not_panic() {
        for text in ["\"", "r#\"", "'", "'\\", "/*", "/* /*", "b\"\\", "#[cfg(test)]", "#[", "r#", "'é"] {
            let source = lex(text);
            source.outside_tests();
            assert_eq!(source.test_modules().len(), 0, "{text}");
        }
    }

    #[test]
    fn items_behind_cfg_test_are_left_out_and_nothing_else() {
        let kept = |text| {
            let source = lex(text);
            source.outside_tests().iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kept("a; #[cfg(test)] #[allow(x)] mod tests { b; } c;"), "a ; c ;");
        assert_eq!(kept("#[cfg(test)] fn f<A, B>(a: [u8; 4]) -> A { b } c"), "c");
        assert_eq!(kept("#[cfg(all(test, unix))] use a::b; c"), "c");
        assert_eq!(kept("struct S { #[cfg(test)] a: u8, b: u8 }"), "struct S { b : u8 }");
        assert_eq!(kept("#[cfg(not(test))] use a;"), "# [ cfg ( not ( test ) ) ] use a ;");
        assert_eq!(kept("#![cfg(test)] use a;"), "");
    }
}
