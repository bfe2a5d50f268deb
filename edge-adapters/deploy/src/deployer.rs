//! The order of things: look, upload, show, check, share traffic out and watch; and back again where a check fails.
//!
//! Every step may be the last that this process does. So the journal holds what the platform was left with and what
//! it was about to be told, and whoever comes next goes on from what the platform says.

use crate::artifact::Artifact;
use crate::check::{Check, Failing, Target};
use crate::journal::{Journal, JournalError, Outcome, Past, Run};
use crate::provider::{Preview, Provider, ProviderError, Secret, Standing, Traffic, Version};
use crate::web::{Site, Web};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::sleep;
use tollgate_trust::Sha256;

/// How often a step is tried, with growing pauses between.
const TRIES: u32 = 6;

/// How a version comes to have all traffic.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where clients reach the place.
    pub site: Site,
    /// What every version must answer.
    pub checks: Vec<Check>,
    /// How many checks in a hundred may fail while a version is watched.
    pub max_errors_percent: u8,
    /// The shares on the way, growing. A platform that can't share has none.
    pub stages: Vec<Stage>,
    /// How long a version is watched once it has all traffic.
    pub hold: Duration,
}

/// A share of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// From 1 to 99.
    pub percent: u8,
    /// How long the version is watched with it.
    pub hold: Duration,
}

/// What was done, for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A deployment that was stopped is gone on with.
    GoesOn,
    /// This artifact has all traffic already.
    AlreadyLive(Version),
    /// It is there; nothing was uploaded.
    Found(Version),
    /// It was uploaded.
    Uploaded(Version),
    /// The platform can't show a version before it has traffic.
    NotShown,
    /// So many checks have passed.
    Passed(u32),
    /// The new version has this share of the traffic.
    Has(u8),
    /// It is watched for so long.
    Watches(Duration),
    /// It failed, and the old one gets all traffic back.
    GoesBack(String),
}

/// Why a version did not come to have all traffic, or an older one did not get it back.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The platform did not do its part. What was begun can be gone on with.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The journal did not.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Somebody else is at work.
    #[error(
        "somebody else is deploying there: there is {found}, where this deployment left {left}; nothing was changed. \
         `tollgate status` shows what is there, and `tollgate rollback --to VERSION` settles it"
    )]
    Elsewhere {
        /// What this deployment knows of.
        left: String,
        /// What is there.
        found: Traffic,
    },
    /// Another artifact is on its way.
    #[error(
        "another deployment is on its way there, since {began}: finish it by the same command, or give it up with \
         `tollgate rollback`"
    )]
    Unfinished {
        /// Since when (RFC 3339).
        began: String,
    },
    /// A version failed its checks, and the old one has all traffic again.
    #[error("it failed its checks, and version {to} has all traffic again: {why}")]
    WentBack {
        /// What was wrong.
        why: String,
        /// Who has the traffic.
        to: Version,
    },
    /// The first version that was ever deployed there failed its checks.
    #[error("it failed its checks, and there is no older version to go back to: {0}")]
    NothingBefore(Failing),
    /// There is nothing to go back to, so far as is known here.
    #[error(
        "no version from before {0} is known here: name one with `--to`; `tollgate status` shows those that are there"
    )]
    NoOlder(Traffic),
}

impl DeployError {
    fn pause(&self, before: u32) -> Option<Duration> {
        match self {
            Self::Provider(error) => error.pause(before),
            _ => None,
        }
    }
}

/// Tries until it is done, or not worth trying again. Each try asks the platform anew, since the last may have been
/// done without an answer.
async fn again<T>(step: impl AsyncFn() -> Result<T, DeployError>) -> Result<T, DeployError> {
    let mut before = 0;
    loop {
        let error = match step().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match error.pause(before) {
            Some(pause) if before + 1 < TRIES => sleep(pause).await,
            _ => return Err(error),
        }
        before += 1;
    }
}

/// Deploys to one place.
pub struct Deployer<'a, P> {
    /// The place.
    pub provider: &'a P,
    /// What checks are sent with.
    pub web: &'a dyn Web,
    /// How.
    pub plan: &'a Plan,
    /// What was done there, and is done now.
    pub journal: Journal,
}

/// What is to be done with an artifact.
enum Begun {
    Live(Version),
    GoesOn(Run),
    New(Run),
}

/// How an advance ended, short of errors that leave it unfinished.
enum Advanced {
    Live(Version),
    Failed(Failing),
}

