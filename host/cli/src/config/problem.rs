//! What is wrong with a configuration: every problem with its place, its value and the way out.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can be used, and the operator should know.
    Warning,
}

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// The configuration file.
    pub file: PathBuf,
    /// The dotted path of the key or table; empty when the file as a whole is meant.
    pub key: String,
    /// The line, counted from 1; none when the file could not be read.
    pub line: Option<usize>,
    /// The column in characters, counted from 1; none when the line is.
    pub column: Option<usize>,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  at {}", self.message, self.file.display())?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ", `{}`", self.key)?;
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Why a configuration file can't be used: every problem found in it, warnings included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, in the order of the file. At least one is an error.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The error for a file that could not be read at all.
    pub(super) fn whole(file: &Path, message: String, help: &str) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            message,
            file: file.to_owned(),
            key: String::new(),
            line: None,
            column: None,
            help: Some(help.to_owned()),
        };
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        for (index, problem) in errors.enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects problems while a file is read; knows where the lines are.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    found: std::cell::RefCell<Vec<(usize, Problem)>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, found: Default::default() }
    }

    /// Notes an error at a byte offset of the text.
    pub(super) fn error(&self, offset: usize, key: &str, message: String, help: Option<String>) {
        self.note(Severity::Error, offset, key, message, help);
    }

    /// Notes a warning at a byte offset of the text.
    pub(super) fn warning(&self, offset: usize, key: &str, message: String, help: String) {
        self.note(Severity::Warning, offset, key, message, Some(help));
    }

    fn note(&self, severity: Severity, offset: usize, key: &str, message: String, help: Option<String>) {
        let (line, column) = self.position(offset);
        let problem = Problem {
            severity,
            message,
            file: self.file.to_owned(),
            key: key.to_owned(),
            line: Some(line),
            column: Some(column),
            help,
        };
        self.found.borrow_mut().push((offset, problem));
    }

    /// The line and column of a byte offset, each counted from 1.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    /// The problems in the order of the file.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(offset, _)| *offset);
        found.into_iter().map(|(_, problem)| problem).collect()
    }
}
