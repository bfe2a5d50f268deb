//! Compilation, in a process of its own.
//!
//! A compiler is not what the engine promises to be safe against: a few hundred kilobytes can ask for gigabytes and
//! minutes. So the host asks a second process, which has the lowest priority, a bound on memory and on CPU time, an
//! environment of the host's making, and nothing to say but the code; and which is ended when it takes too long. What it returns is
//! stored under this host's MAC like any compiled code.

use crate::engine::{EngineKind, compile_only};
use crate::gas::Operators;
use crate::native;
use crate::threads::cores;
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Memory that a compilation may take. An 18 MB component with a Python interpreter takes 400 MiB.
const MEMORY_BYTES: u64 = 1 << 30;

/// CPU time that a compilation may take, over all its threads. That component takes half a minute.
const CPU_SECONDS: u64 = 180;

/// How long a compilation may take by the wall clock. It gets what others leave of the machine, and they may leave little.
const WALL: Duration = Duration::from_secs(900);

/// Bytes of code that it may return, and of what it says when it fails.
const CODE_BYTES: u64 = 512 << 20;
const WORDS_BYTES: u64 = 4 << 10;

/// How components are compiled.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// By this program, called with [`Compiler::COMMAND`], the engine's name and the operators' prices. It must call
    /// [`compile_alone`].
    Process(PathBuf),
    /// In this process, without any bound: for benchmarks, which load what they built themselves.
    Here,
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refuses it.
    #[error("{0}")]
    Refused(String),
    /// It takes more than a compilation may.
    #[error("to compile it takes more than {0}")]
    TooMuch(&'static str),
    /// The compiler can't be asked.
    #[error("the compiler `{}` can't be run: {source}", program.display())]
    Run {
        /// The compiler.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Compiler {
    /// The first argument of a compiling process.
    pub const COMMAND: &str = "compile-alone";

    /// The code of a component.
    pub(crate) async fn compile(
        &self,
        kind: EngineKind,
        operators: &Operators,
        bytes: Bytes,
    ) -> Result<Vec<u8>, CompileError> {
        match self {
            Self::Process(program) => {
                let arguments = [Self::COMMAND.into(), kind.name().into(), operators.to_string().into()];
                let run = |source| CompileError::Run { program: program.clone(), source };
                ask(program, &arguments, bytes).await.map_err(run)?
            }
            Self::Here => {
                let operators = operators.clone();
                let work = move || compile_only(kind, &operators, &bytes);
                let done = tokio::task::spawn_blocking(work).await;
                let done = done.map_err(|error| CompileError::Refused(error.to_string()))?;
                done.map_err(|error| CompileError::Refused(format!("{error:#}")))
            }
        }
    }
}

/// Half of the machine: the lowest priority alone does not keep caches and the other core's clock from being shared.
fn threads() -> usize {
    (cores() / 2).max(1)
}

/// Runs the program and hears it to its end.
async fn ask(
    program: &PathBuf,
    arguments: &[OsString],
    bytes: Bytes,
) -> io::Result<Result<Vec<u8>, CompileError>> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads().to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::Error::other("its pipes are not there"));
    };
    let talk = async {
        let write = async {
            // A process that ended early says why, and that is what counts.
            let _ = stdin.write_all(&bytes).await;
            drop(stdin);
        };
        let (code, words, ()) = tokio::join!(hear(stdout, CODE_BYTES), hear(stderr, WORDS_BYTES), write);
        Ok::<_, io::Error>((code?, words?, child.wait().await?))
    };
    match tokio::time::timeout(WALL, talk).await {
        Ok(talked) => {
            let (code, words, status) = talked?;
            Ok(answer(code, &words, status))
        }
        Err(_) => Ok(Err(CompileError::TooMuch("a quarter of an hour"))),
    }
}

/// Reads to the end, and keeps so many bytes.
async fn hear(mut from: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut from).take(most).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

fn answer(code: Vec<u8>, words: &[u8], status: ExitStatus) -> Result<Vec<u8>, CompileError> {
    const ABORTED: i32 = 6;
    const OUT_OF_CPU_TIME: i32 = 24;
    const KILLED: i32 = 9;
    match (status.success(), status.signal()) {
        (true, _) if (code.len() as u64) < CODE_BYTES => Ok(code),
        (true, _) => Err(CompileError::TooMuch("512 MiB of code")),
        (_, Some(OUT_OF_CPU_TIME | KILLED)) => Err(CompileError::TooMuch("three minutes of CPU time")),
        // What a program does that gets no memory.
        (_, Some(ABORTED)) => Err(CompileError::TooMuch("1 GiB of memory")),
        _ => Err(CompileError::Refused(String::from_utf8_lossy(words).trim().to_owned())),
    }
}

/// The other side: bounds this process, reads a component from `input`, and writes its code to `output`.
///
/// # Errors
/// What the compiler says of the component, or why it could not be asked.
pub fn compile_alone(
    engine: &str,
    operators: &str,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let kind = EngineKind::named(engine).ok_or("no such engine")?;
    let operators: Operators = operators.parse()?;
    let bound = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Data, bound(MEMORY_BYTES))?;
    setrlimit(Resource::Cpu, bound(CPU_SECONDS))?;
    setrlimit(Resource::Core, bound(0))?;
    // Whoever serves goes first.
    nice(19)?;
    let _ = native::give_way();
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    output.write_all(&compile_only(kind, &operators, &bytes)?)?;
    Ok(output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw: i32, words: &str) -> String {
        answer(Vec::new(), words.as_bytes(), ExitStatus::from_raw(raw)).unwrap_err().to_string()
    }

    #[test]
    fn how_a_compiler_ended_says_what_was_wrong() {
        assert_eq!(answer(vec![1], b"", ExitStatus::from_raw(0)).unwrap(), [1]);
        assert_eq!(ended(1 << 8, "error: unknown import\n"), "error: unknown import");
        assert_eq!(ended(24, ""), "to compile it takes more than three minutes of CPU time");
        assert_eq!(ended(6, "memory allocation failed"), "to compile it takes more than 1 GiB of memory");
    }

    #[tokio::test]
    async fn a_compiler_that_is_not_there_is_named() {
        let compiler = Compiler::Process("/not/there".into());
        let asked = compiler.compile(EngineKind::Apps, &Operators::default(), Bytes::new()).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("`/not/there` can't be run"), "{error}");
    }
}