impl<P: Provider> Deployer<'_, P> {
    /// What is there.
    ///
    /// # Errors
    /// Those of the platform.
    pub async fn standing(&self) -> Result<Standing, DeployError> {
        again(async || Ok(self.provider.look().await?)).await
    }

    /// Brings an artifact to all traffic, or goes on with that.
    ///
    /// # Errors
    /// Any [`DeployError`]. After those of platform and journal the deployment can be gone on with.
    pub async fn deploy(
        &mut self,
        artifact: &Artifact,
        secrets: &[Secret],
        tell: &mut dyn FnMut(Event),
    ) -> Result<Version, DeployError> {
        let standing = self.standing().await?;
        let mut run = match self.begin(artifact.key(), &standing)? {
            Begun::Live(version) => {
                tell(Event::AlreadyLive(version.clone()));
                return Ok(version);
            }
            Begun::GoesOn(run) => {
                tell(Event::GoesOn);
                run
            }
            Begun::New(run) => run,
        };
        self.journal.note(&run)?;
        if run.failed.is_none() {
            match self.advance(&mut run, artifact, secrets, tell).await? {
                Advanced::Live(version) => {
                    self.close(run, Outcome::Live)?;
                    return Ok(version);
                }
                Advanced::Failed(failing) if run.old.is_none() => {
                    // What failed is what is there: the next bundle is deployed over it.
                    self.close(run, Outcome::Live)?;
                    return Err(DeployError::NothingBefore(failing));
                }
                Advanced::Failed(failing) => {
                    run.failed = Some(failing.to_string());
                    self.journal.note(&run)?;
                }
            }
        }
        let (why, old) = (run.failed.clone().unwrap_or_default(), run.old.clone());
        let old = old.ok_or(DeployError::NoOlder(run.reached.clone()))?;
        tell(Event::GoesBack(why.clone()));
        self.shift(&mut run, Traffic::All(old.clone())).await?;
        self.close(run, Outcome::WentBack(why.clone()))?;
        Err(DeployError::WentBack { why, to: old })
    }

    /// Gives an older version all traffic: `to`, or the one before the newest.
    ///
    /// # Errors
    /// Any [`DeployError`].
    pub async fn roll_back(&mut self, to: Option<Version>) -> Result<Version, DeployError> {
        let standing = self.standing().await?;
        let unfinished = self.journal.run().cloned();
        let settled = to.is_some();
        let old = || match &unfinished {
            Some(Run { key: Some(_), old, .. }) => old.clone(),
            // Going back was stopped on its way.
            Some(Run { key: None, new, .. }) => new.clone(),
            None => self.before(&standing),
        };
        let to = to.or_else(old).ok_or_else(|| DeployError::NoOlder(standing.traffic.clone()))?;
        let mut run = unfinished.unwrap_or_else(|| Run {
            key: None,
            old: whole(&standing.traffic),
            new: Some(to.clone()),
            reached: standing.traffic.clone(),
            next: None,
            checked: true,
            failed: None,
            began: now(),
        });
        // Whoever names a version has seen what is there.
        if !settled {
            ours(&run, &standing)?;
        }
        run.reached = standing.traffic.clone();
        self.shift(&mut run, Traffic::All(to.clone())).await?;
        let Run { began, .. } = run;
        self.journal.close(Past {
            key: None,
            old: whole(&standing.traffic),
            new: Some(to.clone()),
            outcome: Outcome::RolledBack,
            began,
            ended: now(),
        })?;
        Ok(to)
    }

    /// The version that the newest deployment of what is live came after: by the journal, and where that knows nothing
    /// of it, by the platform.
    fn before(&self, standing: &Standing) -> Option<Version> {
        let live = whole(&standing.traffic)?;
        let of_live = |past: &&Past| past.outcome == Outcome::Live && past.new.as_ref() == Some(&live);
        match self.journal.past().iter().rev().find(of_live) {
            Some(past) => past.old.clone(),
            None => standing.before.clone(),
        }
    }

    fn begin(&self, key: Sha256, standing: &Standing) -> Result<Begun, DeployError> {
        if let Some(run) = self.journal.run() {
            if run.key != Some(key) {
                return Err(DeployError::Unfinished { began: run.began.clone() });
            }
            ours(run, standing)?;
            let reached = standing.traffic.clone();
            return Ok(Begun::GoesOn(Run { reached, next: None, ..run.clone() }));
        }
        let is_key = |version: &Version| standing.is(version, Some(key));
        let (old, new) = match &standing.traffic {
            Traffic::Nothing => (None, None),
            Traffic::All(version) if is_key(version) => return Ok(Begun::Live(version.clone())),
            Traffic::All(version) => (Some(version.clone()), None),
            // The journal was lost, and the platform still tells it all.
            Traffic::Shared { old, new, .. } if is_key(new) => (Some(old.clone()), Some(new.clone())),
            Traffic::Shared { .. } => {
                let left = "one version with all traffic".to_owned();
                return Err(DeployError::Elsewhere { left, found: standing.traffic.clone() });
            }
        };
        let goes_on = new.is_some();
        let reached = standing.traffic.clone();
        let run =
            Run { key: Some(key), old, new, reached, next: None, checked: false, failed: None, began: now() };
        Ok(if goes_on { Begun::GoesOn(run) } else { Begun::New(run) })
    }

    /// Everything up to all traffic, from wherever it was left.
    async fn advance(
        &mut self,
        run: &mut Run,
        artifact: &Artifact,
        secrets: &[Secret],
        tell: &mut dyn FnMut(Event),
    ) -> Result<Advanced, DeployError> {
        let new = self.upload(run, artifact, secrets, tell).await?;
        let Some(old) = run.old.clone() else {
            self.shift(run, Traffic::All(new.clone())).await?;
            return Ok(self.watch(&new, 100, self.plan.hold, tell).await);
        };
        let mut has = share(&run.reached, &new);
        if !run.checked && has == 0 {
            if P::GRADUAL {
                let shown = Traffic::Shared { old: old.clone(), new: new.clone(), percent: 0 };
                self.shift(run, shown).await?;
            }
            if let Err(failing) = self.show(&new, tell).await? {
                return Ok(Advanced::Failed(failing));
            }
            run.checked = true;
            self.journal.note(run)?;
        }
        let plan = self.plan;
        for stage in plan.stages.iter().filter(|_| P::GRADUAL) {
            // A stage that was reached before is watched anew; those below it are over.
            if stage.percent < has {
                continue;
            }
            let traffic = Traffic::Shared { old: old.clone(), new: new.clone(), percent: stage.percent };
            self.shift(run, traffic).await?;
            has = stage.percent;
            if let failed @ Advanced::Failed(_) = self.watch(&new, has, stage.hold, tell).await {
                return Ok(failed);
            }
        }
        self.shift(run, Traffic::All(new.clone())).await?;
        Ok(self.watch(&new, 100, self.plan.hold, tell).await)
    }

    async fn upload(
        &mut self,
        run: &mut Run,
        artifact: &Artifact,
        secrets: &[Secret],
        tell: &mut dyn FnMut(Event),
    ) -> Result<Version, DeployError> {
        let provider = self.provider;
        let (version, fresh) = again(async || {
            let standing = provider.look().await?;
            Ok(provider.upload(artifact, secrets, &standing).await?)
        })
        .await?;
        tell(if fresh { Event::Uploaded(version.clone()) } else { Event::Found(version.clone()) });
        run.new = Some(version.clone());
        self.journal.note(run)?;
        Ok(version)
    }

    /// Checks a version that no client gets.
    async fn show(
        &self,
        new: &Version,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Result<(), Failing>, DeployError> {
        let preview = again(async || Ok(self.provider.preview(new).await?)).await?;
        let Some(preview) = preview else {
            tell(Event::NotShown);
            return Ok(Ok(()));
        };
        Ok(self.target().smoke(&preview).await.map(|passed| tell(Event::Passed(passed))))
    }

    async fn watch(
        &self,
        new: &Version,
        percent: u8,
        hold: Duration,
        tell: &mut dyn FnMut(Event),
    ) -> Advanced {
        tell(Event::Has(percent));
        if !hold.is_zero() {
            tell(Event::Watches(hold));
        }
        let preview: Preview = self.provider.reach(new);
        match self.target().watch(&preview, hold).await {
            Ok(passed) => {
                tell(Event::Passed(passed));
                Advanced::Live(new.clone())
            }
            Err(failing) => Advanced::Failed(failing),
        }
    }

    fn target(&self) -> Target<'_> {
        let Plan { site, checks, max_errors_percent, .. } = self.plan;
        Target { web: self.web, site, checks, max_errors_percent: *max_errors_percent }
    }

    /// Shares traffic out, unless somebody else has done so meanwhile. The platforms have no condition to give along,
    /// so between the look and the shift there is a moment in which somebody could.
    async fn shift(&mut self, run: &mut Run, traffic: Traffic) -> Result<(), DeployError> {
        run.next = Some(traffic.clone());
        self.journal.note(run)?;
        let (provider, known, wanted) = (self.provider, &*run, &traffic);
        again(async || {
            let standing = provider.look().await?;
            if standing.traffic.same(wanted) {
                return Ok(());
            }
            ours(known, &standing)?;
            Ok(provider.shift(wanted).await?)
        })
        .await?;
        (run.reached, run.next) = (traffic, None);
        Ok(self.journal.note(run)?)
    }

    fn close(&mut self, run: Run, outcome: Outcome) -> Result<(), JournalError> {
        let Run { key, old, new, began, .. } = run;
        self.journal.close(Past { key, old, new, outcome, began, ended: now() })
    }
}

/// Whether traffic is as a deployment left it, or was about to make it.
fn ours(run: &Run, standing: &Standing) -> Result<(), DeployError> {
    let found = &standing.traffic;
    let was_next = || run.next.as_ref().is_some_and(|next| found.same(next));
    // The first upload of all brings the traffic with it.
    let is_first = || run.old.is_none() && whole(found).is_some_and(|version| standing.is(&version, run.key));
    if found.same(&run.reached) || was_next() || is_first() {
        return Ok(());
    }
    Err(DeployError::Elsewhere { left: run.reached.to_string(), found: found.clone() })
}

fn whole(traffic: &Traffic) -> Option<Version> {
    match traffic {
        Traffic::All(version) => Some(version.clone()),
        Traffic::Nothing | Traffic::Shared { .. } => None,
    }
}

/// The share that a version has.
fn share(traffic: &Traffic, version: &Version) -> u8 {
    match traffic {
        Traffic::All(all) if all == version => 100,
        Traffic::Shared { new, percent, .. } if new == version => *percent,
        Traffic::Shared { old, percent, .. } if old == version => 100_u8.saturating_sub(*percent),
        _ => 0,
    }
}

fn now() -> String {
    Timestamp::now().to_string()
}
