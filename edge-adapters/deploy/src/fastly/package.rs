//! The package that Fastly takes: `NAME/bin/main.wasm` and `NAME/fastly.toml` in a compressed tar. Equal bundles give
//! equal packages: no times, no owners.

use super::setup::{MANIFEST, Setup};
use crate::artifact::Artifact;
use crate::provider::ProviderError;
use flate2::{Compression, GzBuilder};
use std::io::{self, Write};

/// What of a bundle goes in.
const FILES: [&str; 2] = ["bin/main.wasm", MANIFEST];

/// A block of a tar archive, in bytes.
const BLOCK: usize = 512;

pub(super) fn of(artifact: &Artifact, setup: &Setup) -> Result<Vec<u8>, ProviderError> {
    let mut files = Vec::new();
    for file in FILES {
        let bytes = artifact.file(file);
        let bytes = bytes.ok_or_else(|| ProviderError::Unfit(format!("the bundle has no {file}")))?;
        files.push((format!("{}/{file}", setup.name()), bytes));
    }
    pack(&files).map_err(|error| ProviderError::Unfit(format!("the package can't be made: {error}")))
}

fn pack(files: &[(String, &[u8])]) -> io::Result<Vec<u8>> {
    let mut out = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    for (path, bytes) in files {
        out.write_all(&head(path, bytes.len())?)?;
        out.write_all(bytes)?;
        out.write_all(&vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()])?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()
}

/// The head of a file (POSIX.1-1988 `ustar`).
fn head(path: &str, size: usize) -> io::Result<Vec<u8>> {
    if path.len() > 99 {
        return Err(io::Error::other(format!("`{path}` is longer than 99 bytes")));
    }
    let sum_blank = " ".repeat(8);
    let write = |sum: &str| -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, width: usize| {
            head.extend_from_slice(text.as_bytes());
            head.resize(head.len() + width.saturating_sub(text.len()), 0);
        };
        field(path, 100);
        field("0000644", 8);
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{size:011o}"), 12);
        field("00000000000", 12);
        field(sum, 8);
        field("0", 1);
        field("", 100);
        field("ustar", 6);
        field("00", 2);
        field("", BLOCK - 265);
        Ok(head)
    };
    let sum: u32 = write(&sum_blank)?.iter().copied().map(u32::from).sum();
    write(&format!("{sum:06o}\0 "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn a_package_is_the_same_each_time_and_tar_reads_it() {
        let files =
            [("shop/bin/main.wasm".to_owned(), &[7_u8; 1_000][..]), ("shop/fastly.toml".to_owned(), b"x")];
        let packed = pack(&files).unwrap();
        assert_eq!(packed, pack(&files).unwrap());
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).unwrap();
        assert_eq!(tar.len() % BLOCK, 0);
        let mut child = Command::new("tar")
            .args(["-tvf", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&tar).unwrap();
        let listed = child.wait_with_output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<&str> = listed.lines().collect();
        assert!(lines[0].contains(" 1000 ") && lines[0].ends_with("shop/bin/main.wasm"), "{listed}");
        assert!(lines[1].contains(" 1 ") && lines[1].ends_with("shop/fastly.toml"), "{listed}");
    }
}
