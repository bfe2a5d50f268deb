//! Debian packages, fetched and unpacked without installing them: `apt-get` with lists and settings of our own, so
//! that neither root nor the machine's own lists are needed. The mirror is the one that the machine uses, and apt
//! checks the signatures as ever.

use crate::process;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The keys that Debian's lists are signed with; without the file, apt's own settings say which.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with settings of its own.
pub(super) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Fetches the lists of these releases from the machine's mirror.
    pub(super) fn update(folder: &Path, codenames: &[&str]) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let known = process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(CODENAME) $(REPO_URI)",
            "Created-By: Packages",
        ]))?;
        let mut sources = String::new();
        for codename in codenames {
            let uri = mirror(&known, codename).ok_or_else(|| {
                anyhow!("this machine's apt knows no mirror for `{codename}`: add one to its sources")
            })?;
            let options =
                if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
            sources.push_str(&format!("deb {options}{uri} {codename} main\n"));
        }
        fs::write(folder.join("sources.list"), sources)?;
        let apt = Self { folder: folder.canonicalize()? };
        process::run(apt.get().args(["--quiet", "--quiet", "update"]))?;
        Ok(apt)
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        let folder = self.folder.display();
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            // As root, apt would fetch as another user, who may not write here.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Fetches one package and unpacks it into `root`; returns the package's file.
    pub(super) fn unpack(&self, package: &str, root: &Path) -> Result<PathBuf> {
        let folder = self.folder.join("packages").join(package);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        process::output(self.get().current_dir(&folder).args(["--quiet", "--quiet", "download", package]))?;
        let mut files = fs::read_dir(&folder)?;
        let Some(file) = files.next() else { bail!("apt-get fetched no `{package}`") };
        let file = file?.path();
        process::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(root))
            .with_context(|| format!("cannot unpack `{package}`"))?;
        Ok(file)
    }

    /// The same for packages and every library that they need and the machine does not have.
    pub(super) fn unpack_with_libraries(&self, packages: &[&str], root: &Path) -> Result<()> {
        let mut open: Vec<String> = packages.iter().map(|&package| package.to_owned()).collect();
        let mut seen: HashSet<String> = open.iter().cloned().collect();
        while let Some(package) = open.pop() {
            let file = self.unpack(&package, root)?;
            let depends = process::output(Command::new("dpkg-deb").arg("--field").arg(&file).arg("Depends"))?;
            for library in libraries_in(&depends) {
                if seen.insert(library.to_owned()) && !is_installed(library) {
                    open.push(library.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// The mirror of a release, in lines of code name and address. A release that the machine does not use itself comes
/// from where its main release comes from.
fn mirror<'k>(known: &'k str, codename: &str) -> Option<&'k str> {
    let of = |wanted: &str| {
        known
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == wanted).map(|(_, uri)| uri))
    };
    of(codename).or_else(|| if codename.contains('-') { None } else { of("bookworm") })
}

/// The names of libraries in a `Depends` field, of alternatives the first. The rest (a C compiler, say) was needed to
/// get here.
fn libraries_in(depends: &str) -> impl Iterator<Item = &str> {
    depends
        .split(',')
        .filter_map(|dependency| dependency.trim().split([' ', '|', ':', '(']).next())
        .filter(|name| name.starts_with("lib") && *name != "libc-dev")
}

fn is_installed(package: &str) -> bool {
    let mut command = Command::new("dpkg-query");
    let status = command.args(["--show", "--showformat=${db:Status-Status}", package]).output();
    status.is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

#[cfg(test)]
mod tests {
    use super::{libraries_in, mirror};

    #[test]
    fn libraries_are_followed_and_tools_are_not() {
        let depends = "libc6 (>= 2.34), libstd-rust-web-dev (= 1.96.0+dfsg1-1), gcc, libc-dev, liba1:any | libb2, binutils";
        let found: Vec<_> = libraries_in(depends).collect();
        assert_eq!(found, ["libc6", "libstd-rust-web-dev", "liba1"]);
    }

    #[test]
    fn a_newer_release_comes_from_the_mirror_of_this_one() {
        let known = "bookworm http://mirror/debian/\nbookworm-security http://mirror/security/\n";
        assert_eq!(mirror(known, "trixie"), Some("http://mirror/debian/"));
        assert_eq!(mirror(known, "bookworm-security"), Some("http://mirror/security/"));
        assert_eq!(mirror("bookworm http://mirror/debian/\n", "bookworm-security"), None);
    }
}
