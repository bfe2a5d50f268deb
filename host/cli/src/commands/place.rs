//! A place on another platform, as deployment commands name it: opened with its token, its plan and its journal.

use super::Environment;
use crate::config::{Environments, TokenSource};
use crate::output::{Failure, config_failure};
use clap::{Args, ValueEnum};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tollgate_deploy::{Cloudflare, Deployer, Fastly, Journal, Plan, Provider, Token, Unreachable, Web};
use tollgate_runtime::Name;
use tollgate_server::Caller;
use zeroize::Zeroizing;

/// Where the journals are, beside the file that names the places.
const STATE: &str = "deploy-state";

/// Which place is meant.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// The platform
    #[arg(long, value_enum)]
    target: Platform,
    /// The environment, by its name in the file of places
    #[arg(long, value_name = "NAME", value_parser = Name::new)]
    env: Name,
    /// The file of places
    #[arg(long, short, value_name = "FILE", default_value = "deploy.toml")]
    config: PathBuf,
    /// Where journals of deployments are kept [default: deploy-state, beside that file]
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
}

/// A platform that is deployed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Platform {
    /// Cloudflare Workers
    Cloudflare,
    /// Fastly Compute
    Fastly,
}

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Fastly => "fastly",
        }
    }
}

/// A place on one of the platforms.
pub(super) enum Place {
    Cloudflare(Box<Opened<Cloudflare>>),
    Fastly(Box<Opened<Fastly>>),
}

/// A place, ready to be worked at.
pub(super) struct Opened<P> {
    pub(super) provider: P,
    pub(super) plan: Plan,
    web: Arc<dyn Web>,
    pub(super) state: PathBuf,
    /// What it is called in messages and in the names of files.
    pub(super) name: String,
}

impl<P: Provider> Opened<P> {
    /// The deployer of this place; nobody else has it meanwhile.
    pub(super) fn deployer(&self) -> Result<Deployer<'_, P>, Failure> {
        let journal = Journal::open(&self.state, &self.name)?;
        Ok(Deployer { provider: &self.provider, web: &*self.web, plan: &self.plan, journal })
    }
}

impl PlaceArgs {
    pub(super) fn open(&self, environment: &Environment) -> Result<Place, Failure> {
        let Self { target, env, config, state } = self;
        let places = Environments::read(config).map_err(config_failure)?;
        let shown = config.display();
        let known = places.named(env).ok_or_else(|| {
            let names: Vec<&str> = places.all.iter().map(|known| known.name.as_str()).collect();
            Failure::new(format!(
                "there is no environment `{env}` in `{shown}`: there are {}",
                names.join(", ")
            ))
        })?;
        let nowhere = || {
            Failure::new(format!(
                "`{env}` in `{shown}` is not on {0}: add [environments.{env}.{0}]",
                target.name()
            ))
        };
        let beside = || config.parent().unwrap_or(Path::new("")).join(STATE);
        let state = state.clone().unwrap_or_else(beside);
        let name = format!("{env}-{}", target.name());
        let web: Arc<dyn Web> = Arc::new(Calls(Caller::new()?));
        Ok(match target {
            Platform::Cloudflare => {
                let at = known.cloudflare.clone().ok_or_else(nowhere)?;
                let token = token(&at.token, environment.cloudflare_token.as_ref(), "CLOUDFLARE_API_TOKEN")?;
                let provider = Cloudflare::new(Arc::clone(&web), at.place, token)?;
                Place::Cloudflare(Box::new(Opened { provider, plan: at.plan, web, state, name }))
            }
            Platform::Fastly => {
                let at = known.fastly.clone().ok_or_else(nowhere)?;
                let token = token(&at.token, environment.fastly_token.as_ref(), "FASTLY_API_TOKEN")?;
                let provider = Fastly::new(Arc::clone(&web), at.place, token)?;
                Place::Fastly(Box::new(Opened { provider, plan: at.plan, web, state, name }))
            }
        })
    }
}

/// Runs what has to wait for the network.
pub(super) fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn token(source: &TokenSource, variable: Option<&Zeroizing<String>>, name: &str) -> Result<Token, Failure> {
    match (source, variable) {
        (TokenSource::File(path), _) => Ok(Token::read(path)?),
        (TokenSource::Environment, Some(text)) => Ok(Token::new(text)?),
        (TokenSource::Environment, None) => {
            Err(Failure::new(format!("there is no token: set {name}, or `token-file` in the file of places")))
        }
    }
}

/// The server adapter's calls, as deployers want them.
struct Calls(Caller);

impl Web for Calls {
    fn send(
        &self,
        request: Request<bytes::Bytes>,
        at: Option<IpAddr>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Response<bytes::Bytes>, Unreachable>> {
        let call = self.0.send(request, at, within);
        call.map(|answer| answer.map_err(|error| Unreachable(crate::output::chain(&error)))).boxed()
    }
}
