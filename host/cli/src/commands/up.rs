//! `tollgate up`.

use super::{ConfigArg, Environment};
use crate::config::Config;
use crate::host::{Addresses, RunningHost, start};
use crate::house::LoadedApp;
use crate::output::{Failure, Output, config_failure};
use crate::watch::Watch;
use clap::Args;
use serde::Serialize;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tollgate_runtime::serving_threads;
use tollgate_server::{Telemetry, TelemetryOptions};

/// How often the configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  tollgate up
  tollgate up --config /etc/tollgate/tollgate.toml
  TOLLGATE_LOG=info,tollgate::gate=debug OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 tollgate up

Once every component is loaded, one line for each app goes to stdout (`--json`: one line for all); the log goes to \
stderr, as JSON. A component that is refused is named, and everything else runs.

A changed configuration is taken within two seconds, and at once on SIGHUP, which also takes new components. A \
mistake in it is logged, and the configuration before stays in force. An app that is not, or no longer, signed by whom \
the trust file asks is taken out of service. [host], [audit] and [gas] are read at start only.

SIGTERM and SIGINT let running requests end, at most for `host.drain`; a second signal ends them at once.

Environment:
  TOLLGATE_LOG                 what is logged, such as `debug` or `info,tollgate::gate=debug` [default: info]
  OTEL_EXPORTER_OTLP_ENDPOINT  where traces go, over OTLP/HTTP [default: nowhere]
  OTEL_TRACES_SAMPLER_ARG      which part of the traces that begin here is sent, 0 to 1 [default: 1]";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Say what runs and where in one line of JSON
    #[arg(long)]
    json: bool,
}

/// Fewer than this are soon used up.
const FEW_DESCRIPTORS: u64 = 4_096;

/// What runs and where, for scripts.
#[derive(Serialize)]
struct Ready {
    listen: SocketAddr,
    tls: bool,
    admin: SocketAddr,
    apps: Vec<LoadedApp>,
    refused: Vec<String>,
}

pub(super) fn run(args: &UpArgs, environment: Environment, output: &mut Output) -> Result<(), Failure> {
    let config = Config::read(&args.config.config).map_err(config_failure)?;
    output.warnings(&config.warnings);
    raise_descriptor_limit(output);
    let runtime = serving_threads().build()?;
    let served = runtime.block_on(serve(config, args.json, environment, output));
    // What was cut short by a second signal is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Connections, files and logs are descriptors: takes as many as the system lets this process have, and says so when
/// that is few.
fn raise_descriptor_limit(output: &mut Output) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let have = if raised.is_ok() { limit.maximum } else { limit.current };
    if let Some(have) = have.filter(|have| *have < FEW_DESCRIPTORS) {
        output.warning(format_args!(
            "this process may open {have} files and connections; raise `ulimit -n` or `LimitNOFILE=` to serve more"
        ));
    }
}

async fn serve(
    config: Config,
    json: bool,
    environment: Environment,
    output: &mut Output,
) -> Result<(), Failure> {
    let defaults = TelemetryOptions::default();
    let filter = environment.log.unwrap_or_else(|| defaults.filter.clone());
    let otlp = environment.otlp_endpoint;
    let sample = match environment.traces_sent.filter(|_| otlp.is_some()) {
        Some(text) => text.parse().map_err(|_| {
            Failure::new(format!(
                "`OTEL_TRACES_SAMPLER_ARG` is `{text}`, and a part is from 0 to 1, such as 0.1"
            ))
        })?,
        None => defaults.sample,
    };
    let _telemetry = Telemetry::start(&TelemetryOptions { filter, otlp, sample, ..defaults })?;
    // Before the host starts, so that a signal while it loads is not lost.
    let mut signals = Signals::new()?;
    let host = tokio::select! {
        host = start(config, super::compiler()?) => host?,
        () = signals.stop() => return Ok(()),
    };
    announce(&host, json, output)?;
    attend(&host, &mut signals).await;
    let drain = host.config().host.drain;
    tracing::info!(target: "tollgate::host", ?drain, "told to stop: no more connections, and requests come to their end");
    tokio::select! {
        whole = host.drain() => {
            tracing::info!(target: "tollgate::host", whole, "stopped");
            if whole { Ok(()) } else { Err(Failure::new("some requests were cut short: they ran longer than `host.drain`")) }
        }
        () = signals.stop() => {
            tracing::warn!(target: "tollgate::host", "told to stop a second time: what runs is cut short");
            Err(Failure::new("a second signal cut running requests short"))
        }
    }
}

/// Says what runs and where.
fn announce(host: &RunningHost, json: bool, output: &mut Output) -> Result<(), Failure> {
    let addresses = host.addresses();
    if json {
        let Addresses { listen, tls, admin } = addresses;
        return output.json_line(&Ready { listen, tls, admin, apps: host.apps(), refused: host.troubles() });
    }
    let scheme = if addresses.tls { "https" } else { "http" };
    for trouble in host.troubles() {
        output.error(trouble);
    }
    for app in host.apps() {
        let digest = app.digest.get(..16).unwrap_or(&app.digest);
        let places = if app.places.is_empty() { "no route".to_owned() } else { app.places.join(", ") };
        let name = format!("{}/{}", app.tenant, app.name);
        output.line(format_args!("{name:<24}  blake3 {digest}…  {}  {places}", app.release))?;
    }
    output.good("ready", format_args!("{scheme}://{}  admin http://{}", addresses.listen, addresses.admin))
}

/// Takes changed configurations until the host is told to stop.
async fn attend(host: &RunningHost, signals: &mut Signals) {
    let mut watch = Watch::begin(&host.config());
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return,
                Asked::Reload => true,
            },
            _ = looks.tick() => watch.look(&host.config()),
        };
        if due {
            // Before, so that what changes meanwhile counts as a change. How it went is logged and recorded there.
            watch.tried(&host.config());
            let mut reload = pin!(host.reload());
            loop {
                tokio::select! {
                    _ = &mut reload => break,
                    // Much may have to be compiled first; who is trusted no more does not wait for that.
                    _ = looks.tick() => tokio::select! {
                        () = host.look_at_trust() => {}
                        () = signals.stop() => return,
                    },
                    () = signals.stop() => return,
                }
            }
        }
    }
}

/// What a signal asks for.
enum Asked {
    Stop,
    Reload,
}

/// The signals that a host listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Returns when the host is told to stop.
    async fn stop(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}
