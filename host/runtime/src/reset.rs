//! Mode `reset`: instances that are made before the request comes, and held against the first one.

use crate::clock::RunClock;
use crate::fault::Fault;
use crate::idle::IDLE_MOST;
use crate::instance::Idle;
use crate::load::{App, LoadError, Mode};
use crate::store::metered;
use crate::turns::LONG;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long it may take, when an app is loaded, to make two instances.
const PROVE_WITHIN: Duration = Duration::from_secs(5);

impl App {
    /// Makes an instance, as for a request, and drops it: tells whether the app can run, and what that takes.
    ///
    /// # Errors
    /// Why no instance can be made.
    pub async fn try_instance(&self) -> Result<(), Fault> {
        self.prepare().await.map(drop)
    }

    /// Makes an instance before there is a request for it, within the limits of a run.
    async fn prepare(&self) -> Result<Idle, Fault> {
        let clock = Arc::new(RunClock::start(Instant::now()));
        let mut slot = None;
        let made = self.instantiate(&mut slot, &clock, "none");
        let made = metered(&clock, &self.limits, Some(self.account.turns.seat()), made).await;
        if clock.cpu() >= LONG {
            self.account.turns.computes_long();
        }
        match made {
            Ok(Ok(())) => slot.ok_or(Fault::Host),
            Ok(Err(error)) => Err(Fault::of(&error, false)),
            Err(breach) => Err(breach.into()),
        }
    }

    /// For mode `reset`: makes two instances, which must be alike, and keeps them. What can't be made at all is for
    /// the first request to find out: it will say why.
    pub(crate) async fn prove_reset(&self) -> Result<(), LoadError> {
        if self.mode != Mode::Reset {
            return Ok(());
        }
        let both = async { Ok::<_, Fault>((self.prepare().await?, self.prepare().await?)) };
        let (one, other) = match timeout(PROVE_WITHIN, both).await.unwrap_or(Err(Fault::Deadline)) {
            Ok(both) => both,
            Err(fault) => {
                self.unprepared.store(true, Relaxed);
                tracing::warn!(target: "tollgate::run", tenant = %self.tenant, app = %self.name, %fault, "no instances could be prepared");
                return Ok(());
            }
        };
        if let Some(difference) = one.pristine().difference(other.pristine()) {
            let name = format!("{}/{}", self.tenant, self.name);
            return Err(LoadError::NotPristine { name, difference });
        }
        let pristine = self.pristine.get_or_init(|| one.pristine());
        [one, other].into_iter().filter(|idle| idle.pristine() == *pristine).for_each(|idle| {
            self.idle.put(idle, IDLE_MOST);
        });
        Ok(())
    }

    /// One more prepared instance, if there is room for it, and if it is what the first one was.
    pub(crate) async fn refill(&self) {
        // One at a time, and none where it went wrong: what nobody asked for must not be a way to work for nothing.
        let full = self.idle.len() >= IDLE_MOST || self.runtime.pressure.refuses();
        if full || self.unprepared.load(Relaxed) || self.refilling.swap(true, Relaxed) {
            return;
        }
        self.refill_one().await;
        self.refilling.store(false, Relaxed);
    }

    async fn refill_one(&self) {
        let idle = match self.prepare().await {
            Ok(idle) => idle,
            // There was no room just now.
            Err(Fault::Saturated) => return,
            Err(fault) => {
                self.unprepared.store(true, Relaxed);
                tracing::warn!(target: "tollgate::run", tenant = %self.tenant, app = %self.name, %fault, "no more instances are prepared");
                return;
            }
        };
        let made = idle.pristine();
        match self.pristine.get_or_init(|| made).difference(made) {
            None => self.idle.put(idle, IDLE_MOST),
            Some(difference) => {
                self.unprepared.store(true, Relaxed);
                tracing::error!(
                    target: "tollgate::run",
                    tenant = %self.tenant,
                    app = %self.name,
                    difference,
                    "an instance was not as it was first made, and is not used; no more are prepared"
                );
            }
        }
    }
}
