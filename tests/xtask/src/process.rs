//! Other programs, run so that a reader of the terminal knows what happens and what failed.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One line of progress, on stderr so that stdout stays the tested program's own.
pub(crate) fn say(line: &str) {
    // Nobody reads: nothing left to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says what begins, runs it, and says how long it took if that was long.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("xtask: {what}"));
    let start = Instant::now();
    let result = work().with_context(|| format!("could not finish: {what}"))?;
    let took = start.elapsed();
    if took > Duration::from_secs(5) {
        say(&format!("xtask: {what}: done in {} s", took.as_secs()));
    }
    Ok(result)
}

/// Runs a command with our stdout and stderr; not zero is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout; stderr is ours. Not zero is an error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// Runs a command silently; true if it could be started and ended with zero.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The command as a person would type it, shortened: environment and long arguments left out.
fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
        if text.chars().count() > 160 {
            text = text.chars().take(160).collect();
            text.push('…');
            break;
        }
    }
    text
}
