//! How an instance of an app is made: a store with everything that the app was given, and every limit armed.

use crate::clock::RunClock;
use crate::engine::EngineKind;
use crate::grants::{Access, Files, Grants};
use crate::http::{Outgoing, Sending};
use crate::instance::Idle;
use crate::load::App;
use crate::meter::{Meter, StreamBytes};
use crate::state::{Parts, State};
use crate::stdio::{GuestLog, StreamName};
use crate::store::armed;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime_wasi::{FsPerms, WasiCtx};

impl App {
    /// Makes an instance, in the slot from the first instruction on: what a start function took that was stopped is in
    /// there too. When the pool is full, what other apps keep idle goes first.
    pub(crate) async fn instantiate(
        &self,
        slot: &mut Option<Idle>,
        clock: &Arc<RunClock>,
        request_id: &str,
    ) -> wasmtime::Result<()> {
        let shelves = &self.runtime.shelves;
        let mut wait = None;
        loop {
            let made = self.instantiate_once(slot, clock, request_id).await;
            // Only where nothing has run yet: no start function gets its limits twice.
            let untouched = slot.as_ref().is_none_or(|idle| idle.pristine().is_untouched());
            let Some(error) = made.as_ref().err().filter(|_| untouched) else { return made };
            let Some(cleared) = shelves.make_room(EngineKind::Apps, &self.tenant, error) else { return made };
            match &mut wait {
                // Once more in any case, as others clear shelves, too.
                None => wait = Some(shelves.wait()),
                Some(wait) => {
                    if !wait.for_room(cleared).await {
                        return made;
                    }
                }
            }
            *slot = None;
        }
    }

    async fn instantiate_once(
        &self,
        slot: &mut Option<Idle>,
        clock: &Arc<RunClock>,
        request_id: &str,
    ) -> wasmtime::Result<()> {
        let store = self.store(clock, request_id)?;
        let idle = slot.insert(Idle { store, proxy: None, uses: 0 });
        idle.proxy = Some(self.pre.instantiate_async(&mut idle.store).await?);
        Ok(())
    }

    /// A store with everything that the app was given, and every limit armed.
    fn store(&self, clock: &Arc<RunClock>, request_id: &str) -> wasmtime::Result<Store<State>> {
        let log = GuestLog::new(&self.tenant, &self.name, &self.limits, request_id);
        let engine = &self.runtime.engines.apps;
        let streams = StreamBytes { cli: log.bytes(), http_outgoing: Arc::default() };
        let meter = Meter::new(engine, self.runtime.schedule.clone(), self.limits.clone(), clock.clone());
        let state = State::new(Parts {
            meter: meter.with_streams(streams.clone()).on_account(&self.account)?,
            wasi: wasi(&self.grants, &log)?,
            outgoing: Outgoing {
                tenant: self.tenant.clone(),
                grant: self.grants.http.clone(),
                connections: self.connections,
                account: Some(self.account.clone()),
                transport: self.runtime.transport.clone(),
                limits: self.limits.clone(),
                run: Sending::until(clock.started() + self.limits.deadline, streams.http_outgoing),
            },
            stores: self.stores.clone(),
            config: self.config.clone(),
            signer: None,
            log: Some(log),
        });
        armed(engine, state)
    }
}

/// The WASI context that these grants make.
fn wasi(grants: &Grants, log: &Arc<GuestLog>) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    builder.stdout(log.stream(StreamName::Stdout)).stderr(log.stream(StreamName::Stderr));
    for (name, value) in &grants.environment {
        builder.env(name, value);
    }
    if let Some(Files::Directory { path, access }) = &grants.files {
        let may = match access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        builder.preopened_dir(path, "/", may)?;
    }
    builder.max_random_size(64 << 10);
    Ok(builder.build())
}
