//! Compiled code on disk, so that a component is compiled once on each host.
//!
//! An entry is named by blake3 over the component's bytes, the engine's compatibility hash and the gas schedule. Such
//! a file is native code: to load a forged one would be to run it. So each has a MAC under a key that only this host
//! has, the directory is closed to others, and nothing that was compiled elsewhere is ever taken.

use crate::compile::CompileError;
use crate::native;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Tells apart what several threads write at the same time.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// A disk that is given many megabytes at once keeps everybody else's records waiting until it has them. So it gets
/// little at a time, and rests after that.
const WRITTEN_AT_ONCE: usize = 256 << 10;
const REST: Duration = Duration::from_millis(5);

const KEY_FILE: &str = "mac.key";
const CONTEXT: &str = "tollgate compile cache v1";

/// A directory of compiled components.
pub(crate) struct CompileCache {
    dir: PathBuf,
    key: [u8; 32],
}

/// Why a component could not be had from its bytes.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory or a file in it can't be used.
    #[error("compile cache `{path}`: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory or its key can be read by others.
    #[error("compile cache `{path}` is open to other users: run `chmod {mode} {path}`")]
    Open {
        /// Which.
        path: PathBuf,
        /// The mode that it should have.
        mode: &'static str,
    },
    /// The engine refuses the component.
    #[error("it does not compile: {0:#}")]
    Compile(wasmtime::Error),
    /// The compiler did not give its code.
    #[error("it does not compile: {0}")]
    Compiler(#[from] CompileError),
}

impl CompileCache {
    /// Opens the directory, and makes it and its key if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        if fs::metadata(dir).map_err(io)?.permissions().mode() & 0o077 != 0 {
            return Err(CacheError::Open { path: dir.to_owned(), mode: "700" });
        }
        // What was being written when a process was killed is of no use, and may be large.
        for path in fs::read_dir(dir).map_err(io)?.flatten().map(|entry| entry.path()) {
            if left_over(&path) {
                fs::remove_file(path).map_err(io)?;
            }
        }
        let key = read_or_make_key(&dir.join(KEY_FILE))?;
        Ok(Self { dir: dir.to_owned(), key })
    }

    /// A component that was compiled before. Blocks.
    pub(crate) fn find(&self, engine: &Engine, salt: &[u8], bytes: &[u8]) -> Option<Component> {
        self.load(engine, &self.path(engine, salt, bytes))
    }

    /// An entry for a component's code, still to be written.
    pub(crate) fn entry(&self, engine: &Engine, salt: &[u8], bytes: &[u8], code: Vec<u8>) -> Unwritten {
        let mac = blake3::keyed_hash(&self.key, &code);
        Unwritten { path: self.path(engine, salt, bytes), code, mac }
    }

    fn path(&self, engine: &Engine, salt: &[u8], bytes: &[u8]) -> PathBuf {
        self.dir.join(format!("{}.cwasm", entry_name(engine, salt, bytes)))
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let expected = fs::read(mac_path(path)).ok()?;
        if self.mac(path).ok()?.as_bytes() != expected.as_slice() {
            tracing::warn!(target: "tollgate::cache", path = %path.display(), "compiled code has a wrong MAC: compiling anew");
            return None;
        }
        native::map_code(engine, path)
            .inspect_err(
                |error| tracing::warn!(target: "tollgate::cache", %error, "compiled code was refused"),
            )
            .ok()
    }

    fn mac(&self, path: &Path) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize())
    }
}

/// An entry that is not on disk yet.
pub(crate) struct Unwritten {
    path: PathBuf,
    code: Vec<u8>,
    mac: blake3::Hash,
}

impl Unwritten {
    /// Writes it. Blocks, mostly resting; nothing is synced: an entry that a power cut tears has a wrong MAC, and is
    /// compiled anew, while each sync would have the file system commit, and everybody's records wait for that.
    pub(crate) fn write(self) -> Result<Written, CacheError> {
        let Self { path, code, mac } = self;
        let written =
            write_private(&path, &code).and_then(|_| write_private(&mac_path(&path), mac.as_bytes()));
        written.map_err(|source| CacheError::Io { path: path.clone(), source })?;
        Ok(Written(path))
    }
}

/// An entry that this process has written.
pub(crate) struct Written(PathBuf);

impl Written {
    /// Loads it.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, CacheError> {
        native::map_code(engine, &self.0).map_err(CacheError::Compile)
    }
}

fn entry_name(engine: &Engine, salt: &[u8], bytes: &[u8]) -> blake3::Hash {
    /// Lets a blake3 hasher take what is only `Hash`.
    struct HashInto<'a>(&'a mut blake3::Hasher);
    impl Hasher for HashInto<'_> {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(blake3::hash(bytes).as_bytes());
    engine.precompile_compatibility_hash().hash(&mut HashInto(&mut hasher));
    hasher.update(salt);
    hasher.finalize()
}

fn mac_path(path: &Path) -> PathBuf {
    path.with_extension("mac")
}

/// Written beside its place, then renamed: where the system goes on, it is whole or not there. Returns the file.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let beside = path.with_extension(format!("{}-{}.tmp", std::process::id(), WRITES.fetch_add(1, Relaxed)));
    let written = write_in_parts(&beside, bytes).and_then(|file| fs::rename(&beside, path).map(|()| file));
    if written.is_err() {
        // It may be why there is no room.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Whether nobody writes this file any more: it is named by the process that did, and that is gone, or its number is now
/// that of this one, which has written nothing yet.
fn left_over(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".tmp"));
    let process = name.and_then(|name| name.rsplit('.').next()?.split('-').next()?.parse::<u32>().ok());
    process.is_some_and(|id| id == std::process::id() || !Path::new(&format!("/proc/{id}")).exists())
}

fn write_in_parts(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut offset = 0;
    for part in bytes.chunks(WRITTEN_AT_ONCE) {
        file.write_all(part)?;
        begin_writing(&file, offset);
        offset += part.len() as u64;
        if offset < bytes.len() as u64 {
            thread::sleep(REST);
        }
    }
    Ok(file)
}

/// Has the system begin to write what stands in a file from here on, and waits for nothing. That its pages need not be
/// kept is the smaller part of this advice.
fn begin_writing(file: &File, offset: u64) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, offset, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset);
}

fn read_or_make_key(path: &Path) -> Result<[u8; 32], CacheError> {
    let io = |source| CacheError::Io { path: path.to_owned(), source };
    let mut key = [0; 32];
    match File::open(path) {
        Ok(mut file) => {
            if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
                return Err(CacheError::Open { path: path.to_owned(), mode: "600" });
            }
            file.read_exact(&mut key).map_err(io)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            getrandom::fill(&mut key).map_err(|error| io(io::Error::other(error.to_string())))?;
            // Half a key would be no key, and zeros would be everybody's: here it is worth the wait.
            let directory = || File::open(path.parent().unwrap_or(path))?.sync_all();
            write_private(path, &key)
                .and_then(|file| file.sync_all())
                .and_then(|()| directory())
                .map_err(io)?;
        }
        Err(error) => return Err(io(error)),
    }
    Ok(key)
}
