use super::*;
use proptest::prelude::*;
use std::fmt::Write;
use std::time::Duration;
use tollgate_runtime::{Backend, Consistency, FailureMode, Files, HostPattern, Limits, Mode};

/// The golden files: `<name>.toml`, and `<name>.stderr` with what `tollgate check` says of it.
fn golden_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config")
}

fn said(name: &str, text: &str) -> String {
    let problems = match Config::parse(text, Path::new(name)) {
        Ok(config) => config.warnings,
        Err(error) => error.problems,
    };
    problems.iter().fold(String::new(), |mut said, problem| {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = writeln!(said, "{severity}: {problem}");
        said
    })
}

fn golden_files() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(golden_directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let named = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    files.into_iter().map(named).collect()
}

/// `EXPECT=update cargo test -p tollgate` writes the files anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's switch, not the host's configuration")]
fn every_golden_file_is_answered_as_written_down() {
    let update = std::env::var("EXPECT").is_ok_and(|value| value == "update");
    let mut wrong = Vec::new();
    for (name, text) in golden_files() {
        let expected = golden_directory().join(&name).with_extension("stderr");
        let said = said(&name, &text);
        if update {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "changed; `EXPECT=update` writes them anew:\n{}", wrong.join("\n"));
}

#[test]
fn a_golden_file_is_bad_unless_its_name_says_good() {
    for (name, text) in golden_files() {
        let good = Config::parse(&text, Path::new(&name)).is_ok();
        assert_eq!(good, name.starts_with("good-"), "{name}");
    }
}

#[test]
fn every_error_has_a_place() {
    for (name, text) in golden_files() {
        let Err(error) = Config::parse(&text, Path::new(&name)) else { continue };
        for problem in error.problems {
            assert!(problem.line.is_some() && problem.column.is_some(), "{name}: {problem}");
        }
    }
}

fn good(name: &str) -> Config {
    let text = std::fs::read_to_string(golden_directory().join(name)).unwrap();
    Config::parse(&text, Path::new("/srv/tollgate/tollgate.toml")).unwrap()
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = good("good-small.toml");
    assert_eq!(config.host, Host { state: Some("/srv/tollgate/state".into()), ..Host::default() });
    assert!(config.host.listen.ip().is_loopback() && config.host.admin.ip().is_loopback());
    assert_eq!(config.audit.directory, Path::new("/srv/tollgate/state/audit"));
    assert_eq!((config.gate.failure, config.gate.store), (FailureMode::Closed, Backend::Memory));
    let tenant = config.tenant("acme").unwrap();
    let app = tenant.apps.first().unwrap();
    assert_eq!((app.mode, &app.limits), (Mode::Fresh, &Limits::default()));
    assert!(app.grants.http.is_none() && app.grants.files.is_none() && app.grants.config.is_none());
    assert!(app.grants.keyvalue.is_empty() && !app.grants.inert_sockets);
    let route = tenant.routes.first().unwrap();
    assert_eq!((&route.host, route.path.as_str(), route.methods.len()), (&HostPattern::Any, "/", 0));
}

#[test]
fn an_app_overrides_single_limits_of_its_plan() {
    let config = good("good-everything.toml");
    let tenant = config.tenant("acme").unwrap();
    let limits = |name: &str| &tenant.apps.iter().find(|app| app.name.as_str() == name).unwrap().limits;
    assert_eq!(limits("api").memory_bytes, 64 << 20);
    assert_eq!(limits("web").memory_bytes, 32 << 20);
    assert_eq!(limits("web").deadline, limits("api").deadline);
    assert_eq!(limits("web").deadline, Duration::from_secs(10));
    assert_eq!(tenant.totals.concurrent_requests, 200);
}

#[test]
fn what_is_for_platforms_that_can_do_less_is_read_and_has_the_strict_default() {
    let config = good("good-everything.toml");
    let tenant = config.tenant("acme").unwrap();
    let consistency: Vec<_> = tenant.buckets.iter().map(|bucket| bucket.consistency).collect();
    assert_eq!(consistency, [Consistency::Approximate, Consistency::Exact]);
    let origins: Vec<_> =
        tenant.apps.iter().map(|app| app.origin.as_ref().map(ToString::to_string)).collect();
    assert_eq!(origins, [Some("https://api.acme.example.com:8443".to_owned()), None]);
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = good("good-everything.toml");
    assert_eq!(config.trust, Path::new("/srv/tollgate/trust.toml"));
    assert_eq!(config.host.state.as_deref(), Some(Path::new("/var/lib/tollgate")));
    let app = &config.tenant("acme").unwrap().apps[0];
    assert_eq!(app.component, Path::new("/srv/tollgate/apps/api.wasm"));
    let Some(Files::Directory { path, .. }) = &app.grants.files else { panic!("{:?}", app.grants.files) };
    assert_eq!(path, Path::new("/srv/tollgate/data/api"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Config::parse(&text, Path::new("t.toml"));
    }

    /// A good file with a piece of it gone, doubled or scrambled is read or refused, with every problem in place.
    #[test]
    fn no_damage_to_a_good_file_panics(start in 0usize..4_000, length in 0usize..200, with in "\\PC{0,12}") {
        let text = std::fs::read_to_string(golden_directory().join("good-everything.toml")).unwrap();
        let cut: String = text.chars().take(start).chain(with.chars()).chain(text.chars().skip(start + length)).collect();
        if let Err(error) = Config::parse(&cut, Path::new("t.toml")) {
            let lines = cut.matches('\n').count() + 1;
            for problem in error.problems {
                prop_assert!((1..=lines).contains(&problem.line.unwrap()), "{}", problem);
            }
        }
    }
}

/// The blocks of `CONFIGURATION.md`, which together are one file.
fn documented() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONFIGURATION.md");
    let text = std::fs::read_to_string(file).unwrap();
    let blocks = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.collect()
}

#[test]
fn the_reference_shows_what_the_defaults_are() {
    let config = Config::parse(&documented(), Path::new("tollgate.toml")).unwrap();
    let default = Host::default();
    assert_eq!((config.host.listen, config.host.admin), (default.listen, default.admin));
    assert_eq!((&config.host.listener, config.host.drain), (&default.listener, default.drain));
    assert_eq!(config.host.capacity, default.capacity);
    assert_eq!(config.audit.directory, Path::new("state/audit"));
    let tenant = config.tenant("acme").unwrap();
    assert_eq!(tenant.totals, tollgate_runtime::TenantTotals::default());
    let app = &tenant.apps[0];
    let limits = Limits { deadline: Duration::from_secs(2), ..Limits::default() };
    assert_eq!(app.limits, limits);
    assert!(matches!(app.mode, Mode::Serial { reuse: 100 }));
}

#[test]
fn the_reference_has_every_key_that_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deploying = std::fs::read_to_string(root.join("../../README.md")).unwrap();
    let documented = documented();
    let is_there = |text: &str, key: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == key)
    };
    let sources = std::fs::read_dir(root.join("src/config")).unwrap().map(|entry| entry.unwrap().path());
    let sources = sources.filter(|path| !path.ends_with("tests.rs") && !path.ends_with("read.rs"));
    let (mut keys, mut missing) = (0, Vec::new());
    for source in sources.chain([root.join("src/config.rs")]) {
        // What is deployed where is a file of its own.
        let reference = if source.ends_with("environment.rs") { &deploying } else { &documented };
        let text = std::fs::read_to_string(&source).unwrap();
        let text = text.split("mod tests {").next().unwrap();
        for call in [
            ".get(\"",
            ".require(\"",
            ".section(\"",
            ".named(\"",
            "count(\"",
            "bytes(\"",
            "time(\"",
            "part(\"",
            "    (\"",
        ] {
            for key in text.split(call).skip(1).filter_map(|rest| rest.split('"').next()) {
                keys += 1;
                if !is_there(reference, key) {
                    missing.push(key.to_owned());
                }
            }
        }
    }
    assert!(keys > 90, "{keys}");
    assert!(missing.is_empty(), "the references say nothing of {missing:?}");
}
