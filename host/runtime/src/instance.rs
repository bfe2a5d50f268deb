//! An instance of an app, and how it answers one request.

use crate::clock::RunClock;
use crate::state::{Report, State};
use crate::store::arm_fuel;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

/// An instance that waits for its next request.
pub(crate) struct Idle {
    pub(crate) store: Store<State>,
    /// None until the instance is made, and when it could not be: the store still knows what that took.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) uses: u32,
}

/// What an instance is when it was just made: one that is not the same was not made of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pristine {
    fuel: u64,
    memory_bytes: usize,
    host_calls: u64,
}

impl Pristine {
    /// Whether no instruction of the guest's has run.
    pub(crate) fn is_untouched(self) -> bool {
        self.fuel == 0 && self.host_calls == 0
    }

    /// In which way another differs, if it does.
    pub(crate) fn difference(self, other: Self) -> Option<String> {
        let figures = [
            ("fuel", self.fuel, other.fuel),
            ("bytes of memory", self.memory_bytes as u64, other.memory_bytes as u64),
            ("calls into the host", self.host_calls, other.host_calls),
        ];
        let (what, one, other) = figures.into_iter().find(|(_, one, other)| one != other)?;
        Some(format!("{one} and {other} {what}"))
    }
}

impl Idle {
    /// Makes an instance ready for its next request; or for its first one, which making it is a part of.
    pub(crate) fn begin(&mut self, clock: &Arc<RunClock>, request_id: &str) -> wasmtime::Result<()> {
        if self.uses == 0 {
            self.store.data_mut().begin_pristine(clock, request_id);
        } else {
            self.store.data_mut().begin(clock, request_id);
            arm_fuel(&mut self.store)?;
        }
        self.store.set_epoch_deadline(1);
        Ok(())
    }

    /// What it is, before its first request.
    pub(crate) fn pristine(&self) -> Pristine {
        let meter = &self.store.data().meter;
        Pristine {
            fuel: meter.fuel_used(self.store.get_fuel().ok()),
            memory_bytes: meter.memory_now(),
            host_calls: meter.calls_total(),
        }
    }

    /// What the present run has taken. Ends its last line in the log.
    pub(crate) fn report(&self) -> Report {
        self.store.data().report(self.store.get_fuel().ok())
    }

    /// Has the guest answer one request, and waits until it has nothing more to do.
    pub(crate) async fn answer(
        &mut self,
        request: http::Request<WasiBody>,
        sender: futures::channel::oneshot::Sender<wasmtime::Result<http::Response<WasiBody>>>,
    ) -> wasmtime::Result<()> {
        let proxy = self.proxy.as_ref().ok_or_else(|| wasmtime::format_err!("there is no instance"))?;
        let run = async |accessor: &wasmtime::component::Accessor<State>| {
            let prepared = accessor.with(|mut store| {
                Prepared::new(store.as_context_mut(), proxy, request, State::http_uncounted, sender)
            })?;
            prepared.run(accessor, pending()).await?;
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            wasmtime::error::Ok(())
        };
        self.store.run_concurrent(run).await?
    }
}
