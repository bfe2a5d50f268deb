//! What must not be written, and how long a file may be.

use crate::tree::{Tree, assert_none, is_in, listed, root};

/// The most lines of a Rust file. The design says about 200 for most, and at 800 everything stops.
const MAX_LINES: usize = 600;

/// Marks of work left over. Each names its issue: `TODO(#12)`.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Words of a sketch, in comments outside tests.
const SKETCHES: [&str; 8] =
    ["stub", "stubs", "stubbed", "placeholder", "placeholders", "for now", "simplified", "dummy"];

/// Whose text is searched for marks, besides Rust's comments.
const SOURCES: [&str; 9] = ["toml", "wit", "wat", "js", "ts", "py", "sh", "yml", "cedarschema"];

/// Whose words are not ours to change: the files are pinned by digest.
const OTHERS: &str = "wit/deps";

/// Folders that only a machine of ours has; spelt so that this file does not have them.
const MACHINE: [&str; 3] = [concat!("/", "root/"), concat!("/", "home/"), concat!("/", "work/")];

fn lengths(tree: &Tree) -> Vec<String> {
    let long = tree
        .rust()
        .map(|rust| (rust.path, rust.text.lines().count()))
        .filter(|&(_, lines)| lines > MAX_LINES);
    long.map(|(path, lines)| {
        format!(
            "{path}:{}: {lines} lines, above {MAX_LINES}: split it by what it does, long before 800",
            MAX_LINES + 1
        )
    })
    .collect()
}

fn marks(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    let mut search = |path: &str, line: usize, text: &str| {
        for mark in MARKS {
            if words_at(text, mark).any(|end| !names_issue(&text[end..])) {
                problems.push(format!(
                    "{path}:{line}: a bare {mark}: do it, or open an issue and write {mark}(#number)"
                ));
            }
        }
    };
    for rust in tree.rust() {
        for (line, text) in rust.source.comments {
            search(rust.path, line, text);
        }
    }
    for (path, text) in tree.texts("").filter(|(path, _)| !is_in(path, OTHERS)) {
        if SOURCES.iter().any(|end| path.rsplit_once('.').is_some_and(|(_, extension)| extension == *end)) {
            for (index, text) in text.lines().enumerate() {
                search(path, index + 1, text);
            }
        }
    }
    problems
}

fn sketches(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for rust in tree.rust().filter(|rust| !rust.is_test) {
        let tokens = rust.source.outside_tests();
        for pair in tokens.windows(2) {
            if (pair[0].is("todo") || pair[0].is("unimplemented")) && pair[1].is("!") {
                problems.push(format!("{}:{}: `{}!`: write the code", rust.path, pair[0].line, pair[0].text));
            }
        }
        for &(line, text) in &rust.source.comments {
            let text = text.to_lowercase();
            for word in SKETCHES.iter().filter(|word| words_at(&text, word).next().is_some()) {
                problems.push(format!(
                    "{}:{line}: `{word}` in a comment: build the final thing, or say what it is instead",
                    rust.path
                ));
            }
        }
    }
    problems
}

fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in tree.texts("") {
        for (index, line) in text.lines().enumerate() {
            for folder in MACHINE.iter().filter(|folder| is_absolute(line, folder)) {
                problems.push(format!(
                    "{path}:{}: `{folder}` is a folder of one machine: make it relative",
                    index + 1
                ));
            }
        }
    }
    problems
}

fn built(paths: impl IntoIterator<Item = String>) -> Vec<String> {
    let built = paths.into_iter().filter(|path| path.ends_with(".wasm") || path.ends_with(".cwasm"));
    built
        .map(|path| format!("{path}:1: built, not written: `git rm --cached` it and build it from source"))
        .collect()
}

/// The ends of each place where a word stands alone.
fn words_at<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .filter(move |(at, _)| !text[..*at].ends_with(joins) && !text[at + word.len()..].starts_with(joins))
        .map(move |(at, _)| at + word.len())
}

/// Whether `(#12)` comes next.
fn names_issue(rest: &str) -> bool {
    let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// Whether a folder stands at the start of a path.
fn is_absolute(line: &str, folder: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || "_-.~*}".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(joins))
}

#[test]
fn no_rust_file_is_too_long() {
    assert_none(&lengths(&Tree::here()));
}

#[test]
fn work_left_over_names_its_issue() {
    assert_none(&marks(&Tree::here()));
}

#[test]
fn nothing_calls_itself_a_sketch() {
    assert_none(&sketches(&Tree::here()));
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    assert_none(&machine_paths(&Tree::here()));
}

#[test]
fn nothing_built_is_tracked() {
    assert_none(&built(listed(&root(), &["--cached"])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named() {
        let (good, bad) = ("\n".repeat(MAX_LINES), "\n".repeat(MAX_LINES + 1));
        let found = lengths(&Tree::of(&[("a.rs", &good), ("b.rs", &bad), ("c.txt", &bad)]));
        assert_eq!(found, ["b.rs:601: 601 lines, above 600: split it by what it does, long before 800"]);
    }

    #[test]
    fn only_marks_without_an_issue_are_named() {
        let found = marks(&Tree::of(&[
            (
                "a.rs",
                "// TODO(#12): x\n// TODO: y\nconst S: &str = \"TODO\"; // TODOS, mktemp XXXXXX\n/* FIXME(#) */",
            ),
            ("b.toml", "todo = \"deny\"\n# XXX"),
            ("c.md", "TODO"),
        ]));
        let starts: Vec<_> = found.iter().map(|found| found.split(": do").next().unwrap()).collect();
        assert_eq!(starts, ["a.rs:2: a bare TODO", "a.rs:4: a bare FIXME", "b.toml:2: a bare XXX"]);
    }

    #[test]
    fn sketches_are_named_outside_tests_only() {
        let found = sketches(&Tree::of(&[
            (
                "a/src/lib.rs",
                "/// A Stub.\nfn f() { todo!() }\n// stubborn; simplified\n#[cfg(test)] mod t { fn g() { todo!() } }",
            ),
            ("a/src/tests.rs", "// a stub"),
        ]));
        let lines: Vec<_> =
            found.iter().map(|found| found.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            ["a/src/lib.rs:2: `todo!`:", "a/src/lib.rs:1: `stub`", "a/src/lib.rs:3: `simplified`"]
        );
    }

    #[test]
    fn machine_paths_are_told_from_relative_ones() {
        let home = MACHINE[1];
        let text = format!("a\n\"{home}me\"\nhttps://a.org{home}\n$PWD{home} {{root}}{home} ..{home}");
        assert_eq!(machine_paths(&Tree::of(&[("a.md", &text)])).len(), 1);
    }

    #[test]
    fn built_files_are_named() {
        let found = built(["a.wasm", "b.cwasm", "c.wat"].map(str::to_owned));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
