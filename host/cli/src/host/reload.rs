//! Taking a changed configuration: the new house is made whole beside the old one, then one replaces the other.
//!
//! A file that is not fit changes nothing, and so does one with a mistake in what it names, unless the mistake was there
//! before. An app whose signature is trusted no more is taken away in any
//! case: a key that was removed must not go on by keeping something else from being taken.

use super::{Shared, State};
use crate::config::{Config, ConfigError};
use crate::house::{self, HouseError, Loaded, Papers, Trouble, read_schedule};
use crate::output::chain;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_runtime::{Actor, ActorKind, Book, Entry, Name, Outcome, Usage};
use tollgate_server::{Certificate, TlsError};
use tollgate_trust::TrustRoot;

/// The action under which reloads are in the audit log.
const RELOAD: &str = "admin.reload";

/// The action under which it is there that something was taken out of service.
const WITHDRAWAL: &str = "admin.withdraw";

/// The longest reason that goes into a record, in bytes.
const MAX_REASON_BYTES: usize = 1_000;

/// A configuration that was taken.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// How many apps run now.
    pub apps: usize,
    /// What was not taken in.
    pub troubles: Vec<Trouble>,
}

/// A configuration that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A section that is read at start only has changed.
    #[error("[{0}] has changed, and it is read at start only: restart the host to take it, or put it back")]
    Restart(&'static str),
    /// The certificate that clients are shown can't be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// What all tenants need is not fit.
    #[error(transparent)]
    House(#[from] HouseError),
    /// Something would be refused that was not refused before.
    #[error("{}", lines(.0))]
    Refused(Vec<Trouble>),
}

fn lines(troubles: &[Trouble]) -> String {
    troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ReloadError {
    /// A short name for the audit log.
    fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "bad-configuration",
            Self::Restart(_) => "needs-restart",
            Self::Certificate(_) => "bad-certificate",
            Self::House(_) => "bad-house",
            Self::Refused(_) => "app-refused",
        }
    }
}

