//! A compiler for guests from Debian 12's packages, for machines that reach Debian's mirror and no rustup server.
//!
//! Debian's security suite keeps a current Rust compiler for browsers (`rustc-web`) with its sources
//! (`rust-web-src`), but no standard library for our targets. So the packages are unpacked into a folder of our own,
//! the standard library is built once from those sources, and both are joined to a sysroot. Nothing is installed: it
//! needs no root, and removing the folder removes all of it.

mod apt;

use super::{Toolchain, UNKNOWN, WASIP2, holds_std};
use crate::process::{self, say, step};
use anyhow::{Context, Result, anyhow, bail};
use apt::Apt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is unpacked from Debian 12, with the libraries that it needs.
const COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];

/// The linker, where the compiler in use brings none.
const LINKER: &str = "lld-22";

/// What makes a component of what the linker made, where the compiler in use does not bring it.
const COMPONENT_LINKER: &str = "wasm-component-ld";

/// The C library for [`WASIP2`]. Debian 12's own is too old; this one is from Debian 13, for all architectures.
const WASI_LIBC: &str = "wasi-libc";

/// The manifest of a crate that is compiled for nothing but the standard library below it.
const STD_MANIFEST: &str = "[package]\nname = \"std-for-guests\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                            [workspace]\n[profile.release]\npanic = \"abort\"\n";

/// True on Debian 12, with the tools to fetch and unpack packages.
pub(crate) fn is_here() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "VERSION_CODENAME=bookworm")
        && process::succeeds(Command::new("apt-get").arg("--version"))
        && process::succeeds(Command::new("dpkg-deb").arg("--version"))
}

/// Returns the toolchain in this folder, making it first if it is not there whole.
pub(crate) fn prepare(folder: &Path) -> Result<Toolchain> {
    let debian = Debian { folder };
    if !debian.ready().is_file() {
        say("xtask: making a compiler for guests from Debian's packages (some minutes, once)");
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        debian.make()?;
    }
    Ok(Toolchain { environment: vec![("RUSTC".to_owned(), debian.rustc())], cargo: "cargo".into() })
}

/// The folder and what lies where in it.
struct Debian<'f> {
    folder: &'f Path,
}

