//! The one place that prints. What a command found goes to stdout; everything about how it went, to stderr. Colours
//! only on a terminal.

use crate::config::{ConfigError, Problem, Severity};
use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Stderr, Stdout, Write};
use std::process::ExitCode;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();

/// Stdout and stderr, with colours where they are wanted.
pub struct Output {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
}

/// A command that did not succeed: what is to be said on stderr. The exit code is 1.
#[derive(Debug, Default)]
pub struct Failure {
    problems: Vec<(Severity, String)>,
    /// Nobody reads what is written, which is no failure.
    silent: bool,
}

impl Failure {
    /// A failure with one message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { problems: vec![(Severity::Error, message.into())], silent: false }
    }

    /// A failure that has been printed already.
    pub fn said() -> Self {
        Self::default()
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

/// Every problem of a configuration, each with its own label.
pub fn config_failure(error: ConfigError) -> Failure {
    let problems = error.problems.iter().map(|problem| (problem.severity, problem.to_string())).collect();
    Failure { problems, silent: false }
}

/// An error and its causes in one text, joined by colons. A cause that its effect has quoted is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl Output {
    /// The process's own stdout and stderr.
    pub fn new() -> Self {
        Self {
            out: AutoStream::new(io::stdout(), auto(&io::stdout())),
            err: AutoStream::new(io::stderr(), auto(&io::stderr())),
        }
    }

    /// Prints a line to stdout.
    pub fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        written(writeln!(self.out, "{line}"))
    }

    /// Prints text to stdout as it is.
    pub fn text(&mut self, text: impl Display) -> Result<(), Failure> {
        written(write!(self.out, "{text}"))
    }

    /// Prints a line to stdout that begins with a green word.
    pub fn good(&mut self, word: &str, rest: impl Display) -> Result<(), Failure> {
        written(writeln!(self.out, "{GOOD}{word}{GOOD:#} {rest}"))
    }

    /// Prints a value to stdout as JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(serde_json::to_string_pretty(value)?)
    }

    /// Prints a value to stdout as JSON in one line.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(serde_json::to_string(value)?)
    }

    /// Prints a warning to stderr.
    pub fn warning(&mut self, text: impl Display) {
        // Nothing can be done about a stderr that can't be written.
        let _ = writeln!(self.err, "{WARNING}warning{WARNING:#}: {text}");
    }

    /// Prints an error to stderr.
    pub fn error(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{ERROR}error{ERROR:#}: {text}");
    }

    /// Prints what the operator should know of a configuration.
    pub fn warnings(&mut self, problems: &[Problem]) {
        for problem in problems {
            self.warning(problem);
        }
    }

    /// Says how a command went, and turns it into the exit code.
    pub fn finish(mut self, result: Result<(), Failure>) -> ExitCode {
        let _ = self.out.flush();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) if failure.silent => ExitCode::SUCCESS,
            Err(failure) => {
                for (severity, text) in failure.problems {
                    match severity {
                        Severity::Error => self.error(text),
                        Severity::Warning => self.warning(text),
                    }
                }
                ExitCode::FAILURE
            }
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::new()
    }
}

fn auto(stream: &impl anstream::stream::RawStream) -> ColorChoice {
    AutoStream::choice(stream)
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        // `tollgate audit show | head`: the reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure { problems: Vec::new(), silent: true })
        }
        Err(error) => Err(Failure::new(format!("stdout can't be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file can't be read{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn causes_follow_their_effect_and_are_said_once() {
        let cause = || io::Error::other("the disk is gone");
        assert_eq!(chain(&Outer("", cause())), "the file can't be read: the disk is gone");
        assert_eq!(chain(&Outer(": the disk is gone", cause())), "the file can't be read: the disk is gone");
    }
}
