//! Threads of lower priority, for tenants whose guests compute for long.
//!
//! A request takes many short steps on the serving threads. Where guests keep every core busy, each step would have to
//! wait until the system takes a core from one of them. So the requests of a tenant whose guests were seen to compute
//! for longer than 10 ms are carried by threads that the system takes a core from at once. They get what is left,
//! which is all of it while nobody else has work.

use crate::turns::turns_in_all;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer these threads are than the others: they get about a tenth of a core that somebody else wants, too.
const NICER: i32 = 10;

/// The threads; made when they are first needed.
#[derive(Default)]
pub(crate) struct Background(OnceLock<Option<Runtime>>);

impl Background {
    /// Where a tenant's requests are carried; none for where everybody's are.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        let runtime = self.0.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(turns_in_all()).thread_name("tollgate-background").enable_all();
            builder.on_thread_start(|| {
                // At any priority they do their work.
                let _ = rustix::process::nice(NICER);
            });
            let built = builder.build();
            built
                .inspect_err(
                    |error| tracing::error!(target: "tollgate::run", %error, "no background threads"),
                )
                .ok()
        });
        runtime.as_ref().map(Runtime::handle)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take().flatten() {
            // Nothing here waits for a run that is still under way: whoever stops a host has waited before.
            runtime.shutdown_background();
        }
    }
}