impl Debian<'_> {
    /// Written last: everything was made and tried.
    fn ready(&self) -> PathBuf {
        self.folder.join("ready")
    }

    /// The unpacked packages.
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// Where the compiler looks for standard libraries and linkers.
    fn sysroot(&self) -> PathBuf {
        self.folder.join("sysroot")
    }

    /// The compiler as cargo is to call it.
    fn rustc(&self) -> PathBuf {
        self.folder.join("rustc")
    }

    fn make(&self) -> Result<()> {
        step("fetch Debian's Rust compiler and its sources (150 MB)", || self.fetch())?;
        let host = self.write_wrapper(&self.folder.join("bare-rustc"), None)?;
        step("build the standard library for guests from Debian's sources", || self.build_std())?;
        self.join_sysroot(&host)?;
        self.write_wrapper(&self.rustc(), Some(&self.sysroot()))?;
        step("find the linkers", || self.add_linkers(&host))?;
        step("try the new compiler", || self.try_out())?;
        fs::write(self.ready(), "").context("cannot write the mark of completion")
    }

    fn fetch(&self) -> Result<()> {
        let apt = Apt::update(&self.folder.join("apt-12"), &["bookworm", "bookworm-security"])?;
        apt.unpack_with_libraries(&COMPILER, &self.root())?;
        let apt = Apt::update(&self.folder.join("apt-13"), &["trixie"])?;
        apt.unpack(WASI_LIBC, &self.root())?;
        // Debian leaves prebuilt parts out of its copies of the crates that the standard library needs. Without
        // these copies cargo takes the crates from the registry, at the digests in the library's own lock file.
        let vendored = self.library()?.join("vendor");
        if vendored.is_dir() {
            fs::remove_dir_all(&vendored).with_context(|| format!("cannot remove {}", vendored.display()))?;
        }
        Ok(())
    }

    /// The sources of the standard library.
    fn library(&self) -> Result<PathBuf> {
        let library = self.root().join("usr/lib/rustlib/src/rust/library");
        library.canonicalize().with_context(|| format!("Debian's sources are not at {}", library.display()))
    }

    /// Writes a script that calls the unpacked compiler; returns the machine that the compiler is for.
    fn write_wrapper(&self, path: &Path, sysroot: Option<&Path>) -> Result<String> {
        let root = self.root().join("usr");
        let libraries = folders_with(&root.join("lib"), ".so")?;
        let libraries: Vec<String> = libraries.iter().map(|folder| quoted(folder)).collect();
        let sysroot = sysroot.map(|sysroot| format!("--sysroot {} ", quoted(sysroot))).unwrap_or_default();
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH={}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\nexport LD_LIBRARY_PATH\n\
             exec {} {sysroot}\"$@\"\n",
            libraries.join(":"),
            quoted(&root.join("bin/rustc")),
        );
        write_script(path, &script)?;
        let version = process::output(Command::new(path).arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_owned)
            .ok_or_else(|| anyhow!("Debian's compiler does not say what machine it is for"))
    }

    fn build_std(&self) -> Result<()> {
        let folder = self.std_folder();
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), STD_MANIFEST)?;
        fs::write(folder.join("src/lib.rs"), "#![no_std]\n")?;
        let mut command = Command::new("cargo");
        command.current_dir(&folder).args(["build", "--release", "-Zbuild-std=std,panic_abort"]);
        command.args(["--target", UNKNOWN, "--target", WASIP2, "--target-dir", "target"]);
        command.env("RUSTC", self.folder.join("bare-rustc")).env("RUSTC_BOOTSTRAP", "1");
        // Without bitcode, guests with link-time optimisation do not link.
        command.env("RUSTFLAGS", "-Cembed-bitcode=yes");
        process::run(&mut command)
    }

    fn std_folder(&self) -> PathBuf {
        self.folder.join("std")
    }

    /// Puts together: the machine's own standard library, for build scripts; the two just built; the C library.
    fn join_sysroot(&self, host: &str) -> Result<()> {
        let rustlib = self.sysroot().join("lib/rustlib");
        fs::create_dir_all(rustlib.join(host))?;
        link(&self.root().join("usr/lib/rustlib").join(host).join("lib"), &rustlib.join(host).join("lib"))?;
        for target in [UNKNOWN, WASIP2] {
            let libraries = rustlib.join(target).join("lib");
            fs::create_dir_all(&libraries)?;
            let built = self.std_folder().join("target").join(target).join("release/deps");
            copy_where(&built, &libraries, |name| {
                name.ends_with(".rlib") && !name.starts_with("libstd_for_guests")
            })?;
            if !holds_std(&libraries) {
                bail!("cargo built no standard library for {target}");
            }
        }
        let own = rustlib.join(WASIP2).join("lib/self-contained");
        fs::create_dir_all(&own)?;
        let libc = self.root().join("usr/lib").join(WASIP2);
        copy_where(&libc, &own, |name| name == "libc.a" || (name.starts_with("crt1") && name.ends_with(".o")))
    }

    /// Takes the linkers of the compiler in use, which rustup's have; else Debian's, and the registry's.
    fn add_linkers(&self, host: &str) -> Result<()> {
        let into = self.sysroot().join("lib/rustlib").join(host).join("bin");
        fs::create_dir_all(into.join("gcc-ld"))?;
        let present = process::output(Command::new("rustc").args(["--print=sysroot"]))?;
        let present = Path::new(present.trim()).join("lib/rustlib").join(host).join("bin");
        let (lld, wasm_ld, component) =
            (into.join("rust-lld"), into.join("gcc-ld/wasm-ld"), into.join(COMPONENT_LINKER));
        if present.join("rust-lld").is_file() && present.join("gcc-ld/wasm-ld").is_file() {
            link(&present.join("rust-lld"), &lld)?;
            link(&present.join("gcc-ld/wasm-ld"), &wasm_ld)?;
        } else {
            let apt = Apt::update(&self.folder.join("apt-12"), &["bookworm", "bookworm-security"])?;
            apt.unpack_with_libraries(&[LINKER], &self.root())?;
            link(&self.root().join("usr/bin").join(LINKER), &lld)?;
            link(&self.root().join("usr/bin").join(LINKER.replace("lld", "wasm-ld")), &wasm_ld)?;
        }
        if present.join(COMPONENT_LINKER).is_file() {
            return link(&present.join(COMPONENT_LINKER), &component);
        }
        let tools = self.folder.join("cargo");
        let mut command = Command::new("cargo");
        command.args(["install", "--quiet", "--locked", COMPONENT_LINKER, "--root"]).arg(&tools);
        process::run(&mut command)?;
        link(&tools.join("bin").join(COMPONENT_LINKER), &component)
    }

    /// Links one small library for each target.
    fn try_out(&self) -> Result<()> {
        let source = self.folder.join("probe.rs");
        fs::write(
            &source,
            "#[unsafe(no_mangle)]\npub extern \"C\" fn probe() { println!(\"{:?}\", vec![1]) }\n",
        )?;
        for target in [UNKNOWN, WASIP2] {
            let mut command = Command::new(self.rustc());
            command.args(["--edition=2024", "--crate-type=cdylib", "-Copt-level=3", "-Clto=thin"]);
            command.args(["--target", target, "--out-dir"]).arg(self.folder.join("probe").join(target));
            process::run(command.arg(&source))?;
        }
        Ok(())
    }
}

/// Every folder below this one, and itself, that directly holds a file whose name contains `part`. Two levels deep.
fn folders_with(folder: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let mut folders = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.retain(|folder| {
        let Ok(mut entries) = fs::read_dir(folder) else { return false };
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains(part)))
    });
    folders.sort();
    Ok(folders)
}

/// Copies the files whose names fit.
fn copy_where(from: &Path, to: &Path, fits: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        if fits(&entry.file_name().to_string_lossy()) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// A path for a shell, whatever characters it holds.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to).with_context(|| format!("cannot link {}", to.display()))
}

#[cfg(unix)]
fn write_script(path: &Path, script: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<()> {
    bail!("Debian's packages are of use on Debian only")
}

#[cfg(not(unix))]
fn write_script(_: &Path, _: &str) -> Result<()> {
    bail!("Debian's packages are of use on Debian only")
}

#[cfg(test)]
mod tests {
    use super::quoted;
    use std::path::Path;

    #[test]
    fn a_path_with_a_quote_stays_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/srv/o'neil/a b")), r"'/srv/o'\''neil/a b'");
    }
}
