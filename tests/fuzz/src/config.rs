//! A configuration file's text: a checked configuration or problems that a terminal can show, and never a panic.

use std::path::Path;
use tollgate::config::{Config, Problem, Severity};

/// Reads a file, and reads what it said.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parse = |text: &str| Config::parse(text, Path::new("conf/tollgate.toml"));
    match parse(text) {
        Ok(config) => {
            config.warnings.iter().for_each(|warning| presentable(warning, text));
            assert!(config.warnings.iter().all(|warning| warning.severity == Severity::Warning));
            sound(&config);
            let again = parse(&format!("{text}\n# the same\n")).expect("a comment changes nothing");
            assert_eq!(format!("{config:?}"), format!("{again:?}"));
            assert!(parse(&format!("{text}\n[not-a-section]\n")).is_err(), "an unknown table is an error");
        }
        Err(error) => {
            assert!(error.problems.iter().any(|problem| problem.severity == Severity::Error));
            error.problems.iter().for_each(|problem| presentable(problem, text));
        }
    }
}

/// What later rooms rest on.
fn sound(config: &Config) {
    let names: Vec<_> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    assert!(names.is_sorted_by(|one, other| one < other), "tenants are sorted, each once");
    for tenant in &config.tenants {
        for route in &tenant.routes {
            assert!(route.path.starts_with('/'), "{}", route.path);
            assert!(tenant.apps.iter().any(|app| app.name == route.app), "{}", route.app);
        }
        for app in &tenant.apps {
            assert!(app.component.starts_with("conf") || app.component.is_absolute());
        }
    }
}

/// One line of text for the message and the help, whatever was in the file, and a place that is in it.
fn presentable(problem: &Problem, text: &str) {
    let plain = |text: &str| !text.chars().any(char::is_control);
    assert!(plain(&problem.message) && !problem.message.is_empty(), "{problem:?}");
    assert!(problem.help.as_deref().is_none_or(plain), "{problem:?}");
    assert!(plain(&problem.key), "{problem:?}");
    // What is missing at the very end is on the line after the last.
    assert!(problem.line.is_none_or(|line| (1..=text.split('\n').count()).contains(&line)), "{problem:?}");
}
