//! An instance of an app, and how it answers one request.

use crate::clock::RunClock;
use crate::state::State;
use crate::stdio::GuestLog;
use crate::store::arm_fuel;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

/// An instance that waits for its next request.
pub(crate) struct Idle {
    pub(crate) store: Store<State>,
    pub(crate) proxy: Proxy,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) uses: u32,
}

impl Idle {
    /// Makes a warm instance ready for the next request.
    pub(crate) fn begin(&mut self, clock: &Arc<RunClock>, request_id: &str) -> wasmtime::Result<&mut Self> {
        self.log.begin(request_id);
        self.store.data_mut().begin(clock);
        arm_fuel(&mut self.store)?;
        self.store.set_epoch_deadline(1);
        Ok(self)
    }

    /// Has the guest answer one request, and waits until it has nothing more to do.
    pub(crate) async fn answer(
        &mut self,
        request: http::Request<WasiBody>,
        sender: futures::channel::oneshot::Sender<wasmtime::Result<http::Response<WasiBody>>>,
    ) -> wasmtime::Result<()> {
        let proxy = &self.proxy;
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
