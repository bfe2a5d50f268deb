//! Threads of lower priority, for tenants whose guests compute for long, or who have most of the requests.
//!
//! A request takes many short steps on the serving threads. Where guests keep every core busy, each step would have to
//! wait until the system takes a core from one of them. So the requests of a tenant whose guests were seen to compute
//! for longer than 10 ms are carried by threads that the system takes a core from at once. They get what is left,
//! which is all of it while nobody else has work.

use crate::turns::turns_in_all;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer these threads are than the others: they get about a tenth of a core that somebody else wants, too.
const NICER: i32 = 10;

/// How long they ask to have a core at a stretch. Longer than the others, who may then take it from them at once
/// (`PREEMPT_SHORT`, from Linux 6.12 on).
const SLICE: Duration = Duration::from_millis(20);

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
                give_precedence_to_others();
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

/// Makes this thread one that others may take the core from.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe call sets a thread's slice")]
fn give_precedence_to_others() {
    /// `struct sched_attr` of the kernel, first version (sched_setattr(2)).
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: NICER,
        priority: 0,
        runtime_ns: SLICE.as_nanos() as u64,
        deadline_ns: 0,
        period_ns: 0,
    };
    // SAFETY: the kernel reads `size` bytes of `attributes`, which is that large, lives through the call and is not
    // written to; thread 0 is this one. It changes this thread's scheduling and nothing in this program's memory.
    let changed = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if changed != 0 {
        // An older kernel, or a filter of system calls.
        let _ = rustix::process::nice(NICER);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_precedence_to_others() {
    let _ = rustix::process::nice(NICER);
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take().flatten() {
            // Nothing here waits for a run that is still under way: whoever stops a host has waited before.
            runtime.shutdown_background();
        }
    }
}
