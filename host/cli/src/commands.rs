//! The command line: what there is, and what it says of itself.

mod audit;
mod build;
mod check;
mod deploy;
mod deployed;
mod doctor;
mod gas;
mod inspect;
mod keygen;
mod place;
mod rollback;
mod secrets;
mod sign;
mod status;
mod target;
mod up;
mod verify;
mod world;

use crate::output::{Failure, Output};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use tollgate_runtime::{Compiler, compile_alone};
use zeroize::Zeroizing;

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done, or all is well
  1  it failed, or something was refused; stderr says what and what to do
  2  the command line is wrong";

/// Runs many tenants' WebAssembly components in one process, behind a gate.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(long_about = "\
Runs many tenants' WebAssembly components in one process, behind a gate.

Before a component loads, its signature, its trust and its imports are checked. Before a request runs, the gate \
decides and meters. While it runs, it holds a bounded amount of work, time and memory. After it ran, one record goes \
into a log that nobody can rewrite unseen.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key for signing components or checkpoints
    Keygen(keygen::KeygenArgs),
    /// Sign a component, or add a signature to one that is signed
    Sign(sign::SignArgs),
    /// Tell whether a component may be loaded, or whether a platform has what was built
    Verify(verify::VerifyArgs),
    /// Show what a component is, who signed it, and what it asks for
    Inspect(inspect::InspectArgs),
    /// Check a configuration and everything that it names, without starting; or whether a platform can run it
    Check(check::CheckArgs),
    /// Make what another platform runs, of the same configuration and components
    Build(build::BuildArgs),
    /// Bring a bundle to another platform, and all traffic to it
    Deploy(deploy::DeployArgs),
    /// Give an older version there all traffic again
    Rollback(rollback::RollbackArgs),
    /// Show what is deployed there
    Status(status::StatusArgs),
    /// Set the secrets of what runs there, and list their names
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Show how a running host stands, in a form that can be shared
    Doctor(doctor::DoctorArgs),
    /// Start the host
    Up(up::UpArgs),
    /// Read and check the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show what work costs
    #[command(subcommand)]
    Gas(gas::GasCommand),
    /// Compile a component from the standard input: what a host asks a process of its own to do
    #[command(name = Compiler::COMMAND, hide = true)]
    CompileAlone {
        /// Which engine it is for
        engine: String,
        /// What operators cost
        operators: String,
    },
}

/// Which configuration is meant.
#[derive(Debug, Args)]
struct ConfigArg {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
}

/// What `main` read from the environment: nothing else reads it. There is no `Debug`: tokens are in it.
#[derive(Default)]
pub struct Environment {
    /// `TOLLGATE_LOG`: which log lines are written, as in `info,tollgate::gate=debug`.
    pub log: Option<String>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go; none when they go nowhere.
    pub otlp_endpoint: Option<String>,
    /// `OTEL_TRACES_SAMPLER_ARG`: which part of the traces that begin here is sent, 0 to 1; none for all.
    pub traces_sent: Option<String>,
    /// `CLOUDFLARE_API_TOKEN`: what deployers show to Cloudflare.
    pub cloudflare_token: Option<Zeroizing<String>>,
    /// `FASTLY_API_TOKEN`: what deployers show to Fastly.
    pub fastly_token: Option<Zeroizing<String>>,
}

/// Does what the command line says.
///
/// # Errors
/// What is to be said on stderr.
pub fn run(cli: Cli, environment: Environment, output: &mut Output) -> Result<(), Failure> {
    match cli.command {
        Command::Keygen(args) => keygen::run(&args, output),
        Command::Sign(args) => sign::run(&args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Build(args) => build::run(&args, output),
        Command::Deploy(args) => deploy::run(&args, &environment, output),
        Command::Rollback(args) => rollback::run(&args, &environment, output),
        Command::Status(args) => status::run(&args, &environment, output),
        Command::Secrets(command) => secrets::run(&command, &environment, output),
        Command::Doctor(args) => doctor::run(&args, output),
        Command::Up(args) => up::run(&args, environment, output),
        Command::Audit(command) => audit::run(&command, output),
        Command::Gas(command) => gas::run(&command, output),
        Command::CompileAlone { engine, operators } => {
            let (mut input, mut code) = (std::io::stdin().lock(), std::io::stdout().lock());
            compile_alone(&engine, &operators, &mut input, &mut code)
                .map_err(|error| Failure::new(error.to_string()))
        }
    }
}

/// This program compiles for its own host.
fn compiler() -> Result<Compiler, Failure> {
    let program = std::env::current_exe();
    let program =
        program.map_err(|error| Failure::new(format!("this program can't find its own file: {error}")))?;
    Ok(Compiler::Process(program))
}

/// Reads a file that may be no larger than `limit` bytes.
fn read_capped(path: &std::path::Path, limit: usize) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes =
        read().map_err(|error| Failure::new(format!("`{}` can't be read: {error}", path.display())))?;
    if bytes.len() > limit {
        return Err(Failure::new(format!("`{}` has more than {limit} bytes", path.display())));
    }
    Ok(bytes)
}
