//! Guests, keys and envelopes on disk.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tollgate_runtime::Inspection;
use tollgate_trust::{Release, SigningKey, sign as sign_bytes, write_envelope};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    // The test binary is at <target>/<profile>/deps/it-….
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// What `cargo xtask edge` made for a platform.
pub(crate) fn tools(platform: &str) -> PathBuf {
    target().join("tools").join(platform)
}

/// A built guest.
pub fn guest(name: &str) -> PathBuf {
    let path = target().join("guests").join(format!("{name}.wasm"));
    assert!(path.exists(), "guest `{name}` is not built: run `cargo xtask guests` ({})", path.display());
    path
}

/// Whether these bytes stand in others, one after the other.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    let head = &part[..part.len().min(16)];
    let mut starts = whole.windows(head.len()).enumerate().filter(|(_, window)| *window == head);
    starts.any(|(at, _)| whole[at..].starts_with(part))
}

/// The host's own binary: the one that `TOLLGATE_BINARY` names, or the one beside this program.
#[expect(clippy::disallowed_methods, reason = "a test runner passes on no arguments")]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("TOLLGATE_BINARY") {
        return named.into();
    }
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("tollgate")
}

/// Compiled code is shared by all tests: to compile an interpreter takes half a minute.
pub(crate) fn shared_cache() -> PathBuf {
    target().join("tests-cache")
}

/// The key that signs for every test of one process.
pub fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap())
}

/// Signs a component beside its file, as `tollgate sign` would.
pub fn sign(component: &Path, package: &str, key: &SigningKey) {
    sign_as_importing(component, package, key, imports(component));
}

/// Signs a component with imports of the test's choice.
pub fn sign_as_importing(component: &Path, package: &str, key: &SigningKey, imports: Vec<String>) {
    sign_release(component, package, key, |release| release.imports = imports);
}

/// Signs a component as [`sign`] would, to be loaded until then.
pub fn sign_until(component: &Path, package: &str, key: &SigningKey, not_after: jiff::Timestamp) {
    sign_release(component, package, key, |release| {
        release.imports = imports(component);
        release.not_after = Some(not_after);
    });
}

fn imports(component: &Path) -> Vec<String> {
    let inspection = Inspection::of(&std::fs::read(component).unwrap()).unwrap();
    inspection.imports.into_iter().map(|import| import.name).collect()
}

fn sign_release(component: &Path, package: &str, key: &SigningKey, change: impl FnOnce(&mut Release)) {
    let (name, version) = package.split_once('@').unwrap_or((package, "1.0.0"));
    let bytes = std::fs::read(component).unwrap();
    let mut release = Release {
        package: name.parse().unwrap(),
        version: version.parse().unwrap(),
        world: "wasi:http/proxy@0.2.0".into(),
        imports: Vec::new(),
        not_before: jiff::Timestamp::UNIX_EPOCH,
        not_after: None,
        sequence: 1,
        supersedes: None,
    };
    change(&mut release);
    let envelope = sign_bytes(&bytes, release, key).unwrap();
    write_envelope(component, &envelope).unwrap();
}
