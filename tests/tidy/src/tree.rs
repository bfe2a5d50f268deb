//! The files of the repository.

use crate::lexer::{Source, lex};
use crate::paths::{Uses, uses};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository, with its text unless it is binary.
pub(crate) struct File {
    /// The path from the root, with `/`.
    pub(crate) path: String,
    /// None if it is not UTF-8.
    pub(crate) text: Option<String>,
}

/// What the checks read.
pub(crate) struct Tree {
    /// Sorted by path.
    pub(crate) files: Vec<File>,
    /// What is a test and nothing else: `tests.rs`, folders called `tests`, and modules behind `#[cfg(test)]`.
    test_files: BTreeSet<String>,
}

impl Tree {
    /// This repository: what git tracks, and what it would track if added, so that a fault shows before the commit.
    pub(crate) fn here() -> Self {
        let root = root();
        let files = listed(&root, &["--cached", "--others", "--exclude-standard"])
            .into_iter()
            .filter_map(|path| {
                // A file that git knows may be deleted and not yet committed.
                let bytes = std::fs::read(root.join(&path)).ok()?;
                Some(File { path, text: String::from_utf8(bytes).ok() })
            })
            .collect();
        Self::new(files)
    }

    /// An invented tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File { path: path.to_owned(), text: Some(text.to_owned()) };
        Self::new(files.iter().map(file).collect())
    }

    fn new(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut tree = Self { files, test_files: BTreeSet::new() };
        let mut behind_cfg = Vec::new();
        for rust in tree.rust() {
            behind_cfg.extend(rust.source.test_modules().into_iter().map(|name| rust.child(name)));
        }
        tree.test_files = tree
            .files
            .iter()
            .map(|file| &file.path)
            .filter(|path| {
                let below = |stem: &String| path.strip_prefix(stem.as_str()).is_some_and(is_module_end);
                is_test_by_name(path) || behind_cfg.iter().any(below)
            })
            .cloned()
            .collect();
        tree
    }

    /// The text files below a folder; the empty folder is the root.
    pub(crate) fn texts<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |file| is_in(&file.path, folder))
            .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
    }

    /// One file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text.as_deref()
    }

    /// Every Rust file.
    pub(crate) fn rust(&self) -> impl Iterator<Item = Rust<'_>> {
        self.texts("").filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| Rust {
            path,
            text,
            source: lex(text),
            is_test: self.test_files.contains(path),
        })
    }
}

/// A Rust file, read.
pub(crate) struct Rust<'a> {
    /// The path from the root.
    pub(crate) path: &'a str,
    /// As it is written.
    pub(crate) text: &'a str,
    /// Its tokens and comments.
    pub(crate) source: Source<'a>,
    /// Whether all of it is test code.
    pub(crate) is_test: bool,
}

impl<'a> Rust<'a> {
    /// The paths that it names outside tests.
    pub(crate) fn uses(&self) -> Uses<'a> {
        if self.is_test { Uses::default() } else { uses(&self.source.outside_tests()) }
    }

    /// Where a module declared in this file lies, without the ending.
    fn child(&self, name: &str) -> String {
        let stem = self.path.strip_suffix(".rs").unwrap_or(self.path);
        let (folder, file) = stem.rsplit_once('/').unwrap_or(("", stem));
        if matches!(file, "lib" | "main" | "mod") {
            format!("{folder}/{name}")
        } else {
            format!("{stem}/{name}")
        }
    }
}

/// The packages below the folder `tests` of the workspace have sources of their own, which are no tests by name.
fn is_test_by_name(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folders = folders.split('/').enumerate();
    let in_package = path.starts_with("tests/") && path.contains("/src/");
    let in_tests = folders.any(|(depth, folder)| folder == "tests" && (depth > 0 || !in_package));
    file == "tests.rs" || file.ends_with("_tests.rs") || in_tests
}

fn is_module_end(rest: &str) -> bool {
    rest == ".rs" || rest.starts_with('/')
}

/// Whether a path lies in a folder; everything lies in the empty one.
pub(crate) fn is_in(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `git ls-files` lists.
pub(crate) fn listed(root: &Path, options: &[&str]) -> BTreeSet<String> {
    let output = Command::new("git").current_dir(root).arg("ls-files").arg("-z").args(options).output();
    let output = output.expect("git is needed to list the files: install it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`git ls-files` failed: run the tests in a clone: {said}");
    let names = String::from_utf8(output.stdout).expect("a file's name is not UTF-8: rename it");
    names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Fails with every problem, one to a line.
#[track_caller]
pub(crate) fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} to mend:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn modules_behind_cfg_test_and_all_below_them_are_tests() {
    let tree = Tree::of(&[
        ("a/src/lib.rs", "mod b; #[cfg(test)] mod kit;"),
        ("a/src/b.rs", "#[cfg(test)] mod more;"),
        ("a/src/b/more.rs", ""),
        ("a/src/kit/deep.rs", ""),
        ("a/src/kitchen.rs", ""),
        ("a/src/b/tests.rs", ""),
        ("a/tests/it/main.rs", ""),
        ("tests/it/main.rs", ""),
        ("tests/xtask/src/main.rs", ""),
    ]);
    let tests: Vec<&str> = tree.rust().filter(|rust| rust.is_test).map(|rust| rust.path).collect();
    let expected = [
        "a/src/b/more.rs",
        "a/src/b/tests.rs",
        "a/src/kit/deep.rs",
        "a/tests/it/main.rs",
        "tests/it/main.rs",
    ];
    assert_eq!(tests, expected);
}
