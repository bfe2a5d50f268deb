//! The binary as a script meets it: help, exit codes, files.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The smallest component: it imports and exports nothing.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A directory to work in, and the binary.
struct Shell {
    directory: TempDir,
}

/// What a run of the binary came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Shell {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A shell with a key `release` that the trust file trusts for `acme:*`, a key `other` that it does not know, and
    /// a component `web.wasm`.
    fn with_trust() -> Self {
        let shell = Self::new();
        shell.write("web.wasm", COMPONENT);
        let made = shell.run("keygen --out release.key --json").succeeds().json();
        shell.run("keygen --out other.key").succeeds();
        let entry = made["trust_entry"].as_str().unwrap();
        let rule = "[[packages]]\npattern = \"acme:*\"\nkeys = [\"release\"]\nthreshold = 1\n";
        shell.write("trust.toml", format!("{entry}{rule}").as_bytes());
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs the binary; the arguments are split at spaces.
    fn run(&self, arguments: &str) -> Ran {
        let run = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
    }
}

impl Ran {
    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    #[track_caller]
    fn fails_with(self, text: &str) {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: ") && self.err.contains(text), "{}", self.err);
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

#[test]
fn a_bundle_needs_its_tools_and_an_empty_place_and_says_so() {
    let shell = Shell::with_trust();
    let config = "[host]\nstate = \"state\"\n[trust]\nfile = \"trust.toml\"\n[audit]\norigin = \"a.test\"\nkey = \"a.key\"\n\
                  component = \"a.wasm\"\n[gate]\ngate = \"g.wasm\"\npolicy = \"p.wasm\"\nlimiter = \"l.wasm\"\n";
    shell.write("tollgate.toml", config.as_bytes());
    let build = "build --target cloudflare --tools tools --out";
    let missing = shell.run(&format!("{build} worker"));
    assert!(missing.code == 1 && missing.err.contains("run `cargo xtask edge`"), "{}", missing.err);
    std::fs::create_dir_all(shell.path("full/tollgate")).unwrap();
    shell.write("full/tollgate/mine", b"");
    let occupied = shell.run(&format!("{build} full"));
    assert!(occupied.code == 1 && occupied.err.contains("is not empty"), "{}", occupied.err);
    let path = shell.run(&format!("{build} worker --origin acme/web=https://a.test/path"));
    assert!(path.code == 2 && path.err.contains("without a path"), "{}", path.err);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's switch, not the host's configuration")]
fn help_is_as_written_down() {
    let update = std::env::var("EXPECT").is_ok_and(|value| value == "update");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help");
    let shell = Shell::new();
    let commands = [
        "",
        "keygen",
        "sign",
        "verify",
        "inspect",
        "check",
        "build",
        "deploy",
        "rollback",
        "status",
        "secrets",
        "secrets put",
        "secrets list",
        "doctor",
        "up",
        "audit",
        "audit verify",
        "audit prove",
        "audit show",
        "audit key",
        "gas",
        "gas show",
    ];
    let mut wrong = Vec::new();
    for command in commands {
        let help = shell.run(&format!("{command} --help")).succeeds().out;
        let name = if command.is_empty() { "tollgate".to_owned() } else { command.replace(' ', "-") };
        let file = golden.join(format!("{name}.txt"));
        if update {
            std::fs::write(file, &help).unwrap();
        } else if std::fs::read_to_string(file).unwrap_or_default() != help {
            wrong.push(format!("--- {name}\n{help}"));
        }
    }
    assert!(wrong.is_empty(), "changed; `EXPECT=update` writes them anew:\n{}", wrong.join("\n"));
}

#[test]
fn every_command_shows_an_example_and_the_first_page_the_exit_codes() {
    let shell = Shell::new();
    assert!(shell.run("--help").out.contains("Exit codes:"));
    for command in [
        "keygen",
        "sign",
        "verify",
        "inspect",
        "check",
        "build",
        "deploy",
        "rollback",
        "status",
        "secrets put",
        "secrets list",
        "up",
        "audit verify",
        "gas show",
    ] {
        let help = shell.run(&format!("{command} --help")).out;
        assert!(help.contains(&format!("  tollgate {command}")), "{command}\n{help}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let shell = Shell::new();
    for arguments in
        ["", "open", "keygen", "sign web.wasm", "up --config", "audit prove x", "verify a --at today"]
    {
        assert_eq!(shell.run(arguments).code, 2, "{arguments}");
    }
}

#[test]
fn a_key_pair_is_for_its_owner_and_never_overwritten() {
    let shell = Shell::new();
    let made = shell.run("keygen --out host.key").succeeds();
    assert!(made.out.contains("[[keys]]\nname = \"host\"") && made.out.contains("key id: "), "{}", made.out);
    let mode = |name: &str| std::fs::metadata(shell.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("host.key"), mode("host.pub")), (0o600, 0o644));
    let before = std::fs::read(shell.path("host.key")).unwrap();
    shell.run("keygen --out host.key").fails_with("exists already");
    assert_eq!(std::fs::read(shell.path("host.key")).unwrap(), before);
    // A public key that is in the way leaves no private key behind.
    std::fs::remove_file(shell.path("host.key")).unwrap();
    shell.run("keygen --out host.key").fails_with("host.pub");
    assert!(!shell.path("host.key").exists());
    shell.run("keygen --out host.pub").fails_with("another extension");
}

#[test]
fn what_is_signed_verifies_and_what_was_changed_does_not() {
    let shell = Shell::with_trust();
    shell.run("verify web.wasm").fails_with("it is not signed");
    shell
        .run("sign web.wasm --key release.key --package acme:web@1.0.0 --world acme:web/app@1.0.0")
        .succeeds();
    let verified = shell.run("verify web.wasm --json").succeeds().json();
    assert_eq!(
        (&verified["subject"], &verified["signers"][0]),
        (&"acme:web@1.0.0".into(), &"release".into())
    );
    shell.write("web.wasm", &[COMPONENT, b"\0\x02\x01x"].concat());
    shell.run("verify web.wasm").fails_with("changed after it was signed");
}

#[test]
fn a_release_that_has_ended_is_refused_at_that_time() {
    let shell = Shell::with_trust();
    let times = "--not-before 2026-01-01T00:00:00Z --not-after 2026-06-30T00:00:00Z";
    shell
        .run(&format!("sign web.wasm --key release.key --package acme:web@1.0.0 --world w {times}"))
        .succeeds();
    shell.run("verify web.wasm --at 2026-03-01T00:00:00Z").succeeds();
    shell.run("verify web.wasm --at 2026-07-01T00:00:00Z").fails_with("release `acme:web@1.0.0` is");
}

#[test]
fn a_second_signature_is_added_and_the_first_kept() {
    let shell = Shell::with_trust();
    let sign = "sign web.wasm --package acme:web@1.0.0 --world w";
    shell.run(&format!("{sign} --key release.key")).succeeds();
    let second = shell.run("sign web.wasm --key other.key --json").succeeds().json();
    assert_eq!(second["signatures"], 2);
    shell.run("verify web.wasm").succeeds();
    shell.run("sign web.wasm --key other.key").fails_with("has signed this envelope already");
    shell
        .run("sign web.wasm --key other.key --package acme:web@2.0.0")
        .fails_with("is signed as `acme:web@1.0.0`");
    shell.run("sign web.wasm --key other.key --sequence 1").fails_with("something else for `--sequence`");
    shell.run("sign web.wasm --key release.key --package acme:web@2.0.0 --world w --replace").succeeds();
    assert_eq!(shell.run("verify web.wasm --json").succeeds().json()["subject"], "acme:web@2.0.0");
}

#[test]
fn an_envelope_of_an_older_build_is_replaced_and_that_is_said() {
    let shell = Shell::with_trust();
    let sign = "sign web.wasm --key release.key --package acme:web@1.0.0 --world w";
    shell.run(sign).succeeds();
    shell.write("web.wasm", &[COMPONENT, b"\0\x02\x01x"].concat());
    let again = shell.run(sign);
    assert_eq!(again.code, 0);
    assert!(again.err.starts_with("warning: ") && again.err.contains("other bytes"), "{}", again.err);
    shell.run("verify web.wasm").succeeds();
}

#[test]
fn what_can_not_be_signed_is_refused_with_the_reason() {
    let shell = Shell::with_trust();
    shell.run("sign web.wasm --key release.key --world w").fails_with("`--package` is missing");
    shell.run("sign web.wasm --key release.key --world w --package web").fails_with("has no version");
    shell
        .run("sign web.wasm --key release.key --world w --package Web:a@1.0.0")
        .fails_with("not a package name");
    shell.run("sign web.wasm --key release.key --package acme:web@1.0.0").fails_with("tells its world");
    shell
        .run("sign none.wasm --key release.key --package acme:web@1.0.0")
        .fails_with("`none.wasm` can't be read");
    shell.write("core.wasm", b"\0asm\x01\0\0\0");
    shell
        .run("sign core.wasm --key release.key --world w --package acme:web@1.0.0")
        .fails_with("core module");
    assert!(!shell.path("core.wasm.dsse.json").exists());
}

#[test]
fn inspect_tells_how_the_signature_stands() {
    let shell = Shell::with_trust();
    let state = |arguments: &str| shell.run(arguments).succeeds().json()["signature"]["state"].clone();
    assert_eq!(state("inspect web.wasm --json"), "unsigned");
    shell.run("sign web.wasm --key release.key --package acme:web@1.0.0 --world w").succeeds();
    assert_eq!(state("inspect web.wasm --json"), "unchecked");
    assert_eq!(state("inspect web.wasm --json --trust trust.toml"), "signed");
    shell.write("web.wasm", &[COMPONENT, b"\0\x02\x01x"].concat());
    assert_eq!(state("inspect web.wasm --json"), "failed");
    assert_eq!(state("inspect web.wasm --json --trust trust.toml"), "failed");
    let page = shell.run("inspect web.wasm").succeeds().out;
    assert!(page.contains("changed after it was signed"), "{page}");
}

#[test]
fn a_bad_configuration_is_told_in_full_and_is_exit_code_1() {
    let shell = Shell::new();
    shell.write("tollgate.toml", b"[host]\nlisten = \"here\"\nstat = \"x\"\n");
    let ran = shell.run("check");
    assert_eq!(ran.code, 1);
    for text in
        ["error: `listen` is \"here\"", "at tollgate.toml:2:10, `host.listen`", "did you mean `state`?"]
    {
        assert!(ran.err.contains(text), "{text}\n{}", ran.err);
    }
    let json = shell.run("check --json");
    assert_eq!(json.code, 1);
    assert_eq!(json.json()["ok"], false);
    assert_eq!(json.json()["problems"][0]["line"], 1);
    shell.run("check --config none.toml").fails_with("the configuration can't be read");
    shell.run("up --config none.toml").fails_with("the configuration can't be read");
}

#[test]
fn nothing_is_coloured_when_it_is_not_read_on_a_terminal() {
    let shell = Shell::with_trust();
    for arguments in ["--help", "gas show", "inspect web.wasm", "verify web.wasm", "check"] {
        let ran = shell.run(arguments);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{arguments}");
    }
}

#[test]
fn the_gas_schedule_prices_every_interface() {
    let shell = Shell::new();
    let report = shell.run("gas show --json").succeeds().json();
    assert!(report["calls"].as_object().unwrap().len() >= 13, "{report}");
    assert!(shell.run("gas show").succeeds().out.contains(report["id"].as_str().unwrap()));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["gas", "show"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = child.wait_with_output().unwrap();
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]));
}

mod deployed;
mod log;

#[test]
fn a_log_verifies_and_each_record_is_proved() {
    let shell = Shell::new();
    shell.run("keygen --out host.key").succeeds();
    let key = log::write(&shell.path("log"), &shell.path("host.key"), 300);
    let verified = shell.run(&format!("audit verify log --key {key} --json")).succeeds().json();
    assert_eq!((&verified["records"], &verified["origin"]), (&300.into(), &log::ORIGIN.into()));
    let proof = shell.run(&format!("audit prove 257 log --key {key}")).succeeds().out;
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 257\n"), "{proof}");
    let record = shell.run(&format!("audit prove 257 log --key {key} --json")).succeeds().json();
    assert_eq!(record["record"]["request_id"], log::request_id(257));
    shell.run(&format!("audit prove 300 log --key {key}")).fails_with("the log has 300 records");
    let shown = shell.run(&format!("audit show log --key {key} --last 2 --json")).succeeds().out;
    let ids: Vec<Value> = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert_eq!(
        ids.iter().map(|id| id["request_id"].as_str().unwrap()).collect::<Vec<_>>(),
        [log::request_id(298), log::request_id(299)]
    );
    let page = shell.run(&format!("audit show log --key {key} --last 1")).succeeds().out;
    assert!(page.contains("299") && page.contains("acme:anonymous  GET"), "{page}");
}

#[test]
fn a_log_that_was_rewritten_does_not_verify() {
    let shell = Shell::new();
    shell.run("keygen --out host.key").succeeds();
    shell.run("keygen --out other.key").succeeds();
    let key = log::write(&shell.path("log"), &shell.path("host.key"), 3);
    let other = log::write(&shell.path("other-log"), &shell.path("other.key"), 3);
    shell.run(&format!("audit verify log --key {other}")).fails_with("is not signed by");
    let bundle = shell.path("log/tile/entries/000.p/3");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let at = bytes.windows(3).position(|window| window == b"GET").unwrap();
    bytes[at..at + 3].copy_from_slice(b"PUT");
    std::fs::OpenOptions::new().write(true).open(&bundle).unwrap().write_all(&bytes).unwrap();
    shell.run(&format!("audit verify log --key {key}")).fails_with("the log in `log`");
    shell.run(&format!("audit verify nowhere --key {key}")).fails_with("`checkpoint`");
}
