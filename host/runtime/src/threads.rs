//! The threads that carry requests: those that serve, and those of lower priority.
//!
//! A request takes many short steps, and wherever every core is at work each step has to wait until the system takes
//! a core from somebody. Threads that serve therefore ask for short slices: the system lets a thread that wakes go
//! before one that has a longer slice. The requests of a tenant whose guests were seen to compute for longer than
//! 10 ms, or that three quarters of the work of the moment is done for, are carried by threads of lower priority. They
//! get what is left, which is all of it while nobody else has work.

use crate::native;
use crate::turns::{turns_in_all, worker_threads};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// The least that the system gives (sched(7)).
const SLICE: Duration = Duration::from_micros(100);

/// How much nicer threads of lower priority are: they get about a tenth of a core that somebody else wants, too.
const NICER: i32 = 10;

/// Threads for a host to serve on: all that guests may keep busy, and one more.
#[must_use]
pub fn serving_threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(worker_threads()).thread_name("tollgate-serving").enable_all();
    // Under an older system, or a filter of system calls, they serve with the slices that everybody has.
    builder.on_thread_start(|| {
        let _ = native::ask_for_slices(SLICE);
    });
    builder
}

/// The threads of lower priority; made when they are first needed.
#[derive(Default)]
pub(crate) struct Background(OnceLock<Option<Runtime>>);

impl Background {
    /// Where a tenant's requests are carried; none for where everybody's are.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        let runtime = self.0.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(turns_in_all()).thread_name("tollgate-background").enable_all();
            // At any priority they do their work.
            builder.on_thread_start(|| {
                let _ = rustix::process::nice(NICER);
                // Else one that holds a lock when its core is taken would keep it for tens of milliseconds.
                let _ = native::ask_for_slices(SLICE);
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
