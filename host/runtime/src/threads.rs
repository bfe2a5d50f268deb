//! The threads that carry requests: those that serve, and those of lower priority.
//!
//! A request takes many short steps, and wherever every core is at work each step has to wait until the system takes
//! a core from somebody. So the requests of a tenant whose guests were seen to compute for longer than 10 ms, or that
//! three quarters of the work of the moment is done for, are carried by threads of lower priority. They get what is
//! left, which is all of it while nobody else has work. Those who carry requests ask for short slices, which keeps each
//! step short for those that wait, and each lock that is held when the system takes a core. Loading has threads of its
//! own, of the lowest priority: no guest's work stands before it, and it stands before nobody's.

use crate::native;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{LazyLock, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

/// The least that the system gives.
const SLICE: Duration = Duration::from_micros(100);

/// How much nicer threads of lower priority are: they get about a tenth of a core that somebody else wants, too.
const NICER: i32 = 10;

/// How many components are loaded at one time, as far as that is work of this process.
const LOADED_AT_ONCE: usize = 4;

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    static CORES: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, NonZeroUsize::get));
    *CORES
}

/// How many guests may compute at one time: two tenants can have each core at work.
pub(crate) fn turns_in_all() -> usize {
    cores() * 2
}

/// How many threads serve. No more than there are cores: they would take the cores from each other, several times for
/// each request, and that halves what the host can do. A guest has its thread for a tick at most.
fn serving() -> usize {
    cores().max(2)
}

/// Threads for a host to serve on.
#[must_use]
pub fn serving_threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(serving()).thread_name("tollgate-serving").enable_all();
    builder.on_thread_start(in_short_slices);
    builder
}

/// Has this thread's turns at a core be short and soon, as those of threads that serve are: also for a client that
/// measures a host from the same machine. Under an older system, or a filter of system calls, a thread has the slices
/// that everybody has.
pub fn in_short_slices() {
    let _ = native::ask_for_slices(SLICE);
}

/// The threads of lower priority.
pub(crate) struct Background {
    /// Made when they are first needed.
    carrying: OnceLock<Option<Runtime>>,
    /// One thread, and more while there is something to load.
    loading: Option<Runtime>,
    /// One thread of the priority that this process began with.
    writing: Option<Runtime>,
    /// What this process began with.
    nice: i32,
}

impl Background {
    pub(crate) fn new() -> io::Result<Self> {
        let nice = rustix::process::getpriority_process(None)?;
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(LOADED_AT_ONCE).enable_all();
        builder.thread_name("tollgate-loading");
        builder.on_thread_start(of_lowest_priority);
        let loading = Some(builder.build()?);
        // Its thread starts now, from this one.
        let writing =
            Builder::new_multi_thread().worker_threads(1).thread_name("tollgate-writing").build()?;
        Ok(Self { carrying: OnceLock::new(), loading, writing: Some(writing), nice })
    }

    /// Where a tenant's requests are carried; none for where everybody's are.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        let runtime = self.carrying.get_or_init(|| {
            let nice = self.nice;
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(turns_in_all()).thread_name("tollgate-background").enable_all();
            builder.on_thread_start(move || of_lower_priority(nice));
            let built = builder.build();
            built
                .inspect_err(
                    |error| tracing::error!(target: "tollgate::run", %error, "no background threads"),
                )
                .ok()
        });
        runtime.as_ref().map(Runtime::handle)
    }

    /// Does what consists of many steps on the thread for loading, and what it has done on blocking threads on others of
    /// that priority.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        match &self.loading {
            Some(loading) => loading.spawn(work).await,
            None => Ok(work.await),
        }
    }

    /// Does work that takes long on a thread for loading.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match &self.loading {
            Some(loading) => loading.spawn_blocking(work).await,
            None => tokio::task::spawn_blocking(work).await,
        }
    }

    /// Writes what was loaded, on a thread that is not of low priority: a file system has whoever is about to commit wait
    /// for all that are in the middle of a change, and one that others go before may be there for long.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match &self.writing {
            Some(writing) => writing.spawn(async { work() }).await,
            None => tokio::task::spawn_blocking(work).await,
        }
    }
}

/// Makes this thread one that gets what is left. Where everything is taken, that is a hundredth of a core: what it does
/// then takes long, and delays nobody.
fn of_lowest_priority() {
    // For systems that do not know the other way.
    let _ = rustix::process::setpriority_process(None, 19);
    let _ = native::give_way();
}

/// Makes this thread one that others go before. Not by a step from what it is: a thread begins as nice as the one that
/// started it.
fn of_lower_priority(nice: i32) {
    // At any priority it does its work.
    let _ = rustix::process::setpriority_process(None, nice.saturating_add(NICER).min(19));
    in_short_slices();
}

impl Drop for Background {
    fn drop(&mut self) {
        // Nothing here waits for a run that is still under way: whoever stops a host has waited before.
        let all = [self.carrying.take().flatten(), self.loading.take(), self.writing.take()];
        for runtime in all.into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use rustix::process::getpriority_process;
    use std::sync::Arc;

    #[tokio::test]
    async fn threads_have_their_priority_whoever_starts_them() {
        let background = Background::new().unwrap();
        let own = getpriority_process(None).unwrap();
        let lower = (own + NICER).min(19);
        assert_eq!(background.aside(|| getpriority_process(None).unwrap()).await.unwrap(), 19);
        assert_eq!(background.apart(async { getpriority_process(None).unwrap() }).await.unwrap(), 19);
        let carried = background.handle().unwrap().spawn(async {
            let from_there = tokio::task::spawn_blocking(|| getpriority_process(None).unwrap());
            (getpriority_process(None).unwrap(), from_there.await.unwrap())
        });
        assert_eq!(carried.await.unwrap(), (lower, lower));
        assert_eq!(background.write(|| getpriority_process(None).unwrap()).await.unwrap(), own);
        assert_eq!(getpriority_process(None).unwrap(), own);
    }

    #[tokio::test]
    async fn what_guests_have_blocking_threads_do_is_not_before_what_is_loaded() {
        let background = Background::new().unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..600 {
            let wait = wait.clone();
            background.handle().unwrap().spawn_blocking(move || {
                // Until the test has what it wants: the sender is gone.
                let _ = wait.lock().recv();
            });
        }
        assert_eq!(background.aside(|| 7).await.unwrap(), 7);
        drop(go);
    }
}