impl Shared {
    pub(super) async fn reload(
        self: &Arc<Self>,
        certificates: Vec<Arc<Certificate>>,
    ) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock().await;
        // Before anything else is looked at: whatever is wrong with the rest, a key that is gone is gone.
        if let Some(root) = self.trust_now().await {
            self.heed(root).await;
        }
        let this = self.clone();
        // Those who ask the host meanwhile go before all of it.
        let taken = self.runtime.apart(async move { this.take(&certificates).await }).await;
        let result = taken.unwrap_or(Err(ReloadError::House(HouseError::Stopping)));
        let file = self.state.lock().config.file.display().to_string();
        let (outcome, reason) = match &result {
            Ok(reloaded) => {
                reloaded.troubles.iter().for_each(Trouble::log);
                tracing::info!(target: "tollgate::reload", file, apps = reloaded.apps, refused = reloaded.troubles.len(), "the configuration is in force");
                (Outcome::Answered(200), lines(&reloaded.troubles))
            }
            Err(error) => {
                let reason = chain(error);
                tracing::error!(target: "tollgate::reload", file, reason, "the changed configuration was not taken; the one before is in force");
                self.state.lock().reload_failure = Some(reason.clone());
                (Outcome::Refused(error.code().to_owned()), reason)
            }
        };
        if let Err(error) = self.book.settle(entry(RELOAD, file, outcome, reason)).await {
            tracing::error!(target: "tollgate::reload", error = chain(&error), "the reload has no record");
        }
        result
    }

    async fn take(&self, certificates: &[Arc<Certificate>]) -> Result<Reloaded, ReloadError> {
        let before = self.state.lock().clone();
        let file = before.config.file.clone();
        let config = house::blocking(move || Config::read(&file)).await??;
        self.restart_needed(&before.config, &config)?;
        let shown = certificates.to_vec();
        let renewals =
            house::blocking(move || shown.iter().map(|one| one.read()).collect::<Result<Vec<_>, _>>());
        let renewals = renewals.await??;
        let Loaded { house, apps, troubles, papers } = house::load(&self.runtime, &config).await?;
        let known = |trouble: &Trouble| {
            before.troubles.iter().any(|old| (old.kind, &old.name) == (trouble.kind, &trouble.name))
        };
        let mistakes: Vec<Trouble> =
            troubles.iter().filter(|trouble| !trouble.untrusted && !known(trouble)).cloned().collect();
        if !mistakes.is_empty() {
            self.withdraw(&mut self.state.lock(), &troubles);
            return Err(ReloadError::Refused(mistakes));
        }
        self.forget_idle_counts(&config).await;
        let reloaded = Reloaded { apps: apps.len(), troubles: troubles.clone() };
        {
            let mut state = self.state.lock();
            self.line.replace(house);
            *state = State { config: Arc::new(config), apps, troubles, papers, reload_failure: None };
        }
        certificates.iter().zip(renewals).for_each(|(one, renewal)| one.renew(renewal));
        // It was loaded by what the trust file said when that began.
        if let Some(root) = self.trust_now().await {
            self.heed(root).await;
        }
        Ok(reloaded)
    }

    /// The trust file as it is now; none if it can't be used, which is for a reload to tell.
    async fn trust_now(&self) -> Option<TrustRoot> {
        let file = self.state.lock().config.trust.clone();
        house::blocking(move || TrustRoot::read(&file)).await.ok()?.ok()
    }

    /// Looks once, while a reload is under way. A file that is being written may be whole and only half of what was
    /// meant, so it counts once two looks in a row have seen the same.
    pub(super) async fn look_at_trust(&self) {
        let Some(root) = self.trust_now().await else { return };
        let before = self.trust_seen.lock().replace(root.clone());
        if before.as_ref() == Some(&root) {
            self.heed(root).await;
        }
    }

    /// Takes what this trust file does not let run out of service, and records it.
    async fn heed(&self, root: TrustRoot) {
        let papers = self.state.lock().papers.clone();
        let asked = house::blocking(move || {
            let now = Timestamp::now();
            let refused = |papers: Papers| papers.trouble(&root, now).map(|trouble| (papers, trouble));
            papers.into_iter().filter_map(refused).collect::<Vec<_>>()
        });
        for trouble in self.take_out(asked.await.unwrap_or_default()) {
            trouble.log();
            let what = format!("{} {}", trouble.kind, trouble.name);
            let outcome = Outcome::Refused("untrusted".to_owned());
            if let Err(error) = self.book.settle(entry(WITHDRAWAL, what, outcome, trouble.reason)).await {
                tracing::error!(target: "tollgate::reload", error = chain(&error), "a withdrawal has no record");
            }
        }
    }

    /// Takes out of the house what runs with these papers, and notes why; another reload may have replaced some of it
    /// meanwhile. Returns what was taken out.
    fn take_out(&self, refused: Vec<(Papers, Trouble)>) -> Vec<Trouble> {
        let mut state = self.state.lock();
        let runs = refused.into_iter().filter(|(papers, _)| state.papers.contains(papers));
        let gone: Vec<Trouble> = runs.map(|(_, trouble)| trouble).collect();
        if !gone.is_empty() {
            self.withdraw(&mut state, &gone);
            state.troubles.extend(gone.iter().cloned());
        }
        gone
    }

    /// Takes what is trusted no more out of the house that stays, whatever else is wrong with the new one. The state is
    /// locked, so that no other house takes its place meanwhile.
    fn withdraw(&self, state: &mut State, troubles: &[Trouble]) {
        let untrusted = |kind, name: &str| {
            troubles.iter().any(|trouble| trouble.untrusted && trouble.kind == kind && trouble.name == name)
        };
        let gone = |tenant: &Name, app: &Name| {
            untrusted("tenant", tenant.as_str()) || untrusted("app", &format!("{tenant}/{app}"))
        };
        self.line.withdraw(gone);
        state.apps.retain(|app| !gone(&app.tenant, &app.name));
        state.papers.retain(|papers| !papers.are_refused(troubles));
    }

    /// Refuses changes that only a restart can take.
    fn restart_needed(&self, before: &Config, after: &Config) -> Result<(), ReloadError> {
        if before.host != after.host {
            return Err(ReloadError::Restart("host"));
        }
        if before.audit != after.audit {
            return Err(ReloadError::Restart("audit"));
        }
        if read_schedule(after)?.digest() != self.runtime.schedule().digest() {
            return Err(ReloadError::Restart("gas"));
        }
        Ok(())
    }
}

/// The record of what the host did by itself.
fn entry(action: &str, resource: String, outcome: Outcome, reason: String) -> Entry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut id = [0_u8; 16];
    // Without randomness the time still tells one reload from another.
    if getrandom::fill(&mut id).is_err() {
        id = now.as_nanos().to_be_bytes();
    }
    let id = hex::encode(id);
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    // A record has no lines.
    let reason = reason.get(..end).unwrap_or_default().replace('\n', " ");
    Entry {
        request_id: id.clone(),
        time: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        tenant: String::new(),
        actor: Actor { id: "host".into(), kind: ActorKind::Host, groups: Vec::new() },
        action: action.to_owned(),
        resource,
        outcome,
        client_address: String::new(),
        metadata: if reason.is_empty() { Vec::new() } else { vec![("reason".to_owned(), reason)] },
        trace_id: id,
        usage: Usage {
            gas: 0,
            fuel: 0,
            memory_bytes: 0,
            cpu: 0,
            wall: 0,
            host_calls: 0,
            bytes_in: 0,
            bytes_out: 0,
        },
        limits: Vec::new(),
        policies: Vec::new(),
    }
}
